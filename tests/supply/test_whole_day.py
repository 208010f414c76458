"""The life of a bag from its order to the end of its infusion."""

from __future__ import annotations

import pytest

from supply.models import Infusion, Kit
from tests.supply.day import MINUTE, fresh
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry


@pytest.mark.requirement(25, 39, 42)
def test_a_bag_is_ordered_made_released_dispensed_and_infused(day, infusion):
    day.infuse(infusion)

    given = fresh(infusion)
    kit = Kit.objects.get(pk=given.kit_id)
    assert (given.status, given.outcome, given.volume_ml, given.deviations) == ("given", "completed", 100, [])
    assert (kit.status, kit.ended_at, kit.volume_ml) == ("used", day.now, 100)


@pytest.mark.requirement(74)
def test_every_step_of_the_day_is_one_event(day, infusion):
    before = Entry.objects.count()

    day.infuse(infusion)

    kinds = list(
        Entry.objects.filter(position__gte=before).order_by("position").values_list("kind", flat=True)
    )
    assert kinds == [
        Kind.INFUSION_ORDERED,
        *[Kind.PREPARATION] * 5,  # open, complete, open again, verify, cover
        Kind.KIT_RELEASED,
        Kind.KIT_DISPENSED,
        Kind.INFUSION_STARTED,
        Kind.INFUSION_STOPPED,
    ]


@pytest.mark.requirement(43)
def test_randomizing_plans_four_infusions_in_the_sites_time(day):
    infusions = day.enrol()

    assert [infusion.number for infusion in infusions] == [1, 2, 3, 4]
    assert [infusion.day for infusion in infusions] == [1, 3, 5, 7]
    assert [infusion.status for infusion in infusions] == ["open", "scheduled", "scheduled", "scheduled"]
    # Midnight in Wuhan is 16:00 UTC the day before.
    assert {(i.opens_at.hour, i.target_at.hour, i.closes_at.hour) for i in infusions} == {(16, 2, 16)}
    assert infusions[1].opens_at - infusions[0].opens_at == 2 * 24 * 60 * MINUTE


def test_nothing_is_planned_for_a_participant_whose_randomization_is_not_recorded(day, monkeypatch):
    def broken(**_):
        raise OSError("the trail is away")

    monkeypatch.setattr("supply.services.enrolment.record", broken)

    with pytest.raises(OSError, match="the trail is away"):
        day.enrol()

    assert not Infusion.objects.exists()
