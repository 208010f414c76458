"""The verifier and the commitment to the list: what the trail, the statistician and the public say of it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from tests.unit.trails import (
    COMMITMENT,
    LIST_ROOT,
    LOG,
    ORIGIN,
    STATISTICIAN,
    Judge,
    a_trail,
    a_trial,
    the_beginning,
    the_trail_of,
)
from trialsite.audit.notes import SigningKey, sign_note


@pytest.fixture
def kept(tmp_path) -> Path:
    """What the auditor has from before: the log's public key."""
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "log.vkey").write_text(LOG.verifier.vkey + "\n")
    return folder


@pytest.fixture
def judge(tmp_path) -> Judge:
    return Judge(tmp_path)


def test_a_kept_commitment_is_compared_with_the_bundles(judge, kept):
    (kept / "published.note").write_text(COMMITMENT)
    other = sign_note(COMMITMENT.split("\n\n")[0].replace("48", "52") + "\n", STATISTICIAN)

    assert judge(a_trail(), kept).code == 0
    assert judge(a_trail().changed(commitment=other), kept).code == 1
    assert judge(a_trail().changed(commitment=""), kept).code == 1


NOT_THE_EVENTS = ["not what the trail's list.committed event says"]
DIGEST = hashlib.sha256(COMMITMENT.encode()).hexdigest()
ROOT = LIST_ROOT.hex()


def what_is_told_of(judge: Judge, data: dict[str, str]) -> list[str]:
    events = a_trial()
    events[2]["data"] = data
    return judge.told(events)


@pytest.mark.parametrize(
    "data",
    [
        {"root": ROOT, "note": COMMITMENT},
        {"root": base64.b64encode(LIST_ROOT).decode(), "note": COMMITMENT},
        {"root": ROOT, "note_sha256": DIGEST},
        {"root": ROOT, "note_sha256": DIGEST, "note": COMMITMENT},
    ],
)
@pytest.mark.requirement(5)
def test_a_commitment_is_what_the_trail_says(judge, data):
    assert what_is_told_of(judge, data) == []


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"root": ROOT},
        {"note": COMMITMENT},
        {"note_sha256": DIGEST},
        {"root": "00" * 32, "note": COMMITMENT},
        {"root": ROOT, "note": COMMITMENT.replace("48", "52")},
        {"root": ROOT, "note": ""},
        {"root": ROOT, "note_sha256": "00" * 32},
        {"root": ROOT, "note_sha256": DIGEST, "note": ""},
        {"root": ROOT, "note_sha256": "", "note": COMMITMENT},
    ],
)
@pytest.mark.requirement(5)
def test_a_commitment_that_is_not_the_trails_shows(judge, data):
    assert what_is_told_of(judge, data) == NOT_THE_EVENTS


def test_a_commitment_to_no_root_shows(judge):
    note = sign_note(COMMITMENT.split("\n\n")[0].replace(lines_of(COMMITMENT)[2], "") + "\n", STATISTICIAN)
    events = a_trial()
    events[2]["data"] = {"root": "", "note": note}

    verdict = judge(a_trail(events).changed(commitment=note))

    assert verdict.of("violation") == [f"violation: commitment.note: {NOT_THE_EVENTS[0]}"]


def lines_of(note: str) -> list[str]:
    return note.split("\n")


def test_a_commitment_without_its_event_shows(judge):
    without = [event for event in the_beginning() if event["k"] != "list.committed"]

    assert judge.told(without) == ["no list.committed event puts it on the trail"]


COMMITMENT_TEXT = COMMITMENT.split("\n\n")[0] + "\n"
NOT_THE_STATISTICIANS = (
    "violation: commitment.note: not signed by the statistician's key that was brought: "
    "no known key signed the note"
)


@pytest.mark.requirement(5)
def test_a_commitment_that_the_log_signed_is_not_the_statisticians(judge, kept):
    trail = the_trail_of(sign_note(COMMITMENT_TEXT, LOG))

    assert any("no statistician's key was given" in line for line in judge(trail, kept).of("note"))
    (kept / "statistician.vkey").write_text(STATISTICIAN.verifier.vkey)
    assert judge(trail, kept).of("violation") == [NOT_THE_STATISTICIANS]


@pytest.mark.requirement(5)
def test_a_statisticians_key_out_of_the_bundle_is_not_believed(judge, kept):
    impostor = SigningKey(STATISTICIAN.name, bytes(32))
    inside = f"{LOG.verifier}\n{impostor.verifier}\n".encode()
    trail = the_trail_of(sign_note(COMMITMENT_TEXT, impostor)).changed(changes={"keys.txt": inside})

    for keys in (None, kept):
        assert any("no statistician's key was given" in line for line in judge(trail, keys).of("note"))
    (kept / "statistician.vkey").write_text(STATISTICIAN.verifier.vkey)
    assert judge(trail, kept).of("violation") == [NOT_THE_STATISTICIANS]


def test_a_statisticians_key_under_the_name_of_the_log_signs_no_commitment(judge, kept):
    same_name = SigningKey(ORIGIN, bytes(range(1, 33)))
    public = {"log": LOG.verifier.vkey, "statistician": same_name.verifier.vkey}
    (kept / "public_keys.json").write_text(json.dumps(public))

    verdict = judge(the_trail_of(sign_note(COMMITMENT_TEXT, same_name)), kept)

    assert verdict.of("violation") == [NOT_THE_STATISTICIANS]


@pytest.mark.requirement(75)
def test_a_log_that_the_statistician_forged_under_their_own_name_shows(judge, kept):
    (kept / "log.vkey").write_text(f"{LOG.verifier}\n{STATISTICIAN.verifier}\n")
    forgery = the_trail_of(COMMITMENT, log=STATISTICIAN)

    with_keys, without = judge(forgery, kept), judge(forgery)

    assert (with_keys.code, without.code) == (1, 1)
    assert any("no known key signed the note" in line for line in with_keys.of("violation"))


def test_a_commitment_signed_by_someone_under_the_statisticians_name_and_id_shows(judge, kept):
    (kept / "statistician.vkey").write_text(STATISTICIAN.verifier.vkey)
    text, signatures = COMMITMENT.split("\n\n")
    edited = text.replace("48", "52") + "\n\n" + signatures

    assert judge(a_trail().changed(commitment=edited), kept).code == 1
