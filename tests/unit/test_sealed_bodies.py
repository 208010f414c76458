"""The sealed body of an audit event: one length, its own readers, and every way to tamper with it."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import secrets
import uuid
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from trialsite import sealing
from trialsite.keyfiles import write_key_file
from trialsite.opening import (
    FileKeys,
    IntegrityFailure,
    OpeningFailed,
    open_body,
)
from trialsite.sealing import BodyTooLarge, PublicKey

NOON = dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)
EVENT = uuid.UUID("11111111-2222-4333-8444-555555555555")
KIDS = ("auditor-1", "safety-desk-1", "release-1")


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> FileKeys:
    folder = tmp_path_factory.mktemp("keys")
    for kid in KIDS:
        write_key_file(folder / kid, "x25519", kid, secrets.token_bytes(32), NOON)
    return FileKeys([folder / kid for kid in KIDS])


def the_public_key(keys: FileKeys, kid: str) -> PublicKey:
    return PublicKey(kid=kid, alg="x25519", raw=keys.public(kid))


BODY = {"step": "reveal", "arm": "A", "reason": "septic shock", "participant": "0f0e"}


def a_body(
    keys: FileKeys, body: dict[str, Any] = BODY, *, kids=("auditor-1", "safety-desk-1"), **changes: Any
):
    arguments = {"event_id": EVENT, "study": "NCT04293692", "at": NOON, **changes}
    return sealing.seal_body(body, recipients=[the_public_key(keys, kid) for kid in kids], **arguments)


@pytest.mark.parametrize("kid", ["auditor-1", "safety-desk-1"])
@pytest.mark.requirement(78)
def test_each_recipient_reads_the_body(keys, kid):
    assert open_body(keys, kid, a_body(keys), event_id=EVENT, study="NCT04293692") == BODY


def test_a_sealed_body_is_what_the_format_says(keys):
    envelope = a_body(keys)

    header = json.loads(envelope["h"])

    assert json.loads(json.dumps(envelope)) == envelope
    assert envelope["h"].encode() == rfc8785.dumps(header)
    assert (header["v"], header["id"], header["study"]) == ("irt/envelope/v1", str(EVENT), "NCT04293692")
    assert header["t"] == "2026-03-01T12:00:00.123Z"
    assert header["kids"] == ["auditor-1", "safety-desk-1"] == list(envelope["w"])
    assert [len(base64.b64decode(wrap)) for wrap in envelope["w"].values()] == [80, 80]
    assert len(base64.b64decode(envelope["c"])) == 12 + 2048 + 16


@pytest.mark.requirement(50, 55, 78)
@settings(deadline=None, max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), st.sampled_from("AB"))
def test_all_bodies_have_one_length_whatever_they_say(reason, arm):
    publics = [
        PublicKey(kid, "x25519", X25519PrivateKey.generate().public_key().public_bytes_raw())
        for kid in ("auditor-1", "safety-desk-1")
    ]

    envelope = sealing.seal_body(
        {"arm": arm, "reason": reason}, event_id=EVENT, study="NCT04293692", at=NOON, recipients=publics
    )

    empty = sealing.seal_body({}, event_id=EVENT, study="NCT04293692", at=NOON, recipients=publics)
    assert len(rfc8785.dumps(envelope)) == len(rfc8785.dumps(empty))


def test_a_body_fits_up_to_the_last_byte_but_one(keys):
    room = 2048 - len(rfc8785.dumps({"text": ""}))

    fits = a_body(keys, {"text": "x" * (room - 1)})

    assert open_body(keys, "auditor-1", fits) == {"text": "x" * (room - 1)}
    with pytest.raises(BodyTooLarge):
        a_body(keys, {"text": "x" * room})
    assert len(base64.b64decode(a_body(keys, {}, size=64)["c"])) == 12 + 64 + 16


def test_a_body_that_ends_like_padding_comes_back_whole(keys):
    body = {"text": "\u0000 \u0080 ends in \u20ac"}

    assert open_body(keys, "auditor-1", a_body(keys, body)) == body


def test_the_bytes_that_bind_a_wrap_are_frozen():
    assert sealing.wrap_info(b"header", "auditor-1") == (
        b"irt/wrap/v1|" + hashlib.sha256(b"header").digest() + b"auditor-1"
    )


def refused(
    keys: FileKeys, envelope: dict[str, Any], error: type[OpeningFailed] = OpeningFailed, **place: Any
):
    with pytest.raises(error):
        open_body(keys, "auditor-1", envelope, **place)


def test_a_swapped_ciphertext_is_refused(keys):
    refused(keys, {**a_body(keys), "c": a_body(keys)["c"]}, IntegrityFailure)


def test_swapped_wraps_are_refused(keys):
    refused(keys, {**a_body(keys), "w": a_body(keys)["w"]})


def test_wraps_and_ciphertext_swapped_together_are_refused(keys):
    other = a_body(keys)

    refused(keys, {**a_body(keys), "w": other["w"], "c": other["c"]})


def test_the_wrap_of_another_recipient_is_refused(keys):
    envelope = a_body(keys)
    wraps = envelope["w"]

    crossed = {"auditor-1": wraps["safety-desk-1"], "safety-desk-1": wraps["auditor-1"]}

    refused(keys, {**envelope, "w": crossed})


def test_a_wrap_taken_away_or_added_is_refused(keys):
    envelope = a_body(keys)
    kept = envelope["w"]["auditor-1"]

    refused(keys, {**envelope, "w": {"auditor-1": kept}}, IntegrityFailure)
    refused(keys, {**envelope, "w": {**envelope["w"], "release-1": kept}}, IntegrityFailure)


def test_who_is_not_a_recipient_reads_nothing(keys):
    with pytest.raises(OpeningFailed, match="no wrap"):
        open_body(keys, "release-1", a_body(keys))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", str(uuid.UUID(int=1))),
        ("study", "NCT00000000"),
        ("t", "2026-03-02T12:00:00.123Z"),
        ("kc", "00" * 32),
        ("kids", ["safety-desk-1", "auditor-1"]),
        ("kids", ["auditor-1"]),
        ("v", "irt/envelope/v2"),
        ("more", 1),
    ],
)
def test_an_edited_header_is_refused(keys, name, value):
    envelope = a_body(keys)

    edited = rfc8785.dumps({**json.loads(envelope["h"]), name: value}).decode()

    refused(keys, {**envelope, "h": edited})


def test_a_body_moved_to_another_event_is_refused(keys):
    refused(keys, a_body(keys), IntegrityFailure, event_id=uuid.UUID(int=1))
    refused(keys, a_body(keys), IntegrityFailure, study="NCT00000000")


@pytest.mark.parametrize("place", [0, 12, 1000, -17, -1])
def test_one_changed_bit_of_a_body_is_refused(keys, place):
    envelope = a_body(keys)
    ciphertext = bytearray(base64.b64decode(envelope["c"]))
    ciphertext[place] ^= 1

    refused(keys, {**envelope, "c": base64.b64encode(ciphertext).decode()}, IntegrityFailure)


@pytest.mark.parametrize("length", [0, 4, 12, 28, 1000, 2075])
def test_a_truncated_body_is_refused(keys, length):
    envelope = a_body(keys)
    cut = base64.b64encode(base64.b64decode(envelope["c"])[:length]).decode()

    refused(keys, {**envelope, "c": cut}, IntegrityFailure)


def test_a_sender_cannot_give_two_readers_two_keys(keys):
    # The header commits to one data key; the safety desk is handed another in a well-made wrap.
    envelope = a_body(keys)
    header = envelope["h"].encode()
    other = sealing.seal(
        the_public_key(keys, "auditor-1"),
        secrets.token_bytes(32),
        info=sealing.wrap_info(header, "auditor-1"),
    )

    forged = {**envelope, "w": {**envelope["w"], "auditor-1": base64.b64encode(other).decode()}}

    with pytest.raises(IntegrityFailure, match="commits"):
        open_body(keys, "auditor-1", forged)


def a_body_of(keys: FileKeys, padded: bytes) -> dict[str, Any]:
    """Return a well-made envelope around arbitrary padded bytes."""
    data_key = secrets.token_bytes(32)
    encryption_key, commitment = sealing.body_keys(data_key, event_id=EVENT)
    claims = {"v": "irt/envelope/v1", "id": str(EVENT), "study": "S", "t": "", "kc": commitment.hex()}
    header = rfc8785.dumps({**claims, "kids": ["auditor-1"]})
    wrap = sealing.seal(
        the_public_key(keys, "auditor-1"), data_key, info=sealing.wrap_info(header, "auditor-1")
    )
    nonce = bytes(12)
    ciphertext = nonce + AESGCM(encryption_key).encrypt(nonce, padded, header)
    return {
        "h": header.decode(),
        "w": {"auditor-1": base64.b64encode(wrap).decode()},
        "c": base64.b64encode(ciphertext).decode(),
    }


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        bytes(2048),
        b"{}".ljust(2048, b"\0"),
        b"{}\x80".ljust(2047, b"\0") + b"\x01",
        b"{}\x80\x80".ljust(2048, b"\0"),
        b"\x80",
        b"[]\x80",
        b"{ }\x80",
        b'{"a":1,"a":1}\x80',
        b'{"a":NaN}\x80',
        b"\xff\x80",
        b"[" * 1000 + b"\x80",
        b'"' + b"[" * 100_000 + b"\x80",
    ],
)
def test_a_body_with_another_padding_or_content_is_refused(keys, padded):
    assert open_body(keys, "auditor-1", a_body_of(keys, b"{}\x80")) == {}

    refused(keys, a_body_of(keys, padded), IntegrityFailure)


@pytest.mark.parametrize(
    "envelope",
    [
        {},
        {"h": "", "w": {}, "c": ""},
        {"h": "[]", "w": {}, "c": ""},
        {"h": "{}", "w": {}, "c": ""},
        {"h": None, "w": None, "c": None},
        {"h": "[" * 100_000, "w": {}, "c": ""},
    ],
)
def test_what_is_no_sealed_body_is_refused(keys, envelope):
    refused(keys, envelope)


@pytest.mark.parametrize("change", [{"w": []}, {"w": {"auditor-1": 1}}, {"w": {"auditor-1": "!"}}, {"c": 1}])
def test_a_sealed_body_with_parts_of_another_type_is_refused(keys, change):
    envelope = a_body(keys, kids=("auditor-1",))

    refused(keys, {**envelope, **change})


def test_a_body_needs_recipients_each_once_and_a_time_with_its_zone(keys):
    with pytest.raises(ValueError, match="at least one"):
        a_body(keys, kids=())
    with pytest.raises(ValueError, match="only once"):
        a_body(keys, kids=("auditor-1", "auditor-1"))
    with pytest.raises(ValueError, match="time zone"):
        a_body(keys, at=NOON.replace(tzinfo=None))
