"""Whoever needs an arm at once is not kept waiting by a lock that somebody else holds."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import LazySettings
from django.db import connection

from randomization.models import Allocation
from randomization.services import unblinding as services
from tests.randomization.breaking import a_randomized_participant, ask, code_of
from tests.world import World, a_world
from trialsite.audit import signing

pytestmark = [pytest.mark.usefixtures("unmasked_face"), pytest.mark.requirement(63)]


@pytest.fixture
def world(a_fresh_database, tmp_path: Path, settings: LazySettings) -> World:
    return a_world(tmp_path, settings)


@pytest.fixture
def allocation(world: World, a_fresh_database) -> Iterator[Allocation]:
    made = a_randomized_participant(world)
    with a_fresh_database.logged_in_as("irt_unmasked"):
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")
        yield made


def test_a_held_head_of_the_trail_is_answered_with_the_paper_envelope(world, allocation, a_fresh_database):
    with psycopg.connect(a_fresh_database.url()) as somebody:
        somebody.execute("SELECT 1 FROM audit_head FOR UPDATE")
        refused = ask(world, participant=allocation.pk)
        somebody.rollback()
        shown = ask(world, participant=allocation.pk)

    assert code_of(refused) == (503, "trail_unavailable")
    assert refused.json()["detail"] == str(services.TrailUnavailable())
    assert refused["Content-Type"] == "application/problem+json"
    assert shown.json()["arm"]


def test_a_held_lock_of_the_checkpoint_is_answered_with_the_paper_envelope(
    world, allocation, settings, monkeypatch
):
    monkeypatch.setattr(signing, "LONGEST_WAIT", 0.1)

    with Path(settings.CHECKPOINT_FILE).with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = ask(world, participant=allocation.pk)
    shown = ask(world, participant=allocation.pk, steps=1)

    assert code_of(refused) == (503, "trail_unavailable")
    assert "paper envelope" in refused.json()["detail"]
    assert shown.json()["arm"]
