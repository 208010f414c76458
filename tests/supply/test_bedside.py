"""At the bedside: what is stopped, what is recorded though it should not have happened, and near misses."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from randomization.identity import identity_hash
from supply.domain.infusion_states import IllegalMove
from supply.models import Infusion, Kit
from supply.services.bedside import LateEntryNeedsReason, Outcome
from tests.supply.day import HOUR, MINUTE, fresh
from tests.world import a_participant
from trialsite.accounts.access import NotPermitted
from trialsite.audit.kinds import Kind
from trialsite.errors import FieldsInvalid, NotFound, Refused


def stopped(start, *args, **stated) -> Refused:
    """Return the refusal of a start, which is to leave one near miss."""
    with pytest.raises(Refused) as refusal:
        start(*args, **stated)
    (near_miss,) = refusal.value.events
    assert near_miss["kind"] == Kind.BEDSIDE_STOPPED
    assert near_miss["data"] == {"stop": refusal.value.code}
    return refusal.value


# Hard stops


@pytest.mark.requirement(26, 41)
def test_a_swapped_bag_is_caught_at_the_pharmacy_and_at_the_bedside(day):
    mine, neighbours = day.enrol()[0], day.enrol()[0]
    made = [day.make(infusion) for infusion in (mine, neighbours)]
    day.now = made[0].dispatch_at
    from supply.services.dispatch import release_due

    assert release_due(at=day.now) == 2
    swapped = fresh(neighbours).kit_id

    with pytest.raises(Refused) as refusal:
        day.dispense(mine, kit_scan=swapped)
    assert refusal.value.code == "kit_mismatch"
    day.dispense(mine)
    day.dispense(neighbours)
    assert stopped(day.start, mine, kit_scan=swapped).code == "kit_mismatch"

    assert fresh(mine).status == "dispensed"


@pytest.mark.requirement(26, 41)
@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ({"kit_scan": "00000000"}, "kit_number_misread"),
        ({"kit_scan": "a number of the pool"}, "kit_unknown"),
        ({"participant_scan": "R000000"}, "participant_mismatch"),
        ({"participant_scan": "SOMEBODY-ELSE"}, "participant_mismatch"),
        ({"cover_intact": False}, "cover_broken"),
    ],
)
def test_what_is_wrong_at_the_bedside_stops_the_start_and_is_a_near_miss(day, infusion, stated, code):
    from supply.models import KitNumber

    day.ready_to_start(infusion)
    if code == "kit_unknown":
        stated = {"kit_scan": KitNumber.objects.filter(taken=False).first().number}

    assert stopped(day.start, infusion, **stated).code == code

    assert fresh(infusion).status == "dispensed"
    day.start(infusion)


@pytest.mark.requirement(26, 38)
def test_a_bag_that_expired_or_would_expire_before_the_planned_end_is_not_hung(day, infusion):
    kit = day.ready_to_start(infusion)

    day.now = kit.expires_at
    assert stopped(day.start, infusion).code == "kit_expired"
    day.now = kit.expires_at - 59 * MINUTE
    assert stopped(day.start, infusion).code == "would_expire"
    day.now = kit.expires_at - 60 * MINUTE
    day.start(infusion)


@pytest.mark.requirement(26)
def test_outside_its_window_an_infusion_is_not_begun(day, infusion):
    day.now = infusion.closes_at - 2 * HOUR
    day.ready_to_start(infusion)

    day.now = infusion.closes_at
    assert stopped(day.start, infusion).code == "window_closed"
    Infusion.objects.filter(pk=infusion.pk).update(opens_at=day.now + MINUTE, closes_at=day.now + HOUR)
    assert stopped(day.start, infusion).code == "window_not_open"


@pytest.mark.requirement(46)
def test_the_minimum_interval_is_judged_again_at_the_bedside(day):
    first, second, *_ = day.enrol()
    day.now = second.opens_at
    day.ready_to_start(second)
    Infusion.objects.filter(pk=first.pk).update(started_at=day.now - 35 * HOUR, status="given")

    assert stopped(day.start, second).code == "interval_too_short"


def test_a_withdrawn_participant_is_not_infused(day, infusion):
    day.ready_to_start(infusion)
    day.discontinue(infusion.participant)

    assert stopped(day.start, infusion).code == "participant_withdrawn"
    assert fresh(infusion).status == "cancelled"


@pytest.mark.requirement(26, 52)
def test_a_stop_has_the_same_words_for_both_treatments(day):
    words = {"UC-MSC": [], "PLACEBO": []}
    for treatment, said in words.items():
        infusion = day.enrol_with(treatment)[0]
        kit = day.ready_to_start(infusion)
        for stated in (
            {"kit_scan": "00000000"},
            {"kit_scan": "not a scan at all"},
            {"participant_scan": "nobody"},
            {"cover_intact": False},
            {"started_at": kit.expires_at, "at": kit.expires_at},
            {"started_at": kit.expires_at - MINUTE, "at": kit.expires_at - MINUTE},
        ):
            refusal = stopped(day.start, infusion, **stated)
            said.append((refusal.code, refusal.status, str(refusal)))

    assert words["UC-MSC"] == words["PLACEBO"]


def test_the_first_stop_in_the_contracts_order_is_the_one_that_is_said(day, infusion):
    kit = day.ready_to_start(infusion)
    day.now = kit.expires_at

    everything = {"participant_scan": "nobody", "cover_intact": False}
    assert stopped(day.start, infusion, kit_scan="00000000", **everything).code == "kit_number_misread"
    assert stopped(day.start, infusion, **everything).code == "participant_mismatch"
    assert stopped(day.start, infusion, cover_intact=False).code == "kit_expired"


def test_a_person_is_known_by_the_hospitals_identifier_or_the_randomization_number(day):
    participant = a_participant(day.world, local_identifier="H-4711")
    infusion = day.enrol(participant)[0]
    day.ready_to_start(infusion)

    assert participant.identity_hash == identity_hash("H-4711", study="NCT04293692")
    day.start(infusion, participant_scan=" h 4711 ")

    assert fresh(infusion).status == "started"


def test_what_began_is_not_begun_again_and_that_is_no_near_miss(day, infusion):
    day.ready_to_start(infusion)
    day.start(infusion)

    with pytest.raises(IllegalMove):
        day.start(infusion)


def test_a_bag_that_was_not_dispensed_or_was_wasted_is_not_begun_and_that_is_a_near_miss(day, infusion):
    kit = day.prepare(infusion)

    undispensed = stopped(day.start, infusion)
    day.waste(kit)
    wasted = stopped(day.start, infusion, kit_scan=kit.number)

    assert (undispensed.code, wasted.code) == ("kit_not_dispensed", "kit_not_usable")
    assert "Call the pharmacist." in str(undispensed)
    assert "Call the pharmacist." in str(wasted)


def test_an_infusion_declared_missed_is_not_begun_and_that_is_a_near_miss(day, infusion):
    kit = day.ready_to_start(infusion)
    day.miss(infusion)

    assert stopped(day.start, infusion, kit_scan=kit.number).code == "illegal_move"


def test_who_may_not_give_infusions_does_not(day, infusion):
    day.ready_to_start(infusion)

    with pytest.raises(NotPermitted):
        day.start(infusion, by=day.person("pharmacist"))
    with pytest.raises(NotPermitted):
        day.start(infusion, by=day.person("outcome_assessor"))
    with pytest.raises(NotFound):
        day.start(infusion, by=day.person("investigator_2"))


def test_a_start_in_the_future_or_before_the_release_is_malformed(day, infusion):
    kit = day.ready_to_start(infusion)

    with pytest.raises(FieldsInvalid):
        day.start(infusion, started_at=day.now + 2 * MINUTE)
    day.wait(minutes=10)
    with pytest.raises(FieldsInvalid):
        day.start(infusion, started_at=kit.released_at - 2 * MINUTE)
    day.start(infusion, started_at=kit.released_at - MINUTE)


@pytest.mark.requirement(26, 38)
def test_a_bag_that_would_expire_before_the_planned_end_is_not_handed_over(day, infusion):
    kit = day.prepare(infusion)

    day.now = kit.expires_at - 59 * MINUTE
    with pytest.raises(Refused) as refusal:
        day.dispense(infusion)
    assert refusal.value.code == "would_expire"

    day.now = kit.expires_at - 60 * MINUTE
    day.dispense(infusion)


@pytest.mark.requirement(26)
def test_a_bag_that_expired_or_whose_window_closed_is_not_handed_over(day, infusion):
    kit = day.prepare(infusion)
    late = day.enrol()[0]
    day.now = kit.expires_at
    with pytest.raises(Refused) as expired:
        day.dispense(infusion)
    day.now = late.closes_at - 2 * HOUR
    day.prepare(late)
    day.now = late.closes_at
    with pytest.raises(Refused) as closed:
        day.dispense(late)

    assert (expired.value.code, closed.value.code) == ("kit_expired", "window_closed")
    assert [fresh(row).status for row in (infusion, late)] == ["released", "released"]


# Late entries


@pytest.mark.requirement(49)
def test_a_late_entry_needs_its_reason_and_is_flagged(day, infusion):
    day.ready_to_start(infusion)
    began = day.now
    day.wait(minutes=16)

    with pytest.raises(LateEntryNeedsReason):
        day.start(infusion, started_at=began)
    day.start(infusion, started_at=began, reason="the network was down")

    recorded = fresh(infusion)
    assert (recorded.status, recorded.started_at) == ("started", began)
    assert [(d["code"], d["detail"]) for d in recorded.deviations] == [("late_entry", "the network was down")]


def test_what_began_15_minutes_ago_is_not_late(day, infusion):
    day.ready_to_start(infusion)
    began = day.now
    day.wait(minutes=15)

    day.start(infusion, started_at=began)

    assert fresh(infusion).deviations == []


@pytest.mark.requirement(49)
def test_a_fact_is_never_refused_and_what_would_have_stopped_it_is_a_deviation(day, infusion):
    day.now = infusion.closes_at - 5 * HOUR
    kit = day.ready_to_start(infusion)
    day.now = max(kit.expires_at, infusion.closes_at) + HOUR
    began = day.now - 16 * MINUTE

    day.start(infusion, started_at=began, reason="found out in the morning", cover_intact=False)

    recorded = fresh(infusion)
    assert recorded.status == "started"
    assert [d["code"] for d in recorded.deviations] == [
        "late_entry",
        "window_closed",
        "kit_expired",
        "cover_broken",
    ]


@pytest.mark.parametrize("ruled_out_by", ["sweep", "miss", "discontinuation", "waste"])
def test_what_the_record_had_ruled_out_can_still_have_happened(day, infusion, ruled_out_by):
    from supply.services import schedule

    kit = day.ready_to_start(infusion)
    began = day.now + MINUTE
    day.wait(hours=1)
    if ruled_out_by == "sweep":
        day.now = kit.expires_at
        schedule.expire_kits(at=day.now)
    elif ruled_out_by == "miss":
        day.miss(infusion)
    elif ruled_out_by == "discontinuation":
        day.discontinue(infusion.participant)
    else:
        day.waste(kit)

    day.start(infusion, started_at=began, kit_scan=kit.number, reason="it had begun before")
    day.stop(infusion)

    assert (fresh(infusion).status, fresh(infusion).kit_id) == ("given", kit.number)
    assert fresh(kit).status == "used"
    assert "found_started" in [d["code"] for d in fresh(infusion).deviations]


def test_another_bag_that_was_ordered_meanwhile_is_not_made(day, infusion):
    from supply.services import schedule

    kit = day.ready_to_start(infusion)
    began = day.now
    day.now = kit.expires_at
    schedule.expire_kits(at=day.now)
    second = day.order(infusion)

    day.start(infusion, started_at=began, kit_scan=kit.number, reason="it had begun before")

    with pytest.raises(IllegalMove, match="'cancelled'"):
        day.open(second)


def test_an_infusion_begun_late_from_a_bag_whose_handing_over_was_not_recorded(day, infusion):
    day.prepare(infusion)
    day.wait(minutes=20)

    day.start(infusion, started_at=day.now - 16 * MINUTE, reason="night, no pharmacist")

    assert fresh(infusion).status == "started"
    assert [d["code"] for d in fresh(infusion).deviations] == ["late_entry", "not_dispensed"]


# Ends


@pytest.mark.requirement(42)
def test_a_bag_that_expires_while_it_runs_is_stopped_and_recorded_with_its_deviation(day, infusion):
    kit = day.ready_to_start(infusion)
    day.now = kit.expires_at - 60 * MINUTE
    day.start(infusion)
    day.now = kit.expires_at + 5 * MINUTE

    day.stop(infusion, outcome=Outcome.STOPPED, volume_ml=Decimal("62.5"), reason="expired while it ran")

    ended = fresh(infusion)
    assert (ended.status, ended.volume_ml, ended.outcome) == ("interrupted", Decimal("62.5"), "stopped")
    assert [d["code"] for d in ended.deviations] == ["expired_during_infusion"]


@pytest.mark.requirement(42)
def test_an_end_is_recorded_days_later_and_after_a_discontinuation(day, infusion):
    day.ready_to_start(infusion)
    day.start(infusion)
    ended_at = day.now + HOUR
    day.wait(days=3)
    day.discontinue(infusion.participant)

    day.stop(infusion, ended_at=ended_at)

    assert fresh(infusion).status == "given"
    assert [d["code"] for d in fresh(infusion).deviations] == ["late_entry"]


def test_more_than_the_bag_held_is_recorded_as_a_deviation(day, infusion):
    day.ready_to_start(infusion)
    day.start(infusion)

    day.stop(infusion, volume_ml=Decimal("100.01"))

    assert [d["code"] for d in fresh(infusion).deviations] == ["volume_over"]


def test_an_end_before_the_start_or_without_the_reason_of_an_interruption_is_malformed(day, infusion):
    day.ready_to_start(infusion)
    day.start(infusion)

    with pytest.raises(FieldsInvalid):
        day.stop(infusion, ended_at=day.now - 2 * MINUTE)
    with pytest.raises(FieldsInvalid):
        day.stop(infusion, ended_at=day.now + 2 * MINUTE)
    with pytest.raises(FieldsInvalid):
        day.stop(infusion, outcome=Outcome.INTERRUPTED)


def test_an_end_by_a_clock_that_lags_a_minute_is_taken(day, infusion):
    day.ready_to_start(infusion)
    day.start(infusion)

    day.stop(infusion, ended_at=day.now - MINUTE, outcome=Outcome.STOPPED, reason="pain at once")

    assert fresh(infusion).status == "interrupted"


# Ends of bags that are not infused


def test_a_wasted_bag_opens_its_infusion_for_another(day, infusion):
    kit = day.ready_to_start(infusion)

    day.waste(kit, volume_ml=Decimal(40))

    wasted = fresh(kit)
    assert (wasted.status, wasted.end_reason, wasted.volume_ml) == ("wasted", "dropped", 40)
    assert (fresh(infusion).status, fresh(infusion).kit_id) == ("open", None)
    assert day.prepare(infusion).number != kit.number


def test_a_running_bag_is_stopped_and_not_wasted(day, infusion):
    kit = day.ready_to_start(infusion)
    day.start(infusion)

    with pytest.raises(IllegalMove):
        day.waste(kit)


def test_wasting_an_old_bag_leaves_the_new_one_alone(day, infusion):
    from supply.services import schedule

    old = day.ready_to_start(infusion)
    day.now = old.expires_at
    schedule.expire_kits(at=day.now)
    new = day.ready_to_start(infusion)

    day.waste(old)

    assert (fresh(infusion).status, fresh(infusion).kit_id) == ("dispensed", new.number)


def test_another_sites_kit_is_not_there(day, infusion):
    kit = day.ready_to_start(infusion)
    day.world.person("nurse").role_grants.update(site="HANKOU")

    with pytest.raises(NotFound):
        day.waste(kit)


# Discontinuation


@pytest.mark.requirement(45)
def test_discontinuation_ends_orders_and_coming_infusions_and_leaves_what_runs(day):
    first, second, *_ = day.enrol()
    day.ready_to_start(first)
    day.start(first)
    Infusion.objects.filter(pk=second.pk).update(status="open", opens_at=first.opens_at)
    made = day.order(second, needed_at=day.now + 37 * HOUR)

    day.discontinue(first.participant)

    statuses = Infusion.objects.filter(participant=first.participant).order_by("number")
    assert list(statuses.values_list("status", flat=True)) == [
        "started",
        "cancelled",
        "cancelled",
        "cancelled",
    ]
    with pytest.raises(IllegalMove, match="'cancelled'"):
        day.open(made)
    day.stop(first)


@pytest.mark.requirement(45)
def test_a_released_bag_of_a_discontinued_participant_stays_to_be_wasted(day, infusion):
    kit = day.prepare(infusion)
    day.discontinue(infusion.participant)

    assert fresh(kit).status == "released"
    day.waste(kit)

    assert fresh(infusion).status == "cancelled"
    assert Kit.objects.get().status == "wasted"


def test_a_scope_is_discontinued_once_and_treatment_may_end_before_the_study(day, infusion):
    day.discontinue(infusion.participant)

    with pytest.raises(Refused) as refusal:
        day.discontinue(infusion.participant)
    day.discontinue(infusion.participant, scope="study")

    assert refusal.value.code == "already_discontinued"


def test_an_end_of_treatment_lies_in_the_past(day, infusion):
    with pytest.raises(FieldsInvalid):
        day.discontinue(infusion.participant, discontinued_at=day.now + dt.timedelta(days=1))
