"""After a transfer: the bag that hangs at the old site, the one that lies there, and what is still open."""

from __future__ import annotations

import datetime as dt

import pytest

from supply.models import SiteReadiness
from supply.services import bedside
from supply.services.bedside_stops import BagElsewhere, KitLeftBehind, ParticipantWithdrawn
from supply.services.transfers import NobodyToTransfer
from supply.services.withdrawal import withdraw_consent
from tests.supply.day import HOUR, MINUTE, fresh
from tests.supply.moving import NEW, move, move_many, sees
from tests.supply.test_rest import Face
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.errors import FieldsInvalid, NotFound


def withdraw(day, infusion, by):
    withdraw_consent(
        participant_id=infusion.participant_id,
        given_by="participant",
        relationship="",
        reason="",
        withdrawn_at=day.now,
        scope="treatment",
        by=by,
        at=day.now,
    )


def miss(day, infusion, by):
    return bedside.declare_missed(infusion_id=infusion.pk, reason="went home", by=by, at=day.now)


def open_things(face, who, **query):
    answer = face.get(who, "transfers", **query)
    assert answer.status_code == 200
    return [[(one["infusion"], one["code"]) for one in row["attention"]] for row in answer.json()["results"]]


@pytest.mark.requirement(41, 45, 48)
@pytest.mark.parametrize("ended_by", ["discontinuation", "withdrawal"])
def test_whoever_stands_with_the_bag_is_stopped_when_the_new_site_ended_the_treatment(day, hankou, ended_by):
    infusion, *_ = day.enrol()
    day.ready_to_start(infusion)
    move(day, infusion)
    if ended_by == "discontinuation":
        day.discontinue(infusion.participant, by=hankou)
    else:
        withdraw(day, infusion, hankou)

    with pytest.raises(ParticipantWithdrawn) as stop:
        day.start(infusion)

    (near_miss,) = stop.value.events
    assert (near_miss["kind"], near_miss["role"]) == (Kind.BEDSIDE_STOPPED, "nurse")


@pytest.mark.requirement(41, 48, 49)
def test_that_it_was_hung_before_anybody_knew_is_entered_late_and_stopped_at_the_old_site(day, hankou):
    infusion, *_ = day.enrol()
    kit = day.ready_to_start(infusion)
    move(day, infusion)
    began = day.now + 5 * MINUTE
    day.wait(hours=1)
    day.discontinue(infusion.participant, by=hankou)

    day.start(infusion, started_at=began, reason="The tablet was flat")
    day.stop(infusion)

    assert (fresh(infusion).status, fresh(infusion).kit_id) == ("given", kit.number)
    assert {"late_entry", "found_started"} <= {entry["code"] for entry in fresh(infusion).deviations}
    assert not sees(day, "nurse", f"infusions/{infusion.pk}")


@pytest.mark.requirement(48)
def test_once_the_bag_is_wasted_an_ended_infusion_is_out_of_the_old_sites_sight(day, hankou):
    infusion, *_ = day.enrol()
    kit = day.ready_to_start(infusion)
    move(day, infusion)
    day.discontinue(infusion.participant, by=hankou)
    assert sees(day, "nurse", f"infusions/{infusion.pk}")

    day.waste(kit)

    assert not sees(day, "nurse", f"infusions/{infusion.pk}")
    with pytest.raises(KitLeftBehind):
        day.start(infusion, kit_scan=kit.number)
    with pytest.raises(NotFound):
        day.start(infusion, kit_scan=kit.number, started_at=day.now - 2 * MINUTE, reason="By hand")


@pytest.mark.requirement(48)
def test_the_new_site_declares_no_miss_while_the_bag_is_in_other_hands_and_is_told_where(day, hankou):
    infusion, *_ = day.enrol()
    kit = day.ready_to_start(infusion)
    move(day, infusion)

    with pytest.raises(BagElsewhere) as refusal:
        miss(day, infusion, hankou)

    assert kit.number in str(refusal.value)
    assert "PUREN" in str(refusal.value)
    day.waste(kit, by=day.person("pharmacist"))
    assert miss(day, infusion, hankou).status == "missed"


@pytest.mark.requirement(48)
def test_the_old_site_itself_may_say_that_its_bag_was_not_given_and_so_may_all_when_it_expired(day, hankou):
    first, second = day.enrol()[0], day.enrol()[0]
    day.ready_to_start(first)
    move(day, first)
    assert day.miss(first).status == "missed"

    kit = day.ready_to_start(second)
    move(day, second)
    day.now = kit.expires_at  # no sweep has run
    assert miss(day, second, hankou).status == "missed"


