"""
What one randomization costs, counted and not timed: statements, and pages of the database.

The clock says nothing on a busy machine; these numbers are the same everywhere. What it costs in
time, and beside which floor, says ``benchmarks/``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import LazySettings
from django.db import connection
from knox.models import AuthToken

from benchmarks import rows
from randomization.models import Participant, Stratum
from supply.models import Infusion
from tests import world as worlds
from tests.conftest import FreshDatabase
from tests.people import a_client, a_person
from tests.world import World, a_participant, a_world
from trialsite.accounts.roles import Role

# Who asks, the trial clock, the claimed key, fourteen of the use case, the kept answer.
STATEMENTS = 17
# Of tables and indexes, with those that triggers, foreign keys and the trail's function touch.
MOST_PAGES = 300
# From a hundred to ten thousand rows each index grows by a level or so; any list that were read, by more.
MOST_GROWTH = 80
FIRST, LAST = "INSERT INTO api_idempotentrequest", "UPDATE api_idempotentrequest"


def randomize(world: World, participant: Participant) -> None:
    answer = world.client("investigator").post(
        f"/api/v1/participants/{participant.pk}/randomize",
        {"stratum": participant.stratum_levels},
        headers={"Idempotency-Key": str(participant.pk)},
    )
    assert answer.status_code == 201, answer.content


@contextmanager
def statements() -> Iterator[list[str]]:
    """Inside, every statement that Django sends is kept."""
    sent: list[str] = []

    def keep(execute: Callable[..., Any], sql: str, *given: Any) -> Any:
        sent.append(" ".join(sql.split()))
        return execute(sql, *given)

    with connection.execute_wrapper(keep):
        yield sent


@pytest.mark.django_db
def test_a_randomization_sends_so_many_statements_and_no_savepoint(
    tmp_path: Path, settings: LazySettings
) -> None:
    world = a_world(tmp_path, settings)
    participants = [a_participant(world) for _ in range(3)]
    randomize(world, participants[0])

    for participant in participants[1:]:
        with statements() as sent:
            randomize(world, participant)

        own = [sql for sql in sent if "SAVEPOINT" not in sql]
        assert len(own) == STATEMENTS, "\n".join(own)
        # The test's own transaction is around: the floor's is a savepoint in it, and the only one.
        assert len(sent) - len(own) == 2


@pytest.mark.django_db
def test_who_asks_is_found_in_one_statement_that_remembers_nothing() -> None:
    client = a_client(a_person("ines", Role.INVESTIGATOR, Role.PHARMACIST))

    for _ in range(2):
        with statements() as sent:
            answer = client.get("/api/v1/me")

        assert len(sent) == 1, sent
        assert [held["role"] for held in answer.json()["roles"]] == ["investigator", "pharmacist"]


@pytest.mark.django_db
def test_a_token_that_another_process_revoked_is_refused_with_the_next_request() -> None:
    client = a_client(a_person("ines", Role.INVESTIGATOR))
    assert client.get("/api/v1/me").status_code == 200

    AuthToken.objects.all().delete()

    assert client.get("/api/v1/me").status_code == 401


@contextmanager
def pages() -> Iterator[list[int]]:
    """Inside, the pages that a request's transaction touched are counted, up to its deferred checks."""
    counted: list[int] = []

    def count() -> int:
        (touched,) = psycopg_connection().execute(
            "SELECT sum(pg_stat_get_xact_blocks_fetched(oid)) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"
        ).fetchone() or (0,)
        return int(touched)

    def watch(execute: Callable[..., Any], sql: str, *given: Any) -> Any:
        if sql.startswith(FIRST):
            counted.append(-count())
        answer = execute(sql, *given)
        if sql.startswith(LAST):
            psycopg_connection().execute("SET CONSTRAINTS ALL IMMEDIATE")
            counted[-1] += count()
        return answer

    with connection.execute_wrapper(watch):
        yield counted


def psycopg_connection() -> psycopg.Connection:
    """Return what is below Django's connection: what is asked here is no statement of the product."""
    below: psycopg.Connection = connection.connection
    return below


def a_long_past(database: FreshDatabase, *, like: Participant, used: int) -> None:
    """Load randomizations as if there had been so many before in that stratum and at that site."""
    with psycopg.connect(database.url(), autocommit=True) as superuser:
        rows.add_slots(superuser, levels=like.stratum_levels, more=used + 20)
        rows.add_past(superuser, pattern=str(like.pk), levels=like.stratum_levels, used=used)
        rows.settle(superuser)


def test_a_randomization_touches_as_many_pages_after_ten_thousand_as_after_a_hundred(
    a_fresh_database: FreshDatabase,
    tmp_path: Path,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # More than the trial file plans to enrol.
    uncapped = dataclasses.replace(worlds.the_protocol(), caps=None)
    monkeypatch.setattr(worlds, "the_protocol", lambda: uncapped)
    world = a_world(tmp_path, settings)
    first = a_participant(world)
    randomize(world, first)
    touched: dict[int, list[int]] = {}

    for used in (100, 10_000):
        a_long_past(a_fresh_database, like=first, used=used)
        participants = [a_participant(world) for _ in range(5)]
        with pages() as counted:
            for participant in participants:
                randomize(world, participant)
        touched[used] = sorted(counted)

    few, many = (counted[len(counted) // 2] for counted in touched.values())
    assert few > 0, json.dumps(touched)
    assert many <= MOST_PAGES, json.dumps(touched)
    assert many - few <= MOST_GROWTH, json.dumps(touched)
    assert Infusion.objects.count() == 4 * (1 + 100 + 10_000 + 2 * 5)
    assert Stratum.objects.get(levels=first.stratum_levels).next_slot == 1 + 100 + 10_000 + 2 * 5
