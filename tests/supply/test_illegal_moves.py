"""Every act in every status of an infusion: allowed where the table allows it, else one refusal."""

from __future__ import annotations

import pytest

from supply.domain.infusion_states import MOVES, InfusionAction, InfusionStatus
from supply.models import Infusion, Kit
from supply.services import schedule
from tests.supply.day import fresh
from trialsite.errors import Refused

# How an infusion comes to each status, from the one before it or from ``open``.
WAYS = {
    "open": lambda _day, _infusion: None,
    "ordered": lambda day, infusion: day.order(infusion),
    "released": lambda day, infusion: day.prepare(infusion),
    "dispensed": lambda day, infusion: day.ready_to_start(infusion),
    "started": lambda day, infusion: (day.ready_to_start(infusion), day.start(infusion)),
    "given": lambda day, infusion: day.infuse(infusion),
    "missed": lambda day, infusion: day.miss(infusion),
    "cancelled": lambda day, infusion: day.discontinue(infusion.participant),
    "undocumented": lambda day, infusion: close_the_window(day, infusion),
}
ACTS = {
    InfusionAction.ORDER: lambda day, infusion: day.order(infusion),
    InfusionAction.CANCEL_ORDER: lambda day, infusion: day.cancel_order(infusion),
    InfusionAction.DISPENSE: lambda day, infusion: day.dispense(infusion),
    InfusionAction.START: lambda day, infusion: day.start(infusion),
    InfusionAction.STOP_COMPLETED: lambda day, infusion: day.stop(infusion),
    InfusionAction.MISS: lambda day, infusion: day.miss(infusion),
}
# Refused before the table is asked: there is no bag to scan or to hang, or the participant has withdrawn.
OTHER_WORDS = {"kit_number_misread", "kit_not_dispensed", "participant_withdrawn", "window_closed"}


def close_the_window(day, infusion: Infusion) -> None:
    day.now = infusion.closes_at
    schedule.close_windows(at=day.now)


@pytest.mark.requirement(25)
@pytest.mark.parametrize("status", WAYS)
def test_only_the_moves_of_the_table_are_made(day, infusion, status):
    WAYS[status](day, infusion)
    assert fresh(infusion).status == status

    for action, act in ACTS.items():
        if InfusionStatus(status) in MOVES[action].sources:
            continue
        before = Infusion.objects.filter(pk=infusion.pk).values().get(), list(Kit.objects.values())
        with pytest.raises(Refused) as refusal:
            act(day, infusion)
        assert refusal.value.status == 409, action
        assert refusal.value.code in {"illegal_move"} | OTHER_WORDS, action
        assert (Infusion.objects.filter(pk=infusion.pk).values().get(), list(Kit.objects.values())) == before
