"""Caps of the trial, of a stratum and of a site: reached, they refuse, take nothing and tell nothing else."""

from __future__ import annotations

import dataclasses

import pytest

from randomization.models import Allocation, Slot, Stratum
from randomization.services.enrolment_gate import (
    SiteFull,
    StratumFull,
    TrialFull,
    caps_reached,
    standing,
)
from supply.services.enrolment import randomize_participant
from supply.services.paper_enrolment import enter_paper_randomization
from tests import world as worlds
from tests.randomization.breaking import a_randomized_participant
from tests.randomization.extending import YOUNG_ON_OXYGEN, amended, approve, load, put_in_force
from tests.world import a_participant, a_world
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now
from trialsite.outbox.models import Message
from trialsite.protocol_caps import Caps

HIGH_FLOW = {"strata": {"respiratory_support": "high_flow_or_ventilation"}}
HANKOU = {"by": "investigator_2", "site": "HANKOU"}


@pytest.fixture
def a_capped_world(db, tmp_path, settings, monkeypatch):
    def make(**caps):
        trial = dataclasses.replace(worlds.the_protocol(), caps=Caps(**caps))
        monkeypatch.setattr(worlds, "the_protocol", lambda: trial)
        return a_world(tmp_path, settings)

    return make


def refused(world, refusal, **other):
    """Check that one more participant is refused, and that nothing is left of the attempt."""
    taken = list(Stratum.objects.values_list("next_slot", flat=True))
    with pytest.raises(refusal) as told:
        a_randomized_participant(world, **other)
    assert list(Stratum.objects.values_list("next_slot", flat=True)) == taken
    assert Entry.objects.filter(kind=Kind.PARTICIPANT_RANDOMIZED).count() == Allocation.objects.count()
    assert not any(character.isdigit() for character in str(told.value).replace(YOUNG_ON_OXYGEN, ""))
    return str(told.value)


def test_the_trial_takes_as_many_as_its_cap_in_all_strata_and_sites_together(a_capped_world):
    world = a_capped_world(trial=3)
    a_randomized_participant(world)
    a_randomized_participant(world, **HIGH_FLOW)
    a_randomized_participant(world, **HANKOU)

    assert (
        refused(world, TrialFull)
        == refused(world, TrialFull, **HANKOU)
        == refused(world, TrialFull, **HIGH_FLOW)
    )


def test_a_full_stratum_refuses_and_the_others_go_on(a_capped_world):
    world = a_capped_world(strata={YOUNG_ON_OXYGEN: 2})
    a_randomized_participant(world)
    a_randomized_participant(world)

    refused(world, StratumFull)
    refused(world, StratumFull, **HANKOU)

    assert a_randomized_participant(world, **HIGH_FLOW).position == 0
    # Its list has not ended, so the statistician is told of nothing.
    assert not Message.objects.filter(dedupe_key__startswith="list-").exists()


def test_a_full_site_refuses_and_the_other_goes_on(a_capped_world):
    world = a_capped_world(sites={"PUREN": 1})
    a_randomized_participant(world)

    refused(world, SiteFull)
    refused(world, SiteFull, **HIGH_FLOW)

    assert a_randomized_participant(world, **HANKOU).position == 1


def test_screening_goes_on_when_the_trial_is_full(a_capped_world):
    world = a_capped_world(trial=1)
    a_randomized_participant(world)

    assert a_participant(world).status == "eligible"


@pytest.mark.requirement(10)
def test_the_refusal_comes_over_the_interface_with_its_code_and_the_first_answer_is_repeated(a_capped_world):
    world = a_capped_world(trial=1)
    first, second = a_participant(world), a_participant(world)

    def send(participant, key):
        answer = world.client("investigator").post(
            f"/api/v1/participants/{participant.pk}/randomize",
            {"stratum": participant.stratum_levels},
            format="json",
            headers={"Idempotency-Key": key},
        )
        return answer.status_code, answer.json().get("code")

    assert [send(first, "one"), send(second, "two"), send(first, "one"), send(second, "two")] == [
        (201, None),
        (409, "trial_full"),
        (201, None),
        (409, "trial_full"),
    ]


@pytest.mark.requirement(83)
def test_what_was_done_on_paper_is_entered_beyond_every_cap_and_counts_there(a_capped_world):
    world = a_capped_world(trial=2, sites={"PUREN": 2}, strata={YOUNG_ON_OXYGEN: 2})
    one, other = a_participant(world), a_participant(world)
    on_paper(world, one, position=0)
    assert a_randomized_participant(world).position == 0
    on_paper(world, other, position=1)

    assert caps_reached(standing("PUREN"), "PUREN", places=0) == ["trial_full", "site_full"]
    # An emergency list is no stratum of the cap: one of its two places is free.
    assert Stratum.objects.get(pk=YOUNG_ON_OXYGEN).next_slot == 1
    refused(world, TrialFull)


def on_paper(world, participant, *, position):
    slot = Slot.objects.get(stratum__site="PUREN", position=position)
    return enter_paper_randomization(
        participant_id=participant.pk,
        randomization_number=slot.randomization_number,
        randomized_at=trial_now(),
        stratum=participant.stratum_levels,
        reason="The network was down.",
        opened_by="",
        by=world.person("investigator"),
        at=trial_now(),
    )


def test_an_amendment_may_raise_the_cap(a_capped_world):
    world = a_capped_world(trial=1)
    a_randomized_participant(world)
    waiting = a_participant(world)
    refused(world, TrialFull)

    version = load(amended(caps=Caps(trial=2)))
    approve(world, version)
    put_in_force(world, version)

    randomize_participant(
        participant_id=waiting.pk,
        stratum=waiting.stratum_levels,
        by=world.person("investigator"),
        at=trial_now(),
    )
    refused(world, TrialFull)
