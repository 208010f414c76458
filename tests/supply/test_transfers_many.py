"""Transfers as the study manager makes them: who goes, who may not, who is told, what is on record."""

from __future__ import annotations

import datetime as dt

import pytest

from randomization.models import EnrolmentChange, Participant, Transfer
from supply.services import schedule
from supply.services.transfers import SiteCannotReceive
from tests.supply.day import HOUR, fresh
from tests.supply.moving import NEW, move, move_many, sites
from tests.supply.test_rest import Face
from tests.world import a_participant, answers
from trialsite.accounts.access import NotPermitted
from trialsite.accounts.models import Site
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.errors import FieldsInvalid
from trialsite.outbox.models import Message


@pytest.mark.requirement(48)
def test_all_of_a_site_go_at_once_and_only_those_whose_part_goes_on(day, hankou):
    randomized = day.enrol()[0].participant
    waiting = a_participant(day.world)
    failed = a_participant(day.world, eligibility=answers(E5=True))
    left = day.enrol()[0].participant
    day.discontinue(left, scope="study")
    off_treatment = day.enrol()[0].participant
    day.discontinue(off_treatment)

    moved = move_many(day)

    assert [one.transfer.participant for one in moved] == [randomized, waiting, off_treatment]
    assert set(Participant.objects.filter(site="PUREN")) == {failed, left}
    assert sites(randomized) == [NEW] * 4


@pytest.mark.requirement(48)
def test_several_go_together_or_none_does(day, hankou):
    here = day.enrol()[0].participant
    elsewhere = a_participant(day.world, by="investigator_2", site=NEW)

    with pytest.raises(FieldsInvalid) as refusal:
        move_many(day, participants=[here.pk, elsewhere.pk])

    assert [(f.pointer, f.code) for f in refusal.value.faults] == [("#/participants/1", "not_there")]
    assert fresh(here).site_id == "PUREN"
    assert not Transfer.objects.exists()


@pytest.mark.parametrize(
    ("other", "wrong"),
    [
        ({"to_site": "NOWHERE"}, ("#/to_site", "unknown")),
        ({"to_site": "PUREN"}, ("#/to_site", "same_site")),
        ({"from_site": "NOWHERE"}, ("#/from_site", "unknown")),
        ({"transferred_at": dt.datetime(2999, 1, 1, tzinfo=dt.UTC)}, ("#/at", "in_the_future")),
    ],
)
def test_a_transfer_that_cannot_be_is_refused_by_its_place(day, other, wrong):
    day.enrol()

    with pytest.raises(FieldsInvalid) as refusal:
        move_many(day, **other)

    assert {(fault.pointer, fault.code) for fault in refusal.value.faults} == {wrong}


@pytest.mark.parametrize(("status", "taken"), [("paused", True), ("suspended", False), ("closed", False)])
def test_a_paused_site_takes_participants_and_a_suspended_or_closed_one_does_not(day, hankou, status, taken):
    participant = day.enrol()[0].participant
    last = EnrolmentChange.objects.order_by("number").last()
    EnrolmentChange.objects.create(
        number=(last.number if last else 0) + 1,
        site_id=NEW,
        status=status,
        reason="x",
        at=day.now,
        recorded_by=day.person("study_manager"),
    )

    if taken:
        assert move(day, participant).infusions
        return
    with pytest.raises(SiteCannotReceive):
        move(day, participant)
    assert fresh(participant).site_id == "PUREN"


def test_a_site_that_was_never_opened_takes_nobody(day):
    Site.objects.create(code="WUCHANG", name="Wuchang", time_zone="Asia/Shanghai")
    participant = day.enrol()[0].participant

    with pytest.raises(SiteCannotReceive):
        move(day, participant, to_site="WUCHANG")


def test_nobody_but_the_study_manager_transfers(day):
    participant = day.enrol()[0].participant

    for who in ("investigator", "investigator_2", "pharmacist", "monitor"):
        with pytest.raises(NotPermitted):
            move(day, participant, by=day.person(who))


@pytest.mark.requirement(49, 74)
def test_the_trail_has_the_transfer_between_the_old_order_and_the_new_one(day, hankou):
    infusion, *_ = day.enrol()
    day.order(infusion)
    happened = day.now - 3 * HOUR

    moved = move(day, infusion, transferred_at=happened)

    entries = list(Entry.objects.order_by("-position")[:3])[::-1]
    assert [entry.kind for entry in entries] == [
        Kind.INFUSION_ORDER_CANCELLED,
        Kind.PARTICIPANT_TRANSFERRED,
        Kind.INFUSION_ORDERED,
    ]
    event = parse(bytes(entries[1].body))
    assert event["about"] == {"participant": str(infusion.participant_id), "site": NEW}
    assert event["role"] == "study_manager"
    assert event["data"]["from"] == "PUREN"
    assert event["data"]["to"] == NEW
    assert event["data"]["infusions"] == [1, 2, 3, 4]
    assert event["data"]["ordered_again"] == [1]
    assert event["data"]["transferred_at"] < event["at"]
    assert moved.transfer.at == happened


