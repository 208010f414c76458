"""
kill -9 at every named point of a request: all of it is kept or nothing, and a repeat ends it.

The process that dies is a face of its own, logged in with its own database role.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from randomization.models import Allocation, Unblinding
from supply.services.enrolment import randomize_participant
from tests.faults.serving import ALL, NOTHING, a_server, kept, sent
from tests.world import World, a_participant, a_world, the_protocol
from trialsite.clock.services import trial_now


@pytest.fixture
def world(a_fresh_database, tmp_path, settings) -> World:
    return a_world(tmp_path, settings)


@pytest.mark.requirement(8, 10, 44)
@pytest.mark.parametrize(
    ("point", "remains"),
    [
        ("before the lock", NOTHING),
        ("after the lock", NOTHING),
        ("after the slot is taken", NOTHING),
        ("after everything is written", NOTHING),
        ("before commit 1", NOTHING),
        ("after commit 1", ALL),
        ("before the reply", ALL),
    ],
)
def test_a_randomization_killed_anywhere_is_whole_or_nothing_and_a_repeat_ends_it(
    world, a_fresh_database, point, remains
):
    participant = a_participant(world)
    path, body = f"/participants/{participant.pk}/randomize", {"stratum": participant.stratum_levels}

    with a_server(world, a_fresh_database, "masked", "--dies", point) as (address, child):
        answer = sent(world, address, path, body)
        assert child.wait(timeout=30) == -9, "the server lived past its point"
    after_the_kill = kept()
    with a_server(world, a_fresh_database, "masked") as (address, _):
        repeat, once_more = (sent(world, address, path, body) for _ in range(2))

    assert answer is None
    assert repeat is not None
    assert once_more is not None
    assert after_the_kill == remains
    assert kept() == ALL
    assert (repeat.status_code, once_more.status_code) == (201, 201)
    assert repeat.json() == once_more.json()
    assert repeat.json()["randomization_number"] == Allocation.objects.get().randomization_number


@pytest.fixture
def allocation(world):
    participant = a_participant(world)
    return randomize_participant(
        participant_id=participant.pk,
        stratum=participant.stratum_levels,
        by=world.person("investigator"),
        at=trial_now(),
    )


def an_emergency(world: World, allocation: Allocation, *, steps: int = 0) -> dict[str, Any]:
    return {
        "participant": str(allocation.participant_id),
        "category": "emergency",
        "reason": "Anaphylaxis",
        "signature": world.signature("investigator", steps=steps),
    }


def arms_opened_without_a_request(world: World, witness: Path) -> int:
    """Return how many arms were opened beyond the requests and reads that the trail holds."""
    opened = witness.read_text().count("opened") if witness.exists() else 0
    requests = sum(event["act"] in ("request", "read") for event in world.sealed_events())
    return max(0, opened - requests)


@pytest.mark.requirement(62, 69)
@pytest.mark.parametrize(
    ("point", "acts"),
    [
        ("before the request is recorded", []),
        ("after the request is recorded", []),
        ("before commit 1", []),
        ("after commit 1", ["request"]),
        ("before the checkpoint", ["request"]),
        ("after the checkpoint", ["request"]),
        ("after the envelope is opened", ["request"]),
        ("after the reveal is recorded", ["request"]),
        ("before the answer", ["request", "reveal"]),
    ],
)
def test_an_unblinding_killed_anywhere_never_opened_an_arm_that_was_not_asked_for_on_the_trail(
    world, a_fresh_database, allocation, tmp_path, point, acts
):
    witness = tmp_path / "witness"
    arguments = ("--dies", point, "--witness", str(witness))

    with a_server(world, a_fresh_database, "unmasked", *arguments) as (address, child):
        answer = sent(world, address, "/unblindings", an_emergency(world, allocation))
        assert child.wait(timeout=30) == -9, "the server lived past its point"

    assert answer is None
    assert [event["act"] for event in world.sealed_events()] == acts
    assert arms_opened_without_a_request(world, witness) == 0
    with a_server(world, a_fresh_database, "unmasked", "--witness", str(witness)) as (address, _):
        repeat = sent(world, address, "/unblindings", an_emergency(world, allocation, steps=1))
    assert repeat is not None
    assert repeat.status_code == 201
    assert repeat.json()["arm"] in [arm.code for arm in the_protocol().arms]
    assert Unblinding.objects.count() == 1
    assert [event["act"] for event in world.sealed_events()].count("reveal") == 1
    assert arms_opened_without_a_request(world, witness) == 0


# Positive control: were the order swapped, the check above would find it.
def test_with_the_order_swapped_a_kill_leaves_an_opened_arm_that_nobody_asked_for(
    world, a_fresh_database, allocation, tmp_path
):
    witness = tmp_path / "witness"
    arguments = ("--opens-first", "--dies", "after the envelope is opened", "--witness", str(witness))

    with a_server(world, a_fresh_database, "unmasked", *arguments) as (address, child):
        sent(world, address, "/unblindings", an_emergency(world, allocation))
        assert child.wait(timeout=30) == -9

    assert arms_opened_without_a_request(world, witness) == 1
