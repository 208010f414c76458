"""Signed notes and checkpoints: published ones, and the many ways in which one is mangled."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from trialsite.audit.notes import (
    COSIGNATURE,
    Checkpoint,
    NoteInvalid,
    SignatureInvalid,
    Signer,
    SigningKey,
    Unsigned,
    VerifierKey,
    cosign_note,
    open_checkpoint,
    open_note,
    sign_checkpoint,
    sign_note,
    split_note,
)

VECTORS = Path(__file__).parents[1] / "vectors"
PUBLISHED = json.loads((VECTORS / "notes.json").read_text(encoding="utf-8"))
LEDGER = json.loads((VECTORS / "ledger.json").read_text(encoding="utf-8"))
ED25519_ANSWER = json.loads((VECTORS / "primitives.json").read_text(encoding="utf-8"))["ed25519"]

KEY = SigningKey("trial.example/log", bytes(range(32)))
OTHER = SigningKey("other.example/log", bytes(32))
TEXT = "One line.\n\nAnother, after an empty one.\n"
NOTE = sign_note(TEXT, KEY)
SIGNATURE_LINE = NOTE.split("\n\n")[-1]


def a_line(*, name: str = KEY.name, content: bytes | None = None) -> str:
    return f"— {name} {base64.b64encode(content or bytes(68)).decode()}\n"


def test_ed25519_is_that_of_rfc_8032():
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(ED25519_ANSWER["secret"]))

    assert private.public_key().public_bytes_raw().hex() == ED25519_ANSWER["public"]
    assert private.sign(b"").hex() == ED25519_ANSWER["signature"]


@pytest.mark.parametrize("case", PUBLISHED["signed"], ids=lambda case: case["name"])
def test_a_published_note_opens_with_each_of_its_keys(case):
    keys = [VerifierKey.parse(vkey) for vkey in case["vkeys"]]

    for key in keys:
        assert open_note(case["note"], [key]).text == case["text"]
    assert [signed.key for signed in open_note(case["note"].encode(), keys).signatures] == keys
    assert [key.vkey for key in keys] == case["vkeys"]


def test_the_published_key_makes_the_published_signature():
    case = PUBLISHED["signed"][1]
    _, _, _, encoded = PUBLISHED["signing"]["skey"].split("+", 4)[1:]
    signer = SigningKey("PeterNeumann", base64.b64decode(encoded)[1:])

    note = sign_note(case["text"], signer)

    assert str(signer.verifier) == case["vkeys"][0]
    assert case["note"].startswith(note)


@pytest.mark.parametrize("case", PUBLISHED["bad_vkeys"], ids=lambda case: case["name"])
def test_a_published_bad_key_is_refused(case):
    with pytest.raises(NoteInvalid):
        VerifierKey.parse(case["vkey"])


@pytest.mark.parametrize(
    "mangle",
    [
        lambda vkey: vkey[:0],
        lambda vkey: vkey.replace("+", " ", 1),
        lambda vkey: vkey.replace("trial", "Trial"),
        lambda vkey: vkey[:-4],
        lambda vkey: vkey + "AAAA",
        lambda vkey: vkey + "\n",
        lambda vkey: " " + vkey,
        lambda vkey: vkey.rpartition("+")[0],
        lambda vkey: vkey.rpartition("+")[0] + "+",
        lambda vkey: vkey.replace("+A", "+B"),
        lambda vkey: "+".join(part.upper() if i == 1 else part for i, part in enumerate(vkey.split("+", 2))),
        lambda vkey: "+" + vkey.partition("+")[2],
        lambda vkey: "a b" + vkey,
        lambda vkey: "a\x07b" + vkey,
        lambda vkey: vkey.replace("+", "+f", 1),
        lambda vkey: vkey[:-1] + chr(ord(vkey[-1]) + 1),
    ],
)
def test_a_mangled_key_is_refused(mangle):
    # 33 bytes fill their base64, so the last character has no stray bits: the id must catch it.
    with pytest.raises(NoteInvalid):
        VerifierKey.parse(mangle(KEY.verifier.vkey))


def test_the_name_of_a_key_is_part_of_its_id():
    renamed = VerifierKey("trial.example/other", KEY.public)

    assert renamed.key_id != KEY.verifier.key_id
    assert KEY.witness.key_id != KEY.verifier.key_id


def test_a_key_signs_through_a_callback_as_it_does_from_its_seed():
    asked: list[bytes] = []

    def sign(message: bytes) -> bytes:
        asked.append(message)
        return KEY.sign(message)

    assert sign_note(TEXT, Signer(KEY.name, KEY.public, sign)) == NOTE
    assert asked == [TEXT.encode()]


def test_a_text_may_hold_empty_lines():
    assert open_note(NOTE, [KEY.verifier]).text == TEXT


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        TEXT + "\n",
        "\n" + SIGNATURE_LINE,
        SIGNATURE_LINE,
        NOTE[:-1],
        NOTE + "\n",
        NOTE + "more\n",
        NOTE.replace("\n\n—", "\n—"),
        NOTE.replace("\n— ", "\n- "),
        NOTE.replace("\n— ", "\n —"),
        NOTE.replace("\n— ", "\n—"),
        NOTE.replace("— ", "—  "),
        NOTE.replace("\n", "\r\n"),
        NOTE.replace("One", "O\x00ne"),
        NOTE.replace("One", "O\tne"),
        NOTE.replace("One", "O\x1bne"),
        NOTE.replace("=\n", "\n"),
        NOTE.replace("=\n", "=\x00\n"),
        NOTE.replace("=\n", "= \n"),
        NOTE.replace("=\n", "==\n"),
        NOTE.encode().replace(b"One", b"\xffne"),
        NOTE.encode().replace(b"One", b"\xc0\xafne"),
        NOTE.encode().replace(b"One", b"\xed\xa0\x80ne"),
        NOTE.replace("One", "\ud800"),
        NOTE.encode("utf-16"),
        TEXT + "\n" + a_line(content=b"abcd"),
        TEXT + "\n" + a_line(name="a+b"),
        TEXT + "\n" + a_line(name="a\u00a0b"),
        TEXT + "\n" + a_line(name=""),
        TEXT + "\n— " + KEY.name + "\n",
        TEXT + "\n— " + KEY.name + " \n",
        TEXT + "\n— " + KEY.name + " @@@@@@@@\n",
    ],
)
def test_what_has_not_exactly_the_form_of_a_note_is_refused(note):
    with pytest.raises(NoteInvalid):
        open_note(note, [KEY.verifier])


def test_base64_has_one_spelling():
    # 68 bytes leave four unused bits in the last digit: another digit decodes to the same signature.
    last = SIGNATURE_LINE[-3]
    twin = next(
        digit
        for digit in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        if digit != last and base64.b64decode(f"AA{digit}=") == base64.b64decode(f"AA{last}=")
    )
    respelled = NOTE[:-3] + twin + NOTE[-2:]

    with pytest.raises(NoteInvalid, match="canonical"):
        open_note(respelled, [KEY.verifier])


def test_a_note_may_have_a_hundred_signatures_and_not_one_more():
    strangers = [a_line(name=f"stranger-{i}") for i in range(100)]

    assert open_note(NOTE + "".join(strangers[:99]), [KEY.verifier]).text == TEXT
    with pytest.raises(NoteInvalid, match="too many"):
        open_note(NOTE + "".join(strangers), [KEY.verifier])


def test_a_note_of_more_than_a_megabyte_is_refused():
    with pytest.raises(NoteInvalid, match="too long"):
        open_note(sign_note("x" * (1 << 20) + "\n", KEY), [KEY.verifier])


@pytest.mark.parametrize("position", ["before", "after"])
def test_signatures_of_unknown_keys_are_ignored(position):
    same_name = a_line(content=b"abcd" + bytes(64))
    same_id = a_line(name="stranger", content=KEY.verifier.key_id + bytes(64))
    strangers = same_name + same_id
    lines = strangers + SIGNATURE_LINE if position == "before" else SIGNATURE_LINE + strangers

    opened = open_note(f"{TEXT}\n{lines}", [KEY.verifier])

    assert [signed.key for signed in opened.signatures] == [KEY.verifier]


@pytest.mark.parametrize("length", [1, 63, 64, 65, 72])
def test_a_wrong_signature_under_a_known_name_and_id_rejects_the_whole_note(length):
    bad = a_line(content=KEY.verifier.key_id + bytes(length))
    good = sign_note(TEXT, OTHER)

    with pytest.raises(SignatureInvalid):
        open_note(good + bad, [OTHER.verifier, KEY.verifier])
    # A bad second signature is not hidden behind a good first one of the same key.
    with pytest.raises(SignatureInvalid):
        open_note(NOTE + bad, [KEY.verifier])


def test_a_changed_text_is_rejected():
    with pytest.raises(SignatureInvalid):
        open_note(NOTE.replace("One", "Two"), [KEY.verifier])


def test_a_note_that_no_known_key_signed_is_nothing():
    with pytest.raises(Unsigned):
        open_note(NOTE, [OTHER.verifier])
    with pytest.raises(Unsigned):
        open_note(NOTE, [])


@pytest.mark.parametrize("text", ["", "no line end", "a\x00b\n", "a\rb\n"])
def test_a_text_that_no_note_can_hold_is_not_signed(text):
    with pytest.raises(NoteInvalid):
        sign_note(text, KEY)


def test_the_golden_checkpoint_is_signed_and_cosigned_byte_for_byte():
    log = SigningKey("irt.example/NCT04293692", bytes.fromhex(LEDGER["log_seed"]))
    witness = SigningKey("qa.example/w1", bytes.fromhex(LEDGER["witness_seed"]))
    checkpoint = Checkpoint(origin=log.name, size=3, root=bytes.fromhex(LEDGER["root_3"]))

    note = cosign_note(sign_checkpoint(checkpoint, log), witness, at=LEDGER["witness_time"])

    assert note == LEDGER["note"]
    assert log.verifier.vkey == LEDGER["log_vkey"]
    assert witness.witness.vkey == LEDGER["witness_vkey"]


def test_the_golden_checkpoint_opens_with_the_log_key_and_tells_the_witness_time():
    keys = [VerifierKey.parse(LEDGER[name]) for name in ("log_vkey", "witness_vkey")]

    checkpoint, note = open_checkpoint(LEDGER["note"], keys)

    assert (checkpoint.origin, checkpoint.size) == ("irt.example/NCT04293692", 3)
    assert checkpoint.root.hex() == LEDGER["root_3"]
    assert [signed.at for signed in note.signatures] == [None, LEDGER["witness_time"]]
    assert keys[1].kind == COSIGNATURE


def test_a_witness_alone_does_not_make_a_checkpoint():
    with pytest.raises(Unsigned):
        open_checkpoint(LEDGER["note"], [VerifierKey.parse(LEDGER["witness_vkey"])])


def test_a_cosignature_at_another_time_is_wrong():
    witness = VerifierKey.parse(LEDGER["witness_vkey"])
    text, lines = split_note(LEDGER["note"])
    later = (LEDGER["witness_time"] + 1).to_bytes(8, "big") + lines[1].signature[8:]

    with pytest.raises(SignatureInvalid):
        witness.verify(text, later)


def test_a_log_signs_under_its_own_name_only():
    with pytest.raises(NoteInvalid, match="name of its origin"):
        sign_checkpoint(Checkpoint(origin="another", size=1, root=bytes(32)), KEY)


def test_another_key_under_another_name_does_not_sign_for_the_log():
    forged = sign_note(Checkpoint(origin=OTHER.name, size=1, root=bytes(32)).text, KEY)

    with pytest.raises(Unsigned):
        open_checkpoint(forged, [KEY.verifier, OTHER.verifier])


def test_the_published_checkpoint_reads_and_writes_the_same():
    checkpoint = Checkpoint.parse(PUBLISHED["checkpoint"])

    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text == PUBLISHED["checkpoint"]


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n1\n",
        f"log\n1\n{ROOT}",
        f"\n1\n{ROOT}\n",
        f"a log\n1\n{ROOT}\n",
        f"a+log\n1\n{ROOT}\n",
        f"log\n01\n{ROOT}\n",
        f"log\n-1\n{ROOT}\n",
        f"log\n+1\n{ROOT}\n",
        f"log\n1 \n{ROOT}\n",
        f"log\n1.0\n{ROOT}\n",
        f"log\n١\n{ROOT}\n",
        f"log\n\n{ROOT}\n",
        f"log\n{'9' * 30}\n{ROOT}\n",
        f"log\n1\n{ROOT[:-4]}\n",
        f"log\n1\n{ROOT[:-1]}\n",
        f"log\n1\n{bytes(32).hex()}\n",
        f"log\n1\n{ROOT[:-2]}B=\n",
        f"log\n1\n{ROOT}\nextension\n",
        f"log\n1\n{ROOT}\n\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text):
    with pytest.raises(NoteInvalid):
        Checkpoint.parse(text)


def test_a_public_key_that_is_no_point_verifies_nothing():
    key = VerifierKey("trial.example/log", b"\xff" * 32)

    with pytest.raises(SignatureInvalid):
        key.verify(TEXT, bytes(64))
    assert Ed25519PublicKey.from_public_bytes(KEY.public)