def test_the_investigators_of_both_sites_are_told_by_screening_number(day, hankou):
    day.enrol()
    day.enrol()

    move_many(day)

    told = list(Message.objects.filter(dedupe_key__startswith="transfer:"))
    assert {message.recipient for message in told} == {day.person("investigator").email, hankou.email}
    for message in told:
        assert "PUREN-001\nPUREN-002" in message.body
        assert "designated hospital" not in message.body


def test_the_numbers_of_both_sites_go_on_as_if_nobody_had_gone(day, hankou):
    day.enrol()
    day.enrol()
    move_many(day)

    assert a_participant(day.world).screening_number == "PUREN-003"
    assert a_participant(day.world, by="investigator_2", site=NEW).screening_number == "HANKOU-001"


@pytest.mark.requirement(62)
def test_the_investigator_of_the_old_site_can_still_break_the_code_in_an_emergency(
    day, hankou, unmasked_face
):
    participant = day.enrol()[0].participant
    move(day, participant)
    body = {
        "participant": str(participant.pk),
        "category": "emergency",
        "reason": "Collapse in the corridor",
        "reveal_to": "requester",
        "signature": day.world.signature("investigator"),
    }

    answer = day.world.client("investigator").post(
        "/api/v1/unblindings", body, format="json", headers={"Idempotency-Key": "now"}
    )

    assert answer.status_code == 201


def test_whoever_was_there_can_still_report_an_accidental_unblinding(day, hankou):
    participant = day.enrol()[0].participant
    move(day, participant)

    answer = day.world.client("nurse").post(
        "/api/v1/accidental-unblindings",
        {
            "participant": "PUREN-001",
            "occurred_at": (day.now - dt.timedelta(days=9)).isoformat(),
            "what_happened": "The cover slipped.",
        },
        format="json",
        headers={"Idempotency-Key": "slip"},
    )

    assert answer.status_code == 201


def test_the_new_sites_people_are_reminded_though_the_old_ones_were(day, hankou):
    infusion, *_ = day.enrol()
    schedule.send_reminders(at=day.now)
    old = set(Message.objects.values_list("recipient", flat=True))

    move(day, infusion)
    schedule.send_reminders(at=day.now)

    reminders = Message.objects.filter(dedupe_key__startswith="infusion:")
    assert old == {day.person("nurse").email, day.person("pharmacist").email}
    assert set(reminders.values_list("recipient", flat=True)) - old == {hankou.email}


def test_transfers_over_rest(day, hankou, settings):
    masked = Face(day, settings, "masked")
    infusion, *_ = day.enrol()
    kit = day.prepare(infusion)
    alone = day.enrol()[0].participant
    third = day.enrol()[0].participant
    now = day.now.isoformat()
    stated = {"to_site": NEW, "reason": "Moved", "at": now}

    one = masked.post("study_manager", f"participants/{alone.pk}/transfer", key="one", **stated)
    again = masked.post("study_manager", f"participants/{alone.pk}/transfer", key="one", **stated)
    some = masked.post(
        "study_manager", "transfers", from_site="PUREN", participants=[str(third.pk)], **stated
    )
    rest = masked.post("study_manager", "transfers", from_site="PUREN", participants="all", **stated)

    assert (one.status_code, one.json()["infusions"]) == (201, [1, 2, 3, 4])
    assert again.content == one.content
    assert [row["screening_number"] for row in some.json()["participants"]] == ["PUREN-003"]
    (last,) = rest.json()["participants"]
    assert last["attention"] == [
        {
            "infusion": 1,
            "code": "bag_left",
            "detail": last["attention"][0]["detail"],
            "kit_number": kit.number,
            "because": "",
        }
    ]
    assert masked.get("investigator", "participants").json()["count"] == 0


@pytest.mark.parametrize("participants", [[], ["x"], [1], "everybody", None, {}])
def test_who_is_transferred_is_said_in_one_of_two_ways(day, hankou, settings, participants):
    masked = Face(day, settings, "masked")
    stated = {"from_site": "PUREN", "to_site": NEW, "reason": "Moved", "at": day.now.isoformat()}

    answer = masked.post("study_manager", "transfers", participants=participants, **stated)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"].startswith("#/participants")


@pytest.mark.requirement(50)
def test_each_login_has_the_rights_that_a_transfer_takes(day, hankou, as_role):
    infusion, other, *_ = day.enrol()
    kit = day.ready_to_start(infusion)
    with as_role("irt_masked"):
        move(day, infusion)
    Site.objects.filter(pk=NEW).update(time_zone="Asia/Tokyo")

    with as_role("irt_worker"):
        schedule.expire_kits(at=kit.expires_at)

    assert (fresh(infusion).site_id, fresh(other).site_id) == (NEW, NEW)
