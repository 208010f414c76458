"""The connection to the database is cut exactly during COMMIT: nobody knows, and the key finds out."""

from __future__ import annotations

import time

import pytest
from django.db import connection

from randomization.models import Allocation
from tests.faults.cutting import Cut, a_link
from tests.faults.serving import ALL, NOTHING, a_server, kept, sent
from tests.world import World, a_participant, a_world


@pytest.fixture
def world(a_fresh_database, tmp_path, settings) -> World:
    return a_world(tmp_path, settings)


def wait_until_the_server_has_let_go() -> None:
    """Return once PostgreSQL has ended the masked face's transaction, one way or the other."""
    deadline = time.monotonic() + 30
    begun = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = %s AND xact_start IS NOT NULL"
    )
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(begun, ["irt_masked"])
            if cursor.fetchone() == (0,):
                return
        time.sleep(0.05)
    raise AssertionError("the masked face's transaction goes on")


@pytest.mark.requirement(8, 10)
@pytest.mark.parametrize(
    ("when", "may_remain"),
    [(Cut.BEFORE, {NOTHING}), (Cut.WITH_IT, {NOTHING, ALL}), (Cut.AFTER, {ALL})],
)
def test_a_commit_that_nobody_saw_end_is_found_by_its_key_and_takes_no_second_slot(
    world, a_fresh_database, when, may_remain
):
    participant = a_participant(world)
    path, body = f"/participants/{participant.pk}/randomize", {"stratum": participant.stratum_levels}
    port = a_fresh_database.cluster.port

    with a_link(when, port) as link:
        url = a_fresh_database.url("irt_masked").replace(f":{port}/", f":{link.port}/")
        with a_server(world, a_fresh_database, "masked", database_url=url) as (address, child):
            unknown = sent(world, address, path, body)
            assert link.cut
            wait_until_the_server_has_let_go()
            remained = kept()
            # The same process goes on, by a new connection.
            repeat, once_more = (sent(world, address, path, body) for _ in range(2))
            assert child.poll() is None

    assert unknown is not None
    assert unknown.status_code >= 500
    assert "randomization_number" not in unknown.text
    assert remained in may_remain
    assert kept() == ALL
    assert repeat is not None
    assert once_more is not None
    assert (repeat.status_code, once_more.status_code) == (201, 201)
    assert repeat.json() == once_more.json()
    assert repeat.json()["randomization_number"] == Allocation.objects.get().randomization_number
    # The cut one and, where nothing had been kept, the repeat's.
    assert link.commits >= 1 + (remained == NOTHING)
