"""A trial amended while it is served: the list before stays proved, and what was shown stays true."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

import tests.world as worlds
from randomization.models import Allocation, RandomizationList, TrialVersion
from tests.faults.serving import ROOT, a_server, headers
from tests.faults.test_end_of_study import by_the_ceremony, enrol, exported, offline, post
from tests.randomization.extending import NEW_LEVEL, every_slot
from tests.world import World, a_participant, a_world
from trialsite.protocol import DEFAULT_TRIAL_FILE
from trialsite.sealing import PublicKeys

NEW_STRATA = [f"age_group={age}|respiratory_support={NEW_LEVEL}" for age in ("18-59", "60-75")]
OLD_STRATUM = "age_group=18-59|respiratory_support=conventional_oxygen"
LEVELS = 'levels = ["conventional_oxygen", '


@pytest.fixture
def world(a_fresh_database, tmp_path, settings, monkeypatch) -> World:
    monkeypatch.setattr(worlds, "a_list", by_the_ceremony)
    return a_world(tmp_path, settings)


def manage(world: World, database, *arguments: str, given: str = "") -> str:
    """Run a command as the operator does, in a process of its own with the migrator's login."""
    environment = world.environment("unmasked") | {
        "TRIALSITE_FACE": "migrator",
        "DATABASE_URL": database.url("irt_migrator"),
        "MASKED_FACTOR_KEY_FILE": str(world.keys / "masked" / "factor-masked-1.key"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    for name in ("CODE_BREAK_KEY_FILE", "LOG_KEY_FILE", "CHECKPOINT_FILE"):
        del environment[name]
    ended = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def signed(world: World, who: str, *, steps: int = 0) -> dict[str, str]:
    return {"given": "\n".join(world.signature(who, steps=steps).values())}


def a_broken_code(world: World, web: str, participant: str) -> dict[str, Any]:
    body = {
        "participant": participant,
        "category": "emergency",
        "reason": "Anaphylaxis.",
        "reveal_to": "requester",
        "signature": world.signature("investigator"),
    }
    answer = httpx.post(f"{web}/unblindings", json=body, headers=headers(world), timeout=60)
    assert answer.status_code == 201, answer.text
    receipt: dict[str, Any] = answer.json()["receipt"]
    return receipt


def the_amendment(world: World, database, folder: Path) -> None:
    """Draft, extend, approve twice, put in force: every step as the guide says, each its own process."""
    trial, more = folder / "amended.toml", folder / "more"
    text = DEFAULT_TRIAL_FILE.read_text(encoding="utf-8").replace('version = "1.0"', 'version = "2.0"', 1)
    assert LEVELS in text
    trial.write_text(text.replace(LEVELS, f'levels = ["{NEW_LEVEL}", "conventional_oxygen", '))
    manage(world, database, "load_trial", str(trial))
    made = offline(
        *("-m", "randomization.generator", "--trial", trial, "--extends", world.list_folder, "--length", "4"),
        *("--public-keys", world.keys / "public_keys.json", "--out", more),
        *("--statistician-key", world.offline / "statistician-1.key"),
        *("--strata", NEW_STRATA[0], OLD_STRATUM, NEW_STRATA[1]),
    )
    assert made.returncode == 0, made.stderr
    manage(world, database, "install_list", str(more))
    draft = TrialVersion.objects.exclude(amends=None).get().pk
    for who in ("statistician", "study_manager"):
        command = ("approve_amendment", draft, "--by", who, "--signature-file", "-")
        manage(world, database, *command, **signed(world, who))
    command = ("activate_amendment", draft, "--by", "statistician", "--signature-file", "-")
    manage(world, database, *command, **signed(world, "statistician", steps=1))


def revealed(world: World, folder: Path, listed: Path) -> None:
    half = folder / f"half-{listed.name}.json"
    release = ("-m", "randomization.release")
    begun = ("begin", "--list", listed, "--key", world.offline / "release-3.key", "--with", "release-1")
    finished = ("finish", "--list", listed, "--key", world.offline / "release-1.key", "--half", half)
    public = ("--public-keys", world.keys / "public_keys.json", "--out", listed / "revealed.json")
    for step in ((*release, *begun, "--out", half), (*release, *finished, *public)):
        ended = offline(*step)
        assert ended.returncode == 0, ended.stderr


@pytest.mark.requirement(6, 11, 15)
def test_an_amendment_that_adds_strata_and_extends_others_leaves_root_slots_and_receipts_as_they_were(
    world, a_fresh_database, tmp_path
):
    kept = tmp_path / "kept"
    kept.mkdir()
    with (
        a_server(world, a_fresh_database, "masked") as (masked, _),
        a_server(world, a_fresh_database, "unmasked") as (unmasked, _),
    ):
        enrol(world, masked)
        first, before = RandomizationList.objects.get(), every_slot()
        (kept / "published.note").write_text(first.commitment_note)
        receipt = a_broken_code(world, unmasked, str(Allocation.objects.all()[0].participant_id))
        (kept / "receipt.note").write_text(receipt["checkpoint"])

        the_amendment(world, a_fresh_database, tmp_path)
        # The faces go on, and know the amendment at once.
        newcomer = a_participant(world, strata={"respiratory_support": NEW_LEVEL})
        post(masked, world, f"participants/{newcomer.pk}/randomize", stratum=newcomer.stratum_levels)
        export = exported(world, unmasked, tmp_path)

    second = RandomizationList.objects.get(ordinal=1)
    (kept / "extension.note").write_text(second.commitment_note)
    (kept / "public_keys.json").write_bytes((world.keys / "public_keys.json").read_bytes())
    after = [row for row in every_slot() if row[1] != second.pk]
    assert (after, bytes(RandomizationList.objects.get(ordinal=0).root)) == (before, bytes(first.root))
    with zipfile.ZipFile(export) as bundle:
        assert bundle.read("commitment.note").decode() == first.commitment_note
        assert bundle.read("commitments/001.note").decode() == second.commitment_note

    trail = offline("-m", "trialsite.audit.verify", export, "--keys", kept)
    said = trail.stdout.splitlines()
    assert (trail.returncode, said[-1]) == (0, "verdict: holds"), trail.stdout
    for note in ("checkpoint receipt.note", "commitment published.note", "commitment extension.note"):
        assert f"note: kept {note} agrees" in said

    lists = (world.list_folder, tmp_path / "more")
    for listed in lists:
        revealed(world, tmp_path, listed)
    key = PublicKeys.load(world.keys / "public_keys.json").statistician
    given = [part for listed in lists for part in ("--list", listed)]
    judged = offline(
        ROOT / "randomization" / "verifier.py", "--statistician", key, *given, "--export", export
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "all 8 allocations followed the list" in judged.stdout
