"""The three state machines: every act from every status, against tables written by hand."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from types import ModuleType

import pytest

from supply.domain import infusion_states, kit_states, preparation_states
from supply.domain.moves import IllegalMove

NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)

# Written from the contract: act, the statuses it may start from, the status it leads to.
INFUSION = """
open              scheduled                                                   open
replan            scheduled,open                                              scheduled
order             open                                                        ordered
cancel_order      ordered                                                     open
release           ordered                                                     released
dispense          released                                                    dispensed
start             dispensed                                                   started
late_start        released,dispensed,undocumented                             started
found_started     scheduled,open,ordered,missed,cancelled                     started
stop_completed    started                                                     given
stop_interrupted  started                                                     interrupted
lose_kit          released,dispensed                                          open
close             scheduled,open,ordered,released,dispensed                   undocumented
miss              scheduled,open,ordered,released,dispensed,undocumented      missed
cancel            scheduled,open,ordered,released,dispensed                   cancelled
"""
KIT = """
dispense       released                                               dispensed
start          dispensed                                              started
late_start     released,dispensed,expired,withdrawn                   started
found_started  returned,wasted,damaged                                started
finish         started                                                used
return         released,dispensed,expired,withdrawn                   returned
waste          released,dispensed,returned,damaged,expired,withdrawn  wasted
damage         released,dispensed,returned                            damaged
expire         released,dispensed                                     expired
withdraw       released,dispensed                                     withdrawn
"""
PREPARATION = """
complete  to_prepare                             completed
verify    completed                              verified
cover     verified                               covered
release   covered                                released
reject    to_prepare,completed,verified,covered  rejected
cancel    to_prepare,completed,verified,covered  cancelled
"""

MACHINES = [
    pytest.param(
        infusion_states, infusion_states.InfusionStatus, infusion_states.InfusionAction, INFUSION, id="i"
    ),
    pytest.param(kit_states, kit_states.KitStatus, kit_states.KitAction, KIT, id="k"),
    pytest.param(
        preparation_states,
        preparation_states.PreparationStatus,
        preparation_states.PreparationAction,
        PREPARATION,
        id="p",
    ),
]


def rows(table: str) -> dict[str, tuple[set[str], str]]:
    """The table as act -> (statuses before, status after)."""
    lines = [line.split() for line in table.strip().splitlines()]
    return {act: (set(before.split(",")), later) for act, before, later in lines}


@pytest.mark.parametrize(("machine", "statuses", "actions", "table"), MACHINES)
@pytest.mark.requirement(25)
def test_every_act_moves_from_its_statuses_and_no_other(
    machine: ModuleType, statuses: type[StrEnum], actions: type[StrEnum], table: str
) -> None:
    expected = rows(table)

    assert {action.value for action in actions} == set(expected)
    for action, (before, later) in expected.items():
        for status in statuses:
            if status.value in before:
                assert machine.after(status.value, action) is statuses(later)
            else:
                with pytest.raises(IllegalMove):
                    machine.after(status.value, action)


@pytest.mark.parametrize(("machine", "statuses", "actions", "table"), MACHINES)
def test_every_status_but_the_first_is_entered_by_some_act(
    machine: ModuleType, statuses: type[StrEnum], actions: type[StrEnum], table: str
) -> None:
    entered = {move.target for move in machine.MOVES.values()}

    assert set(statuses) - entered <= {next(iter(statuses))}


@pytest.mark.parametrize(
    ("statuses", "words"),
    [
        (
            infusion_states.InfusionStatus,
            "scheduled open ordered released dispensed started "
            "given interrupted undocumented missed cancelled",
        ),
        (kit_states.KitStatus, "released dispensed started used returned wasted damaged expired withdrawn"),
        (
            preparation_states.PreparationStatus,
            "to_prepare completed verified covered released rejected cancelled",
        ),
    ],
)
def test_statuses_are_the_words_of_the_contract(statuses: type[StrEnum], words: str) -> None:
    assert [status.value for status in statuses] == words.split()


@pytest.mark.requirement(25, 52)
def test_a_refusal_names_the_act_and_the_present_status_and_nothing_else() -> None:
    with pytest.raises(IllegalMove) as refusal:
        infusion_states.after("given", infusion_states.InfusionAction.CANCEL_ORDER)

    assert (refusal.value.code, refusal.value.status) == ("illegal_move", 409)
    assert str(refusal.value) == "'cancel order' is not possible: the present status is 'given'."


def test_an_unknown_act_or_status_is_a_fault_of_the_program_and_not_a_refusal() -> None:
    with pytest.raises(KeyError):
        kit_states.after("released", "un_dispense")
    with pytest.raises(ValueError, match="lost"):
        kit_states.after("lost", "dispense")


def effective(status: str, at: dt.datetime) -> infusion_states.InfusionStatus:
    """The status at ``at`` of an infusion whose window is from noon to one."""
    return infusion_states.effective_status(status, NOON, NOON + HOUR, at)


TICK = dt.timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("status", "at", "seen"),
    [
        ("scheduled", NOON - TICK, "scheduled"),
        ("scheduled", NOON, "open"),
        ("scheduled", NOON + HOUR - TICK, "open"),
        ("scheduled", NOON + HOUR, "undocumented"),
        ("open", NOON - TICK, "open"),
        ("open", NOON + HOUR - TICK, "open"),
        ("open", NOON + HOUR, "undocumented"),
    ],
)
@pytest.mark.requirement(44)
def test_windows_are_judged_at_use_and_not_by_a_sweep(status: str, at: dt.datetime, seen: str) -> None:
    assert effective(status, at) == seen


@pytest.mark.requirement(44)
def test_time_alone_changes_nothing_that_somebody_has_acted_on() -> None:
    acted_on = set(infusion_states.InfusionStatus) - {"scheduled", "open"}

    assert all(effective(status, NOON + 1000 * HOUR) is status for status in acted_on)


@pytest.mark.requirement(26, 38)
def test_a_kit_expires_at_its_minute_unless_it_was_started() -> None:
    def seen(status: str, at: dt.datetime) -> kit_states.KitStatus:
        return kit_states.effective_status(status, NOON, at)

    assert seen("released", NOON - TICK) == "released"
    assert seen("released", NOON) == "expired"
    assert seen("dispensed", NOON) == "expired"
    assert all(seen(status, NOON + HOUR) == status for status in ("started", "used", "returned", "withdrawn"))


@pytest.mark.requirement(42)
def test_a_running_infusion_can_always_be_stopped_whatever_else_is_tried() -> None:
    for action in set(infusion_states.InfusionAction) - {"stop_completed", "stop_interrupted"}:
        with pytest.raises(IllegalMove):
            infusion_states.after("started", action)
