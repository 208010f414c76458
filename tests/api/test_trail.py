"""What each may see of the trail: masked roles their side, everyone the checkpoint, the auditor all."""

from __future__ import annotations

import io
import json
import os
import uuid
import zipfile
from pathlib import Path

import pytest
from django.conf import LazySettings

from tests.people import NOON, a_client, a_person
from trialsite.accounts.roles import Role
from trialsite.audit import signing
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.keyfiles import write_key_file

pytestmark = pytest.mark.django_db
PARTICIPANT = str(uuid.UUID(int=7))


def the_day_so_far() -> None:
    ines, pavel = a_person("ines", Role.INVESTIGATOR), a_person("pavel", Role.PREPARER)
    about = {"participant": PARTICIPANT, "slot": "4"}
    record(
        kind=Kind.PARTICIPANT_RANDOMIZED, by=ines, role="investigator", at=NOON, about=about, data={"slot": 4}
    )
    record(kind=Kind.LOT_RECEIVED, by=pavel, role="preparer", at=NOON, about={"lot": "CANARY"})
    record(kind=Kind.KIT_RELEASED, by=pavel, role="preparer", at=NOON, about={"kit": "7KD4RX2M"})


def test_a_monitor_sees_who_did_what_on_the_masked_side_and_when() -> None:
    the_day_so_far()
    monitor = a_client(a_person("mona", Role.MONITOR))

    answer = monitor.get("/api/v1/audit-events", {"participant": PARTICIPANT})

    (event,) = answer.json()["results"]
    assert event | {"recorded_at": ""} == {
        "kind": "participant.randomized",
        "at": "2026-03-02T04:00:00.000Z",
        "recorded_at": "",
        "actor": "ines",
        "role": "investigator",
        "about": {"participant": PARTICIPANT},
    }


def test_of_a_preparation_only_the_release_is_seen_and_only_by_role() -> None:
    the_day_so_far()

    answer = a_client(a_person("mona", Role.MONITOR)).get("/api/v1/audit-events")

    released = answer.json()["results"][-1]
    assert released["kind"] == "kit.released"
    assert (released["actor"], released["role"]) == (None, "preparer")
    assert b"CANARY" not in answer.content
    assert b"pavel" not in answer.content
    assert "position" not in released


def test_lists_come_in_pages() -> None:
    the_day_so_far()
    client = a_client(a_person("mona", Role.MONITOR))

    first = client.get("/api/v1/audit-events?page_size=1&page=1").json()
    beyond = client.get("/api/v1/audit-events?page_size=1&page=99")

    assert set(first) == {"count", "next", "previous", "results"}
    assert (len(first["results"]), first["count"] > 1) == (1, True)
    assert first["next"].endswith("/api/v1/audit-events?page=2&page_size=1")
    assert beyond.status_code == 404


@pytest.mark.parametrize("role", [Role.INVESTIGATOR, Role.NURSE, Role.OUTCOME_ASSESSOR, Role.PREPARER])
def test_other_roles_do_not_see_the_events(role: Role) -> None:
    assert a_client(a_person("who", role)).get("/api/v1/audit-events").status_code == 403


@pytest.fixture
def a_log_key(unmasked_face: None, settings: LazySettings, tmp_path: Path) -> None:
    settings.LOG_KEY_FILE = str(tmp_path / "log.key")
    settings.CHECKPOINT_FILE = str(tmp_path / "checkpoint")
    write_key_file(settings.LOG_KEY_FILE, "ed25519", "log-1", os.urandom(32), NOON)
    signing.signer.cache_clear()


@pytest.mark.usefixtures("a_log_key")
def test_the_auditor_takes_the_whole_trail_away_and_anyone_its_checkpoint() -> None:
    the_day_so_far()
    auditor = a_client(a_person("otto", Role.AUDITOR))
    assert a_client().get("/api/v1/audit-trail/checkpoint").status_code == 404

    export = auditor.get("/api/v1/audit-trail/export")

    entries = zipfile.ZipFile(io.BytesIO(export.content)).read("entries.jsonl").splitlines()
    checkpoint = a_client().get("/api/v1/audit-trail/checkpoint")
    assert export["Content-Type"] == "application/zip"
    assert export["Cache-Control"] == "no-store"
    assert int(checkpoint.content.splitlines()[1]) == len(entries) == json.loads(entries[-1])["seq"] + 1
    assert checkpoint["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.usefixtures("a_log_key")
def test_nobody_else_takes_the_trail_away() -> None:
    assert a_client(a_person("mona", Role.MONITOR)).get("/api/v1/audit-trail/export").status_code == 403
    assert a_client().get("/api/v1/audit-trail/export").status_code == 401
