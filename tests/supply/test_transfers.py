"""A participant who goes on at another site, with what they have in hand and what they leave behind."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from django.db import transaction

from randomization.models import Stratum
from supply.models import Infusion, Kit, Order, SiteReadiness
from supply.selectors import preparations_visible_to
from supply.services import desk, dispatch, schedule
from supply.services.bedside_stops import ParticipantWithdrawn
from supply.services.preparation import complete_preparation
from supply.services.scanning import KitMismatch
from tests.supply.day import HOUR, LOT, MINUTE, fresh, true_contents
from tests.supply.moving import NEW, attention, move, sees, sites
from tests.world import a_participant
from trialsite.accounts.models import Site
from trialsite.errors import NotFound


@pytest.mark.requirement(48)
def test_the_schedule_goes_along_and_stratum_slot_and_numbers_stay(day, hankou):
    infusions = day.enrol()
    participant = infusions[0].participant
    before = list(Infusion.objects.order_by("number").values("number", "opens_at", "target_at", "closes_at"))
    used = list(Stratum.objects.values_list("code", "next_slot"))

    moved = move(day, participant)

    assert moved.infusions == [1, 2, 3, 4]
    assert attention(moved) == []
    assert sites(participant) == [NEW] * 4
    changed = fresh(participant)
    assert (changed.site_id, changed.screening_number) == (NEW, "PUREN-001")
    assert changed.stratum_levels == participant.stratum_levels
    assert changed.allocation == participant.allocation
    assert list(Stratum.objects.values_list("code", "next_slot")) == used
    window = ("number", "opens_at", "target_at", "closes_at")
    assert list(Infusion.objects.order_by("number").values(*window)) == before


@pytest.mark.requirement(48)
def test_the_old_sites_sight_ends_and_the_new_sites_begins(day, hankou):
    first, *_ = day.enrol()
    paths = [f"participants/{first.participant_id}", f"infusions/{first.pk}"]
    assert [sees(day, "investigator", path) for path in paths] == [True, True]

    move(day, first)

    assert [sees(day, "investigator", path) for path in paths] == [False, False]
    assert [sees(day, "investigator_2", path) for path in paths] == [True, True]
    for who, path in (("nurse", "infusions"), ("pharmacist", "participants")):
        assert day.world.client(who).get(f"/api/v1/{path}").json()["count"] == 0
    with pytest.raises(NotFound):
        day.order(first)
    with pytest.raises(NotFound):
        day.discontinue(first.participant)


@pytest.mark.requirement(48)
def test_treatment_goes_on_at_the_new_site_from_order_to_end(day, hankou):
    infusion, *_ = day.enrol()
    move(day, infusion)

    made = day.order(infusion, by=hankou)
    sheet = day.open(made, by="preparer_2")
    stated = {"lot": LOT, "prepared_at": day.now, "contents": true_contents(sheet)}
    complete_preparation(
        preparation_id=made.pk,
        kit_scan=sheet.preparation.kit_number_id,
        by=day.person("preparer_2"),
        at=day.now,
        **stated,
    )
    day.verify(made, by="second_preparer_2")
    day.now = day.cover(made, by="second_preparer_2").dispatch_at
    dispatch.release_due(at=day.now)
    day.dispense(infusion, by=hankou)
    day.start(infusion, by=hankou)
    day.wait(hours=1)
    day.stop(infusion, by=hankou)

    assert (fresh(infusion).status, Kit.objects.get().site_id) == ("given", NEW)


@pytest.mark.requirement(12, 48)
def test_who_is_transferred_before_randomization_is_randomized_at_the_new_site_in_the_same_stratum(
    day, hankou
):
    participant = a_participant(day.world)
    move(day, participant)

    with pytest.raises(NotFound), transaction.atomic():
        day.enrol(participant)
    infusions = day.enrol(participant, by=hankou)

    assert {infusion.site_id for infusion in infusions} == {NEW}
    assert fresh(participant).allocation.stratum.levels == participant.stratum_levels


@pytest.mark.requirement(43, 48)
def test_at_a_site_of_another_zone_each_window_keeps_its_dates(day, hankou):
    Site.objects.filter(pk=NEW).update(time_zone="Europe/Lisbon")
    day.wait(hours=4)  # noon in Wuhan, 4 in the morning in Lisbon
    infusions = day.enrol()

    move(day, infusions[0])

    for old in infusions:
        new = fresh(old)
        for name in ("opens_at", "target_at", "closes_at"):
            here = getattr(new, name).astimezone(ZoneInfo(new.site.time_zone))
            there = getattr(old, name).astimezone(ZoneInfo(old.site.time_zone))
            assert here.replace(tzinfo=None) == there.replace(tzinfo=None)
    assert fresh(infusions[0]).status == "scheduled"  # the sweep opens it, if it is open there
    schedule.open_windows(at=day.now)
    assert fresh(infusions[0]).status == "open"


@pytest.mark.requirement(43)
def test_where_the_day_has_not_begun_yet_an_infusion_is_not_open_yet(day, hankou):
    Site.objects.filter(pk=NEW).update(time_zone="America/New_York")
    infusion, *_ = day.enrol()  # 08:02 in Wuhan is the evening before in New York

    move(day, infusion)
    schedule.open_windows(at=day.now)

    assert fresh(infusion).status == "scheduled"


@pytest.mark.requirement(48)
def test_an_open_order_is_ended_at_the_old_site_and_made_anew_at_the_new_one(day, hankou):
    infusion, *_ = day.enrol()
    made = day.order(infusion)
    day.complete(made)

    moved = move(day, infusion)

    assert (moved.ordered_again, attention(moved)) == ([1], [])
    old, new = Order.objects.order_by("closed_at")
    assert (old.cancelled, new.closed_at) == (True, None)
    assert (new.weight_kg, new.needed_at, new.ward) == (old.weight_kg, old.needed_at, "from PUREN")
    assert fresh(infusion).status == "ordered"
    assert day.preparation(infusion).pk == made.pk
    desk.take_up_orders()
    there = preparations_visible_to(day.person("preparer_2")).get()
    here = preparations_visible_to(day.person("preparer")).get()
    assert (there.order_id, there.present_status) == (new.pk, "to_prepare")
    assert (here.order_id, here.present_status) == (old.pk, "cancelled")


@pytest.mark.requirement(48)
def test_a_bag_that_was_being_made_is_not_released_after_the_transfer(day, hankou):
    infusion, *_ = day.enrol()
    made = day.make(infusion)

    move(day, infusion)

    assert dispatch.release_due(at=made.dispatch_at + HOUR) == 0
    assert not Kit.objects.exists()


@pytest.mark.requirement(33, 48)
@pytest.mark.parametrize(
    ("wait", "ready", "because"),
    [
        ({"hours": 0}, False, "supply_not_ready"),
        ({"hours": 2}, True, "needed_in_the_past"),
    ],
)
def test_an_order_that_cannot_be_made_anew_leaves_the_infusion_open_and_is_named(
    day, hankou, wait, ready, because
):
    infusion, *_ = day.enrol()
    day.order(infusion)
    day.wait(**wait)
    if not ready:
        SiteReadiness.objects.filter(site=NEW).update(ready_until=None)

    moved = move(day, infusion)

    assert attention(moved) == [(1, "order_not_repeated")]
    assert moved.attention[0].because == because
    assert (fresh(infusion).status, fresh(infusion).site_id) == ("open", NEW)
    assert not Order.objects.filter(closed_at=None).exists()


@pytest.mark.requirement(48)
def test_a_released_bag_stays_with_its_pharmacy_to_be_wasted_and_another_is_ordered(day, hankou):
    infusion, *_ = day.enrol()
    kit = day.prepare(infusion)

    moved = move(day, infusion)

    assert attention(moved) == [(1, "bag_left")]
    assert moved.attention[0].kit_number == kit.number
    assert (fresh(infusion).status, fresh(infusion).kit) == ("open", None)
    assert (fresh(kit).site_id, fresh(kit).status) == ("PUREN", "released")
    assert day.world.client("pharmacist").get("/api/v1/kits").json()["count"] == 1
    day.order(infusion, by=hankou)
    day.waste(kit, by=day.person("pharmacist"))
    assert (fresh(kit).status, fresh(infusion).status) == ("wasted", "ordered")


@pytest.mark.requirement(26, 48)
def test_a_bag_that_was_left_behind_is_not_handed_over_for_the_one_that_replaced_it(day, hankou):
    infusion, *_ = day.enrol()
    left = day.prepare(infusion)
    move(day, infusion)
    made = day.order(infusion, by=hankou)
    Kit.objects.create(
        number="00000000",
        site_id=NEW,
        participant=infusion.participant,
        infusion=infusion,
        status="released",
        released_at=day.now,
        expires_at=left.expires_at,
    )
    Infusion.objects.filter(pk=infusion.pk).update(status="released", kit="00000000")
    Order.objects.filter(pk=made.order_id).update(closed_at=day.now)

    with pytest.raises(KitMismatch):
        day.dispense(infusion, kit_scan=left.number, by=hankou)


@pytest.mark.requirement(48)
def test_a_bag_that_was_handed_over_is_still_started_and_stopped_at_the_old_site(day, hankou):
    infusion, later, *_ = day.enrol()
    day.ready_to_start(infusion)

    moved = move(day, infusion)

    assert attention(moved) == [(1, "bag_dispensed")]
    assert sites(infusion.participant) == ["PUREN", NEW, NEW, NEW]
    assert sees(day, "nurse", f"infusions/{infusion.pk}")
    assert not sees(day, "nurse", f"infusions/{later.pk}")
    assert not sees(day, "nurse", f"participants/{infusion.participant_id}")
    day.start(infusion)
    day.wait(hours=1)
    day.stop(infusion)
    assert fresh(infusion).status == "given"
    assert not sees(day, "nurse", f"infusions/{infusion.pk}")
    assert sees(day, "investigator_2", f"infusions/{infusion.pk}")


@pytest.mark.requirement(48)
def test_an_infusion_that_runs_during_the_transfer_is_stopped_where_it_ends(day, hankou):
    infusion, *_ = day.enrol()
    day.ready_to_start(infusion)
    day.start(infusion)

    moved = move(day, infusion)

    assert attention(moved) == [(1, "infusion_running")]
    day.wait(hours=1)
    day.stop(infusion, by=hankou)
    assert fresh(infusion).status == "given"


@pytest.mark.requirement(48)
def test_a_handed_over_bag_that_is_wasted_after_all_lets_the_infusion_go_along(day, hankou):
    infusion, *_ = day.enrol()
    kit = day.ready_to_start(infusion)
    move(day, infusion)

    day.waste(kit)

    assert (fresh(infusion).status, fresh(infusion).site_id) == ("open", NEW)
    assert not sees(day, "nurse", f"infusions/{infusion.pk}")


@pytest.mark.requirement(48)
def test_a_handed_over_bag_that_expires_lets_the_infusion_go_along(day, hankou):
    infusion, *_ = day.enrol()
    kit = day.ready_to_start(infusion)
    move(day, infusion)

    schedule.expire_kits(at=kit.expires_at)

    assert (fresh(infusion).status, fresh(infusion).site_id) == ("open", NEW)


@pytest.mark.requirement(48)
def test_what_happened_before_the_transfer_is_entered_late_by_the_old_site(day, hankou):
    infusion, *_ = day.enrol()
    kit = day.ready_to_start(infusion)
    began = day.now
    day.now = infusion.closes_at + HOUR
    schedule.run_all(at=day.now)

    moved = move(day, infusion)

    assert attention(moved) == [(1, "not_documented")]
    day.start(infusion, kit_scan=kit.number, started_at=began, reason="The tablet was flat")
    assert fresh(infusion).status == "started"


@pytest.mark.requirement(48)
def test_whether_a_sweep_has_run_makes_no_difference_to_what_stays(day, hankou):
    infusion, *_ = day.enrol()
    day.now = infusion.closes_at + MINUTE

    moved = move(day, infusion)

    assert attention(moved) == [(1, "not_documented")]
    assert fresh(infusion).site_id == "PUREN"
    assert sees(day, "nurse", f"infusions/{infusion.pk}")


@pytest.mark.requirement(41, 48)
def test_that_a_bag_left_behind_was_in_fact_hung_is_recorded_at_the_new_site(day, hankou):
    infusion, *_ = day.enrol()
    kit = day.prepare(infusion)
    began = day.now + 10 * MINUTE
    move(day, infusion)
    day.wait(hours=1)

    day.start(infusion, kit_scan=kit.number, started_at=began, reason="In the ambulance", by=hankou)

    assert (fresh(infusion).status, fresh(infusion).kit_id) == ("started", kit.number)
    assert "not_dispensed" in [entry["code"] for entry in fresh(infusion).deviations]


def test_what_has_ended_stays_where_it_was_and_is_seen_at_the_new_site(day, hankou):
    infusion, *_ = day.enrol()
    day.infuse(infusion)

    moved = move(day, infusion)

    assert (moved.infusions, attention(moved)) == ([2, 3, 4], [])
    assert fresh(infusion).site_id == "PUREN"
    assert sees(day, "investigator_2", f"infusions/{infusion.pk}")
    assert not sees(day, "nurse", f"infusions/{infusion.pk}")


@pytest.mark.requirement(45)
def test_a_discontinuation_after_the_transfer_ends_what_the_old_site_has_in_hand_too(day, hankou):
    infusion, *_ = day.enrol()
    day.ready_to_start(infusion)
    move(day, infusion)

    day.discontinue(infusion.participant, by=hankou)

    assert set(Infusion.objects.values_list("status", flat=True)) == {"cancelled"}
    with pytest.raises((NotFound, ParticipantWithdrawn)):
        day.start(infusion)
