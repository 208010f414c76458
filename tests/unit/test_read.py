"""The auditor's reader: who opens what, and what is said where it does not open."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trails import (
    NOON,
    Trail,
    a_sealed_event,
    a_trail,
    a_trial,
    an_event,
)
from trialsite.audit import read
from trialsite.keyfiles import write_key_file
from trialsite.opening import FileKeys
from trialsite.sealing import PublicKey, PublicKeys


@pytest.fixture
def people(tmp_path) -> dict[str, PublicKey]:
    """The auditor, the safety desk and a stranger, each with a key file of their own."""
    for kid in ("auditor-1", "safety-desk-1", "stranger-1"):
        write_key_file(tmp_path / kid, "x25519", kid, os.urandom(32), NOON)
    return {
        kid: PublicKey(kid, "x25519", FileKeys([tmp_path / kid]).public(kid))
        for kid in ("auditor-1", "safety-desk-1", "stranger-1")
    }


@pytest.fixture
def reads(capsys, tmp_path, people):
    def run(trail: Trail | Path, kid: str = "auditor-1", *more: str) -> tuple[int, list[dict[str, Any]], str]:
        bundle = trail.export(tmp_path / "bundle.zip") if isinstance(trail, Trail) else trail
        code = read.main([str(bundle), "--key", str(tmp_path / kid), *more])
        said = capsys.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    return run


INTENT = {"step": "intent", "reason": "septic shock \u2028"}


@pytest.mark.parametrize("kid", ["auditor-1", "safety-desk-1"])
@pytest.mark.requirement(78, 84)
def test_a_recipient_reads_every_event_in_order(reads, people, kid):
    event = a_sealed_event(INTENT, people["auditor-1"], people["safety-desk-1"])

    code, lines, said = reads(a_trail([*a_trial(), event]), kid)

    assert code == 0
    assert [line["seq"] for line in lines] == list(range(16))
    assert lines[4] == {"seq": 4, **a_trial()[4]}
    assert lines[15] == {
        "seq": 15,
        "v": 1,
        "k": "unblinding",
        "t": event["t"],
        "id": event["id"],
        "opened": INTENT,
    }
    assert said == "verdict: holds\n"


def test_a_sealed_text_inside_a_clear_event_is_read_too(reads, people):
    event = a_sealed_event(INTENT, people["auditor-1"])
    clear = an_event("accidental_unblinding.reported", data={"id": event["id"], "sealed": event["sealed"]})

    _, lines, _ = reads(a_trail([*a_trial(), clear]))

    assert lines[15]["opened"] == INTENT
    assert lines[15]["data"] == {"id": event["id"]}
    assert lines[15]["act"] == "system:test"


def test_who_has_no_wrap_reads_that_something_happened(reads, people):
    code, lines, _ = reads(a_trail([*a_trial(), a_sealed_event(INTENT, people["auditor-1"])]), "stranger-1")

    assert code == 0
    assert lines[15]["opened"] is None


def test_a_body_that_does_not_open_is_a_violation(reads, people):
    auditor = people["auditor-1"]
    first, second = a_sealed_event(INTENT, auditor), a_sealed_event(INTENT, auditor)
    moved = {**first, "sealed": second["sealed"]}
    crossed = {**first, "sealed": {**first["sealed"], "c": second["sealed"]["c"]}}
    broken = {**first, "sealed": {"h": "", "w": [], "c": ""}}
    unnamed = {name: value for name, value in first.items() if name != "id"}

    code, lines, said = reads(a_trail([*a_trial(), moved, crossed, broken, unnamed, first]))

    assert code == 1
    assert ["failed" in line for line in lines[15:]] == [True, True, True, True, False]
    assert said.endswith("verdict: violated (4 findings)\n")


def the_public_keys(people: dict[str, PublicKey], path: Path) -> str:
    officer = people["stranger-1"]
    keys = PublicKeys(
        officer, people["auditor-1"], people["safety-desk-1"], (officer, officer, officer), "", ""
    )
    keys.dump(path)
    return str(path)


def test_an_event_that_leaves_the_auditor_out_is_a_violation(reads, people, tmp_path):
    keys = the_public_keys(people, tmp_path / "public-keys.json")
    trail = a_trail([*a_trial(), a_sealed_event(INTENT, people["safety-desk-1"])])

    assert reads(trail)[0] == 0
    assert reads(trail, "auditor-1", "--public-keys", keys)[0] == 1
    assert reads(trail, "safety-desk-1", "--public-keys", keys)[0] == 0
    assert reads(trail, "stranger-1", "--public-keys", keys)[0] == 2


def test_a_reader_without_a_usable_key_or_bundle_gets_a_verdict(reads, people, tmp_path):
    (tmp_path / "garbage").write_bytes(b"garbage")
    (tmp_path / "stranger-1").chmod(stat.S_IRUSR | stat.S_IRGRP)

    assert reads(a_trail(), "missing")[0] == 2
    assert reads(a_trail(), "stranger-1")[0] == 2
    assert reads(tmp_path / "garbage")[0] == 2
    assert reads(a_trail(), "auditor-1", "--public-keys", str(tmp_path / "garbage"))[0] == 2


def test_events_that_are_none_are_passed_over_and_told(reads):
    bodies = (*a_trail().bodies, b"[]", b"{ }")

    code, lines, _ = reads(a_trail().changed(bodies=bodies))

    assert code == 1
    assert len(lines) == 15
