"""Ordering a bag: for whom, of which weight, for when."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from supply.domain.dosing import WeightImplausible, WeightTooOld
from supply.domain.infusion_states import IllegalMove
from supply.domain.visit_windows import IntervalTooShort
from supply.models import Infusion, Order, Preparation
from supply.services.enrolment import SupplyNotReady
from supply.services.lots import LotAlreadyReceived, LotExpired, publish_readiness
from supply.services.ordering import NeededInThePast, NeededOutsideWindow
from tests.supply.day import HOUR, MINUTE, fresh
from tests.world import a_participant
from trialsite.accounts.access import NotPermitted
from trialsite.accounts.models import RoleGrant
from trialsite.errors import FieldsInvalid, NotFound


@pytest.mark.requirement(33)
@pytest.mark.parametrize("weight_kg", ["29.99", "200.01", "0"])
def test_a_weight_that_no_adult_has_is_refused(day, infusion, weight_kg):
    with pytest.raises(WeightImplausible):
        day.order(infusion, weight_kg=Decimal(weight_kg))

    assert fresh(infusion).status == "open"


@pytest.mark.requirement(33)
def test_a_weight_is_as_old_as_it_will_be_when_the_bag_is_needed(day, infusion):
    with pytest.raises(WeightTooOld):
        day.order(infusion, weighed_at=day.now - 48 * HOUR, needed_at=day.now + MINUTE)

    day.order(infusion, weighed_at=day.now - 47 * HOUR, needed_at=day.now + HOUR)


def test_a_weight_of_tomorrow_is_refused(day, infusion):
    with pytest.raises(FieldsInvalid):
        day.order(infusion, weighed_at=day.now + HOUR)


def test_a_bag_is_needed_inside_the_window_and_not_in_the_past(day, infusion):
    with pytest.raises(NeededOutsideWindow):
        day.order(infusion, needed_at=infusion.closes_at)
    with pytest.raises(NeededInThePast):
        day.order(infusion, needed_at=day.now - 2 * MINUTE)

    day.order(infusion, needed_at=infusion.closes_at - MINUTE)


@pytest.mark.requirement(46)
def test_the_interval_to_the_previous_infusion_holds_inside_the_window(day):
    first, second, *_ = day.enrol()
    day.wait(hours=39)  # 23:02 on the second day: the last hours of the first window
    day.now = first.closes_at - 3 * HOUR
    day.infuse(first)
    started_at = fresh(first).started_at
    day.now = second.opens_at

    with pytest.raises(IntervalTooShort):
        day.order(second, needed_at=started_at + 36 * HOUR - MINUTE)

    day.order(second, needed_at=started_at + 36 * HOUR)


def test_an_infusion_has_one_open_order(day, infusion):
    day.order(infusion)

    with pytest.raises(IllegalMove):
        day.order(infusion)

    assert Order.objects.filter(infusion=infusion).count() == 1


def test_a_cancelled_order_leaves_the_infusion_open_and_the_desk_with_nothing_to_make(day, infusion):
    made = day.order(infusion)

    day.cancel_order(infusion)

    assert fresh(infusion).status == "open"
    with pytest.raises(IllegalMove, match="'cancelled'"):
        day.open(made)
    assert day.order(infusion).pk != made.pk


def test_an_order_whose_bag_was_released_is_not_cancelled(day, infusion):
    day.prepare(infusion)

    with pytest.raises(IllegalMove):
        day.cancel_order(infusion)


def test_an_infusion_is_ordered_when_its_window_is_open_though_no_sweep_has_run(day):
    second = day.enrol()[1]
    day.now = second.opens_at + HOUR

    day.order(second)

    assert fresh(second).status == "ordered"


def test_a_window_that_has_closed_takes_no_order_though_no_sweep_has_run(day, infusion):
    day.now = infusion.closes_at

    with pytest.raises(IllegalMove, match="'undocumented'"):
        day.order(infusion, needed_at=day.now + HOUR)


def test_another_bag_is_ordered_when_the_first_has_expired_though_no_sweep_has_run(day, infusion):
    kit = day.prepare(infusion)
    day.now = kit.expires_at

    day.order(infusion)

    assert fresh(kit).status == "expired"
    assert (fresh(infusion).status, fresh(infusion).kit_id) == ("ordered", None)


def test_who_may_not_order_does_not_and_another_sites_infusion_is_not_there(day, infusion):
    with pytest.raises(NotPermitted):
        day.order(infusion, by=day.person("nurse"))
    with pytest.raises(NotFound):
        day.order(infusion, by=day.person("investigator_2"))


def test_taking_up_orders_twice_makes_one_preparation(day, infusion):
    made = day.order(infusion)

    from supply.services.desk import take_up_orders

    assert take_up_orders() == 0
    assert list(Preparation.objects.values_list("pk", "order_id")) == [(made.pk, made.order_id)]
    assert made.pk == made.order_id


# Readiness


@pytest.mark.requirement(8, 52)
def test_no_slot_is_taken_where_both_arms_cannot_be_made_and_the_words_are_always_the_same(day):
    participant = a_participant(day.world)
    words = set()

    day.wait(days=61)  # both lots are over
    for missing in ("stock", "people"):
        if missing == "people":
            day.receive("uc_msc", number="NEW")
            day.receive("placebo_diluent", number="NEW")
            RoleGrant.objects.filter(user__username="second_preparer").update(ended_at=day.now)
        publish_readiness(at=day.now)
        with pytest.raises(SupplyNotReady) as refusal:
            day.enrol(participant)
        words.add(str(refusal.value))

    assert len(words) == 1
    assert not Infusion.objects.exists()
    assert not hasattr(participant, "allocation")


@pytest.mark.requirement(52)
@pytest.mark.parametrize("only", ["uc_msc", "placebo_diluent"])
def test_a_site_with_the_stock_of_one_arm_is_not_ready(day, only):
    participant = a_participant(day.world)
    day.wait(days=61)
    day.receive(only, number="NEW")

    with pytest.raises(SupplyNotReady):
        day.enrol(participant)


def test_a_site_is_ready_until_the_earlier_of_both_arms_stock_ends(day):
    from supply.models import SiteReadiness

    day.receive("uc_msc", number="LATER", expires_at=day.now + dt.timedelta(days=90))

    assert SiteReadiness.objects.get(site="PUREN").ready_until == day.now + dt.timedelta(days=60)


def test_a_lot_is_received_once_unexpired_and_for_a_treatment(day):
    with pytest.raises(LotAlreadyReceived):
        day.receive("uc_msc")
    with pytest.raises(LotExpired):
        day.receive("uc_msc", number="OLD", expires_at=day.now)
    with pytest.raises(FieldsInvalid):
        day.receive("aspirin")
    with pytest.raises(NotFound):
        day.receive("uc_msc", number="ELSEWHERE", by=day.person("preparer_2"))
    with pytest.raises(NotPermitted):
        day.receive("uc_msc", number="MASKED", by=day.person("pharmacist"))
