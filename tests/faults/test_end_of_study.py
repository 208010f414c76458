"""The end of the study: two officers bring the list out, and a second program compares all that was done."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import call_command

import tests.world as worlds
from randomization.models import Allocation, Slot
from randomization.services.unblinding import open_arm
from tests.faults.serving import ROOT, a_server, headers
from tests.world import World, a_participant, a_world, born
from trialsite.audit.canonical import canonical, parse
from trialsite.clock.services import trial_now
from trialsite.opening import FileKeys
from trialsite.protocol import DEFAULT_TRIAL_FILE
from trialsite.sealing import PublicKeys

HIGH_FLOW = {"respiratory_support": "high_flow_or_ventilation"}


def offline(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a program as its user does, on a machine that has no database and no settings."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def by_the_ceremony(world: World, *, length: int) -> None:
    """Make the list in a process of its own, from a seed that nobody knows, and install what it wrote."""
    given = ["--trial", DEFAULT_TRIAL_FILE, "--public-keys", world.keys / "public_keys.json"]
    given += ["--statistician-key", world.offline / "statistician-1.key", "--length", str(length)]
    made = offline("-m", "randomization.generator", *given, "--out", world.list_folder)
    assert made.returncode == 0, made.stderr
    call_command("install_list", str(world.list_folder), stdout=io.StringIO())


@pytest.fixture
def world(a_fresh_database, tmp_path, settings, monkeypatch) -> World:
    monkeypatch.setattr(worlds, "a_list", by_the_ceremony)
    return a_world(tmp_path, settings)


def post(web: str, world: World, path: str, **body: Any) -> None:
    answer = httpx.post(f"{web}/{path}", json=body, headers=headers(world, key=f"{path}{body}"[:255]))
    assert answer.status_code == 201, answer.text


def enrol(world: World, web: str) -> None:
    """Randomize in three strata, and enter an envelope that was used and one that was spoiled."""
    used, spoiled = Slot.objects.filter(stratum="emergency=PUREN").order_by("position")[:2]
    for one in ({}, {}, {"strata": HIGH_FLOW}, {"birth_date": born(years_ago=66)}, {}, {"strata": HIGH_FLOW}):
        participant = a_participant(world, **one)
        post(web, world, f"participants/{participant.pk}/randomize", stratum=participant.stratum_levels)
    participant, then = a_participant(world), (trial_now() - dt.timedelta(milliseconds=1)).isoformat()
    post(
        web,
        world,
        f"participants/{participant.pk}/randomized-on-paper",
        randomization_number=used.randomization_number,
        randomized_at=then,
        stratum=participant.stratum_levels,
        reason="The system was down.",
    )
    post(
        web,
        world,
        "emergency-envelopes/spoiled",
        site="PUREN",
        randomization_number=spoiled.randomization_number,
        spoiled_at=then,
        reason="Torn.",
    )


def exported(world: World, web: str, folder: Path) -> Path:
    answer = httpx.get(f"{web}/audit-trail/export", headers=headers(world, by="auditor"), timeout=60)
    assert answer.status_code == 200
    path = folder / "export.zip"
    path.write_bytes(answer.content)
    return path


def two_officers_open(world: World, folder: Path) -> None:
    """Officer 3 takes the outer seal off at their desk, officer 1 the inner at theirs."""
    half = folder / "half.json"
    release, listed = ("-m", "randomization.release"), ("--list", world.list_folder)
    first = offline(
        *(*release, "begin", *listed, "--key", world.offline / "release-3.key"),
        *("--with", "release-1", "--out", half),
    )
    assert first.returncode == 0, first.stderr
    second = offline(
        *(*release, "finish", *listed, "--key", world.offline / "release-1.key", "--half", half),
        *("--public-keys", world.keys / "public_keys.json", "--out", world.list_folder / "revealed.json"),
    )
    assert second.returncode == 0, second.stderr


def altered(export: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    """Return a copy of the export with other events of participants randomized."""
    copy = export.with_name("altered.zip")
    with zipfile.ZipFile(export) as bundle, zipfile.ZipFile(copy, "w") as out:
        for name in bundle.namelist():
            content = bundle.read(name)
            if name == "entries.jsonl":
                entries = [json.loads(line) for line in content.splitlines()]
                bodies = [parse(base64.b64decode(entry["body"])) for entry in entries]
                change([body for body in bodies if body["k"] == "participant.randomized"])
                lines = [
                    json.dumps({"seq": entry["seq"], "body": base64.b64encode(canonical(body)).decode()})
                    for entry, body in zip(entries, bodies, strict=True)
                ]
                content = "".join(f"{line}\n" for line in lines).encode()
            out.writestr(name, content)
    return copy


def another_number(events: list[dict[str, Any]]) -> None:
    about = events[2]["about"]
    about["randomization_number"] = "R000000" if about["randomization_number"] != "R000000" else "R000001"


def two_exchanged(events: list[dict[str, Any]]) -> None:
    """The first two of a stratum have each other's slot and number."""
    first, second = (each for each in events[:2])
    for member in ("about", "data"):
        for name in ("randomization_number", "slot"):
            if name in first[member]:
                one, other = first[member][name], second[member][name]
                first[member][name], second[member][name] = other, one


@pytest.mark.requirement(6, 8, 15, 83)
def test_the_list_made_again_by_a_second_program_has_its_root_and_every_allocation_followed_it(
    world, a_fresh_database, tmp_path
):
    with a_server(world, a_fresh_database, "masked") as (web, _):
        enrol(world, web)
    with a_server(world, a_fresh_database, "unmasked") as (web, _):
        export = exported(world, web, tmp_path)
    two_officers_open(world, tmp_path)
    # One file, alone in a folder: it needs nothing of ours.
    verifier = shutil.copy(ROOT / "randomization" / "verifier.py", tmp_path)
    key = PublicKeys.load(world.keys / "public_keys.json").statistician
    judged = ("-P", verifier, "--statistician", key, "--list", world.list_folder, "--export")

    holds = offline(*judged, export, "--allocations", tmp_path / "arms.csv", cwd=tmp_path)
    number = offline(*judged, altered(export, another_number), cwd=tmp_path)
    exchange = offline(*judged, altered(export, two_exchanged), cwd=tmp_path)
    trail = offline("-m", "trialsite.audit.verify", export)

    assert (holds.returncode, trail.returncode) == (0, 0), holds.stdout + holds.stderr + trail.stdout
    assert "all 7 allocations followed the list; 1 slots were spoiled" in holds.stdout
    with (tmp_path / "arms.csv").open(encoding="utf-8") as file:
        arms = {row["participant"]: int(row["arm"]) for row in csv.DictReader(file)}
    keys, held = FileKeys([world.keys / "unmasked" / "code-break-1.key"]), Allocation.objects.all()
    assert arms == {str(each.pk): open_arm(each.pk, keys=keys)[1] for each in held}
    assert number.returncode == exchange.returncode == 1, number.stdout + exchange.stdout
    assert "slot 0" in exchange.stdout
    assert "age_group=18-59" in exchange.stdout
    assert "R00000" in number.stdout