@pytest.mark.requirement(41, 48)
def test_a_bag_left_behind_is_stopped_at_the_old_sites_bedside_and_is_a_near_miss(day, hankou, settings):
    masked = Face(day, settings, "masked")
    infusion, *_ = day.enrol()
    kit = day.prepare(infusion)
    move(day, infusion)
    stated = {
        "kit_scan": kit.number,
        "participant_scan": infusion.participant.allocation.randomization_number,
        "cover_intact": True,
        "started_at": day.now.isoformat(),
    }

    answer = masked.post("nurse", f"infusions/{infusion.pk}/start", **stated)

    assert (answer.status_code, answer.json()["code"]) == (409, KitLeftBehind.code)
    assert "Do not use this bag" in answer.json()["detail"]
    assert Entry.objects.order_by("position").last().kind == Kind.BEDSIDE_STOPPED
    assert fresh(infusion).status == "open"
    for scan in ("00000000", "nonsense"):
        other = masked.post("nurse", f"infusions/{infusion.pk}/start", **stated | {"kit_scan": scan})
        assert other.status_code == 404


@pytest.mark.requirement(48)
def test_the_old_site_stops_a_running_bag_of_its_own_that_was_entered_at_the_new_one(day, hankou):
    infusion, *_ = day.enrol()
    kit = day.prepare(infusion)
    began = day.now + MINUTE
    move(day, infusion)
    day.wait(hours=1)
    day.start(infusion, kit_scan=kit.number, started_at=began, reason="In the ambulance", by=hankou)

    day.stop(infusion)

    assert fresh(infusion).status == "given"


@pytest.mark.requirement(48)
def test_the_list_of_transfers_has_what_is_still_open_and_of_each_site_only_what_is_its_business(
    day, hankou, settings
):
    masked = Face(day, settings, "masked")
    with_bag, ordered, elsewhere = (day.enrol()[0] for _ in range(3))
    kit = day.prepare(with_bag)
    day.order(ordered)
    SiteReadiness.objects.filter(site=NEW).update(ready_until=None)
    transfers = [move(day, one).transfer for one in (with_bag, ordered)]

    row = masked.get("monitor", "transfers", participant=str(with_bag.participant_id)).json()["results"][0]
    assert set(row) == {
        "participant",
        "screening_number",
        "from_site",
        "to_site",
        "at",
        "recorded_at",
        "reason",
        "attention",
    }
    assert row["participant"] == str(transfers[0].participant_id)
    assert row["attention"][0]["kit_number"] == kit.number
    everything = [[(1, "bag_left")], [(1, "order_not_repeated")]]
    for who in ("study_manager", "monitor", "investigator_2"):
        assert open_things(masked, who) == everything
    assert open_things(masked, "nurse") == [[(1, "bag_left")], []]
    assert open_things(masked, "nurse", to_site="PUREN") == []

    day.waste(kit)
    SiteReadiness.objects.filter(site=NEW).update(ready_until=day.now + dt.timedelta(days=9))
    day.order(ordered, by=hankou)
    assert open_things(masked, "study_manager") == [[], []]
    assert fresh(elsewhere).site_id == "PUREN"


@pytest.mark.requirement(48)
def test_what_the_old_site_has_in_hand_stays_on_the_list_until_it_has_ended(day, hankou, settings):
    masked = Face(day, settings, "masked")
    dispensed, silent = day.enrol()[0], day.enrol()[0]
    day.ready_to_start(dispensed)
    move(day, dispensed)
    assert open_things(masked, "nurse") == [[(1, "bag_dispensed")]]
    day.start(dispensed)
    assert open_things(masked, "nurse") == [[(1, "infusion_running")]]
    day.wait(hours=1)
    day.stop(dispensed)
    assert open_things(masked, "nurse") == [[]]

    day.now = silent.closes_at + MINUTE
    move(day, silent)
    assert (1, "not_documented") in open_things(masked, "nurse")[1]
    miss(day, silent, hankou)
    assert (1, "not_documented") not in open_things(masked, "nurse")[1]


def test_nothing_is_open_of_a_transfer_from_which_the_participant_came_back(day, hankou, settings):
    infusion = day.enrol()[0]
    day.ready_to_start(infusion)
    move(day, infusion)
    move(day, infusion, to_site="PUREN")

    assert open_things(Face(day, settings, "masked"), "study_manager") == [[], []]


def test_nobody_is_transferred_before_they_were_screened(day, hankou):
    participant = day.enrol()[0].participant
    before = participant.created_at - HOUR

    for refused in (
        lambda: move(day, participant, transferred_at=before),
        lambda: move_many(day, transferred_at=before),
    ):
        with pytest.raises(FieldsInvalid) as refusal:
            refused()
        assert [(f.pointer, f.code) for f in refusal.value.faults] == [("#/at", "before_screening")]


def test_all_of_a_site_without_participants_is_refused_and_whoever_left_the_study_goes_singly(day, hankou):
    with pytest.raises(NobodyToTransfer):
        move_many(day)

    left = day.enrol()[0].participant
    day.discontinue(left, scope="study")
    with pytest.raises(NobodyToTransfer):
        move_many(day)
    move(day, left)
    assert fresh(left).site_id == NEW
