"""The emergency envelopes of a site: opened offline by the pharmacy's key, silent outside."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pypdf import PageObject, PdfReader

from randomization import emergency_sheet
from randomization.domain.sealed_list import Commitment, SealedSlot
from randomization.emergency_paper import Row, SiteList, emergency_sheets
from trialsite import protocol as protocols
from trialsite.audit import merkle, notes
from trialsite.audit.canonical import canonical
from trialsite.keyfiles import write_key_file
from trialsite.opening import FileKeys
from trialsite.sealing import PublicKey, padded_document, seal, slot_leaf

ROOT = "5a" * 32
NOW = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
A, B = ["A", "Umbilical cord cells in 100 mL"], ["B", "Saline (with albumin), 100 mL"]
SALTS = [bytes([slot]) * 32 for slot in range(6)]
ROWS = [
    [slot, f"R{271828 + 37 * slot}", *(A if slot in (0, 3, 4) else B), SALTS[slot].hex()] for slot in range(6)
]
STATISTICIAN = notes.SigningKey("trial.example/statistician", bytes(range(32)))
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def key(tmp_path) -> Path:
    path = tmp_path / "emergency-1.key"
    write_key_file(path, "x25519", "emergency-1", bytes(range(1, 33)), NOW)
    return path


def a_sealed_list(key: Path, *, rows: Any = ROWS, sealed_for: str = "PUREN", **claims: Any) -> dict[str, Any]:
    """``emergency/PUREN.json`` as docs/specs/randomization-list.md has it."""
    public = PublicKey(kid="emergency-1", alg="x25519", raw=FileKeys([key]).public("emergency-1"))
    place = canonical({"study": "NCT04293692", "site": sealed_for, "root": ROOT})
    content = rows if isinstance(rows, bytes) else padded_document({"rows": rows})
    sealed = seal(public, content, info=b"irt/emergency/v1|" + place)
    document = {
        "v": "irt-emergency/1",
        "study": "NCT04293692",
        "site": "PUREN",
        "stratum": "emergency=PUREN",
        "root": ROOT,
        "kid": "emergency-1",
        "sealed": base64.b64encode(sealed).decode(),
    }
    return document | claims


def a_note(slots: bytes = b"", **changes: Any) -> str:
    claims = {"study": "NCT04293692", "root": bytes.fromhex(ROOT)} | changes
    hashes = dict.fromkeys(("commitment", "software", "spec"), bytes(32))
    signed = Commitment(**claims, **hashes, leaves=30, trial="ab" * 32, slots=hashlib.sha256(slots).digest())
    return notes.sign_note(signed.text, STATISTICIAN)


def leaf_of(row: list[Any], stratum: str) -> bytes:
    slot, _, arm, _, salt = row
    claims = {"study": "NCT04293692", "stratum": stratum, "slot": slot}
    return merkle.leaf_hash(slot_leaf(**claims, arm="AB".index(arm), salt=bytes.fromhex(salt)))


def lines_of(rows: list[list[Any]], stratum: str = "emergency=PUREN") -> bytes:
    """The lines of ``slots.jsonl`` for these rows, after those of another stratum."""
    slots = [SealedSlot("age=18-59", 0, bytes(96), bytes(32), "R000001")]
    slots += [SealedSlot(stratum, row[0], bytes(96), leaf_of(row, stratum), row[1]) for row in rows]
    return "".join(f"{slot.to_line()}\n" for slot in slots).encode()


def run(tmp_path: Path, key: Path, sealed: dict[str, Any], *options: str) -> int:
    """Print it, without comparison unless options say with what."""
    file = tmp_path / "PUREN.json"
    file.write_text(json.dumps(sealed))
    out = str(tmp_path / "envelopes.pdf")
    return emergency_sheet.main(
        ["--key", str(key), "--sealed", str(file), "--out", out, *(options or ["--unchecked"])]
    )


def pages(pdf: bytes) -> list[PageObject]:
    return list(PdfReader(io.BytesIO(pdf)).pages)


def text_of(page: PageObject) -> str:
    return " ".join(page.extract_text().split())


def drawing_of(page: PageObject) -> bytes:
    contents = page.get_contents()
    assert contents is not None
    return contents.get_data()


def printed(arms: list[list[str]], **changes: Any) -> bytes:
    rows = [
        Row(slot=slot, randomization_number=f"R{300000 + slot}", arm=arm, treatment=treatment, salt=bytes(32))
        for slot, (arm, treatment) in enumerate(arms)
    ]
    return emergency_sheets(
        SiteList(**({"study": "NCT04293692", "site": "PUREN", "root": ROOT, "rows": rows} | changes))
    )


@pytest.mark.requirement(83)
def test_the_pharmacy_prints_a_cover_a_ledger_and_a_sheet_for_each_envelope_in_order(tmp_path, key):
    assert run(tmp_path, key, a_sealed_list(key)) == 0

    file = tmp_path / "envelopes.pdf"
    cover, ledger, *sheets = map(text_of, pages(file.read_bytes()))
    assert file.stat().st_mode & 0o077 == 0
    for words in ("NCT04293692, site PUREN", "Envelopes 1 to 6", ROOT, "SPOILED", "AFTERWARDS"):
        assert words in cover
    assert len(sheets) == len(ROWS)
    places = [ledger.index(number) for _, number, *_ in ROWS]
    assert places == sorted(places)
    for (slot, number, arm, treatment, _), sheet in zip(ROWS, sheets, strict=True):
        for words in (f"Envelope {slot + 1}", f"Randomization number {number}", "Participant", "Witness"):
            assert words in sheet
        assert f"Arm {arm} Treatment {treatment}" in sheet


@pytest.mark.requirement(4, 83)
def test_neither_cover_nor_ledger_nor_outside_depends_on_an_arm():
    mine, other = pages(printed([A, B, B, A])), pages(printed([B, A, A, B]))

    for page, exchanged in zip(mine[:2], other[:2], strict=True):
        assert drawing_of(page) == drawing_of(exchanged)
    for page, exchanged in zip(mine[2:], other[2:], strict=True):
        (outside, _, inside), (same_outside, _, other_inside) = (
            drawing_of(each).partition(b"(Arm)") for each in (page, exchanged)
        )
        assert outside == same_outside
        assert inside != other_inside
        # One layout: the same strokes and places, and texts of one length.
        assert len(inside) == len(other_inside)


@pytest.mark.requirement(56, 83)
def test_the_file_and_each_sheet_are_as_long_for_one_arm_as_for_the_other():
    protocol = protocols.load(protocols.DEFAULT_TRIAL_FILE)
    each = [[arm.code, protocol.treatments[arm.treatment].name] for arm in protocol.arms]

    only_one, only_other = (printed([arm] * 4) for arm in each)

    assert only_one != only_other
    assert len(only_one) == len(only_other)
    assert len({len(drawing_of(page)) for page in [*pages(only_one)[2:], *pages(only_other)[2:]]}) == 1


def test_a_long_list_has_a_ledger_of_several_pages_and_no_line_is_lost():
    arms = [A, B] * 25

    texts = [text_of(page) for page in pages(printed(arms))]

    ledgers = [text for text in texts if "Ledger of" in text]
    assert len(texts) == 1 + len(ledgers) + 50
    for slot in range(50):
        assert sum(f"R{300000 + slot}" in ledger for ledger in ledgers) == 1


def test_the_same_list_is_printed_in_the_same_bytes_and_what_cannot_be_printed_is_refused():
    assert printed([A, B]) == printed([A, B])
    for treatment in ("very long " * 60, "干细胞", "two\nlines"):
        with pytest.raises(ValueError):
            printed([["A", treatment]])


@pytest.mark.parametrize(
    "claims",
    [
        {"v": "irt-emergency/2"},
        {"study": "NCT00000000"},
        {"site": "HANKOU", "stratum": "emergency=HANKOU"},
        {"stratum": "emergency=HANKOU"},
        {"stratum": "age_group=18-59"},
        {"root": "5b" * 32},
        {"kid": "emergency-2"},
        {"sealed": base64.b64encode(bytes(80)).decode()},
        {"sealed": "no base64"},
        {"sealed": 7},
        {"more": ""},
    ],
)
def test_a_file_of_another_study_site_list_or_key_is_not_printed(tmp_path, key, capsys, claims):
    assert run(tmp_path, key, a_sealed_list(key) | claims) == 2

    assert not (tmp_path / "envelopes.pdf").exists()
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [ROWS[0], ROWS[2]],
        [ROWS[1], ROWS[0]],
        [ROWS[0], [1, *ROWS[0][1:]]],
        [[0, "R1", "A", "cells", "00" * 32]],
        [[0, "R271828", "A", "cells"]],
        [[0, "R271828", "A", "cells", "00" * 31]],
        [[0, "R271828", "a", "cells", "00" * 32]],
        [[0, "R271828", "AB", "cells", "00" * 32]],
        [[True, *ROWS[0][1:]]],
        [[0, "R271828", "", "cells", "00" * 32]],
        [[0, "R271828", "A"]],
        {"0": ROWS[0]},
        b"no padding",
        b'{"rows": []}\x80' + bytes(100),
    ],
)
def test_rows_that_are_no_list_are_refused_without_telling_an_arm(tmp_path, key, capsys, rows):
    assert run(tmp_path, key, a_sealed_list(key, rows=rows)) == 2

    told = capsys.readouterr().err
    assert "cells" not in told.casefold()
    assert not (tmp_path / "envelopes.pdf").exists()


def test_an_extension_goes_on_with_the_number_of_the_next_envelope(tmp_path, key):
    rows = [[slot + 6, *row] for slot, *row in ROWS]

    assert run(tmp_path, key, a_sealed_list(key, rows=rows)) == 0

    cover = text_of(pages((tmp_path / "envelopes.pdf").read_bytes())[0])
    assert "Envelopes 7 to 12" in cover


@pytest.mark.requirement(5, 83)
def test_the_list_is_compared_with_what_the_statistician_signed(tmp_path, key, capsys):
    note, slots = tmp_path / "commitment.note", tmp_path / "slots.jsonl"
    signed = ("--commitment", str(note), "--statistician", STATISTICIAN.verifier.vkey)
    slots.write_bytes(lines_of(ROWS))
    sealed = a_sealed_list(key)

    note.write_text(a_note(lines_of(ROWS)))
    assert run(tmp_path, key, sealed, *signed, "--slots", str(slots)) == 0
    assert "every arm signed for" in capsys.readouterr().err
    (tmp_path / "envelopes.pdf").unlink()

    swapped = [[0, ROWS[1][1], *ROWS[0][2:]], [1, ROWS[0][1], *ROWS[1][2:]], *ROWS[2:]]
    for wrong_note, lines in (
        (a_note(root=bytes(32)), b""),
        (a_note(study="NCT00000000"), b""),
        (a_note(b"other slots"), lines_of(ROWS)),
        (a_note(lines_of(swapped)), lines_of(swapped)),
        (a_note(lines_of(ROWS, "emergency=HANKOU")), lines_of(ROWS, "emergency=HANKOU")),
        (a_note().replace("NCT04293692", "NCT04293693"), b""),
    ):
        note.write_text(wrong_note)
        slots.write_bytes(lines)
        assert run(tmp_path, key, sealed, *signed, "--slots", str(slots)) == 2
    other = notes.SigningKey("trial.example/statistician", bytes(32)).verifier.vkey
    note.write_text(a_note())
    compared = ("--commitment", str(note), "--statistician", other, "--slots", str(slots))
    assert run(tmp_path, key, sealed, *compared) == 2
    assert not (tmp_path / "envelopes.pdf").exists()


@pytest.mark.parametrize(
    "made", [[*B, SALTS[0].hex()], [*A, "ff" * 32], [*B, "ff" * 32]], ids=["arm", "salt", "both"]
)
@pytest.mark.requirement(5, 83)
def test_a_sheet_whose_arms_somebody_chose_is_refused_by_the_envelope_and_not_the_arm(
    tmp_path, key, capsys, made
):
    note, slots = tmp_path / "commitment.note", tmp_path / "slots.jsonl"
    slots.write_bytes(lines_of(ROWS))
    note.write_text(a_note(lines_of(ROWS)))
    forged = a_sealed_list(key, rows=[[*ROWS[0][:2], *made], *ROWS[1:]])
    signed = ("--commitment", str(note), "--statistician", STATISTICIAN.verifier.vkey, "--slots", str(slots))

    assert run(tmp_path, key, forged, *signed) == 2

    told = capsys.readouterr().err
    assert told == "envelope 1, R271828: its arm is not the one signed for\n"
    assert not (tmp_path / "envelopes.pdf").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--commitment", "note"],
        ["--commitment", "note", "--statistician", "key"],
        ["--statistician", "key", "--slots", "slots"],
        ["--unchecked", "--commitment", "note", "--statistician", "key", "--slots", "slots"],
        ["--unchecked", "--slots", "slots"],
        ["--out", "envelopes.pdf"],
    ],
)
def test_arms_are_compared_whole_or_printed_as_unchecked(tmp_path, key, options):
    with pytest.raises(SystemExit):
        run(tmp_path, key, a_sealed_list(key), *options)


def test_what_was_not_compared_is_said_to_be_unproved(tmp_path, key, capsys):
    assert run(tmp_path, key, a_sealed_list(key)) == 0

    assert "the arms are not proved" in capsys.readouterr().err


def test_what_is_printed_is_never_put_over_another_file(tmp_path, key):
    (tmp_path / "envelopes.pdf").write_text("something else")

    assert run(tmp_path, key, a_sealed_list(key)) == 2

    assert (tmp_path / "envelopes.pdf").read_text() == "something else"


def test_it_runs_offline_without_django_and_writes_to_a_printer_pipe(tmp_path, key):
    (tmp_path / "PUREN.json").write_text(json.dumps(a_sealed_list(key)))
    given = ["--key", str(key), "--sealed", str(tmp_path / "PUREN.json"), "--out", "-", "--unchecked"]
    code = (
        "import sys; from randomization import emergency_sheet;"
        "status = emergency_sheet.main(sys.argv[1:]); assert 'django' not in sys.modules; sys.exit(status)"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code, *given], cwd=REPOSITORY, capture_output=True, check=True
    )

    assert ran.stdout.startswith(b"%PDF-")
    assert b"6 envelopes of PUREN" in ran.stderr
    assert b"cells" not in ran.stderr
