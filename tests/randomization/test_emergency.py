"""Envelopes used while the system was down, entered afterwards: facts, in their order."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import re
from zoneinfo import ZoneInfo

import pytest
from pypdf import PdfReader

import tests.world as worlds
from randomization import emergency_sheet
from randomization.models import (
    Allocation,
    Participant,
    RandomizationError,
    Slot,
    SpoiledSlot,
    Stratum,
    Transfer,
)
from randomization.services import emergency
from randomization.services.assignment import AlreadyRandomized, StratumMismatch
from randomization.services.enrolment_changes import change_enrolment
from randomization.services.screening import screen_participant
from supply.domain.visit_windows import visit_windows
from supply.models import Infusion
from supply.services import schedule
from supply.services.paper_enrolment import enter_paper_randomization
from supply.services.withdrawal import discontinue_participant
from tests.randomization.breaking import a_randomized_participant
from tests.randomization.test_consent import withdraw
from tests.supply.day import Day
from tests.world import World, a_participant, a_world, answers, screening_facts, the_protocol
from trialsite.accounts.access import NotPermitted
from trialsite.accounts.models import Site
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.audit.story import Story
from trialsite.clock.services import trial_now
from trialsite.errors import FieldsInvalid, NotFound
from trialsite.outbox.models import Message

HOUR = dt.timedelta(hours=1)


def numbers_of(site: str = "PUREN") -> list[str]:
    """The randomization numbers on the site's envelopes, in the order in which they lie."""
    slots = Slot.objects.filter(stratum__site=site).order_by("position")
    return list(slots.values_list("randomization_number", flat=True))


@pytest.fixture
def day(world: World) -> Day:
    """Some days later, 08:02 in Wuhan: the system is back."""
    return Day(world)


def enter(day: Day, participant, number: str, *, by: str = "investigator", **other) -> Allocation:
    stated = {
        "participant_id": participant.pk,
        "randomization_number": number,
        "randomized_at": day.now - 3 * HOUR,
        "stratum": participant.stratum_levels,
        "reason": "The system was down.",
        "opened_by": "",
    }
    return enter_paper_randomization(**stated | other, by=day.person(by), at=day.now)


def spoil(day: Day, number: str, *, by: str = "investigator", **other) -> SpoiledSlot:
    stated = {
        "site": "PUREN",
        "randomization_number": number,
        "spoiled_at": day.now - 2 * HOUR,
        "reason": "Torn.",
    }
    return emergency.enter_spoiled_envelope(**stated | other, by=day.person(by), at=day.now)


def events_of(kind: Kind) -> list[dict]:
    return [parse(bytes(entry.body)) for entry in Entry.objects.filter(kind=kind).order_by("position")]


def codes(world: World) -> list[str]:
    """What the pharmacy printed: the treatment in each envelope, in order."""
    keys = ["--key", str(world.offline / "emergency-1.key")]
    signed = ["--commitment", str(world.list_folder / "commitment.note")]
    signed += ["--statistician", worlds.PublicKeys.load(world.keys / "public_keys.json").statistician]
    signed += ["--slots", str(world.list_folder / "slots.jsonl")]
    sealed = ["--sealed", str(world.list_folder / "emergency" / "PUREN.json")]
    out = world.keys.with_name("envelopes.pdf")
    assert emergency_sheet.main([*keys, *sealed, *signed, "--out", str(out)]) == 0
    sheets = [page.extract_text() for page in PdfReader(io.BytesIO(out.read_bytes())).pages]
    opened = [re.search(r"Envelope (\d+)\n.*?(R\d+).*Treatment\n(\S+)", sheet, re.DOTALL) for sheet in sheets]
    rows = [found.groups() for found in opened if found]
    assert [number for _, number, _ in rows] == numbers_of()
    return [treatment for _, _, treatment in rows]


@pytest.mark.requirement(8, 83)
def test_what_the_envelope_said_is_what_the_system_has_prepared_from_then_on(world, day):
    printed = codes(world)
    people = [a_participant(world) for _ in printed]
    for participant, number in zip(people, numbers_of(), strict=True):
        enter(day, participant, number)

    prepared = []
    for participant in people:
        infusion = Infusion.objects.get(participant=participant, number=1)
        prepared.append(day.open(day.order(infusion)).code)

    assert prepared == printed
    assert len(set(printed)) == 2


@pytest.mark.requirement(83, 49)
def test_the_entry_is_marked_as_such_with_the_papers_time_and_reason(world, day):
    participant = a_participant(world)
    number = numbers_of()[0]

    allocation = enter(day, participant, f" {number.lower()} ", opened_by="P. Preparer")

    allocation.refresh_from_db()
    assert (allocation.randomized_at, allocation.entered_at) == (day.now - 3 * HOUR, day.now)
    assert allocation.paper_reason == "The system was down."
    assert (allocation.stratum_id, allocation.position) == ("emergency=PUREN", 0)
    (event,) = events_of(Kind.PARTICIPANT_RANDOMIZED)
    assert event["about"] == {
        "participant": str(participant.pk),
        "site": "PUREN",
        "stratum": "emergency=PUREN",
        "randomization_number": number,
    }
    paper = event["data"]["paper"]
    assert event["data"]["slot"] == 0
    assert (paper["reason"], paper["opened_by"]) == ("The system was down.", "P. Preparer")
    assert dt.datetime.fromisoformat(paper["randomized_at"]) == allocation.randomized_at
    participant.refresh_from_db()
    assert participant.stratum_levels == a_participant(world).stratum_levels, "their own stratum is kept"


@pytest.mark.requirement(43, 83)
def test_infusions_are_planned_from_the_papers_time_and_sweeps_write_down_what_has_passed(world, day):
    participant = a_participant(world)
    zone = ZoneInfo("Asia/Shanghai")
    late_evening = (day.now.astimezone(zone) - dt.timedelta(days=2)).replace(hour=23, minute=50)

    enter(day, participant, numbers_of()[0], randomized_at=late_evening)

    planned = Infusion.objects.filter(participant=participant).order_by("number")
    windows = visit_windows(late_evening, time_zone="Asia/Shanghai", plan=the_protocol().infusions)
    assert [(each.opens_at, each.target_at, each.closes_at) for each in planned] == [
        (window.opens_at, window.target_at, window.closes_at) for window in windows
    ]
    assert planned[0].opens_at.astimezone(zone).date() == late_evening.date()
    assert [each.status for each in planned] == ["open", "scheduled", "scheduled", "scheduled"]
    schedule.open_windows(at=day.now)
    schedule.close_windows(at=day.now)
    assert planned.all()[0].status == "undocumented"
    assert len(events_of(Kind.INFUSION_UNDOCUMENTED)) == 1


@pytest.mark.requirement(9, 11, 83)
def test_envelopes_are_entered_in_their_order_each_once(world, day):
    first, second, third, *_ = numbers_of()
    one, other = a_participant(world), a_participant(world)

    with pytest.raises(emergency.EarlierEnvelopeFirst):
        enter(day, one, second)
    with pytest.raises(emergency.EarlierEnvelopeFirst):
        spoil(day, third)
    enter(day, one, first)
    for again in (lambda: enter(day, other, first), lambda: spoil(day, first)):
        with pytest.raises(emergency.EnvelopeEntered):
            again()
    spoil(day, second)
    enter(day, other, third)

    assert list(Allocation.objects.order_by("position").values_list("position", flat=True)) == [0, 2]
    assert SpoiledSlot.objects.get().slot.position == 1
    assert Stratum.objects.get(pk="emergency=PUREN").next_slot == 3
    (event,) = events_of(Kind.SLOT_SPOILED)
    assert event["about"] == {"site": "PUREN", "stratum": "emergency=PUREN", "randomization_number": second}
    assert (event["data"]["slot"], event["data"]["reason"]) == (1, "Torn.")


@pytest.mark.requirement(17, 50, 83)
def test_a_number_that_is_no_envelopes_here_is_refused_in_one_and_the_same_words(world, day):
    participant = a_participant(world)
    live = Slot.objects.filter(stratum__site=None).values_list("randomization_number", flat=True)[0]
    unknown = next(number for number in map("R{:06d}".format, range(99)) if number not in numbers_of())
    told = set()

    for number in (unknown, live, numbers_of("HANKOU")[0], "R12345", "?"):
        for act in (lambda n=number: enter(day, participant, n), lambda n=number: spoil(day, n)):
            with pytest.raises(emergency.EnvelopeUnknown) as refused:
                act()
            told.add((refused.value.code, refused.value.status, str(refused.value)))
    for number in numbers_of():
        spoil(day, number)
    with pytest.raises(emergency.EnvelopeUnknown) as refused:
        enter(day, participant, unknown)
    told.add((refused.value.code, refused.value.status, str(refused.value)))

    assert len(told) == 1
    assert not Allocation.objects.exists()


@pytest.mark.requirement(13, 83)
def test_who_is_randomized_already_gets_no_second_slot_and_the_envelope_is_spoiled(world, day):
    allocation = a_randomized_participant(world)
    first, second, *_ = numbers_of()

    with pytest.raises(AlreadyRandomized):
        enter(day, allocation.participant, first)
    spoil(day, first, reason="The participant had been randomized in the system before.")
    later = enter(day, a_participant(world), second)
    with pytest.raises(AlreadyRandomized):
        enter(day, later.participant, numbers_of()[2])

    assert Allocation.objects.count() == 2


@pytest.mark.requirement(14, 83)
def test_an_ineligible_participant_who_was_randomized_on_paper_is_recorded_and_reported(world, day):
    participant = a_participant(world, eligibility=answers(E1=True))
    assert participant.status == "screen_failed"

    enter(day, participant, numbers_of()[0])

    (error,) = RandomizationError.objects.all()
    assert (error.participant, error.kind, error.criteria) == (participant, "ineligible", participant.unmet)
    kinds = list(Entry.objects.order_by("position").values_list("kind", flat=True))[-2:]
    assert kinds == [Kind.PARTICIPANT_RANDOMIZED, Kind.PARTICIPANT_INELIGIBLE]
    assert Infusion.objects.filter(participant=participant).count() == 4


@pytest.mark.requirement(13, 83)
def test_a_person_who_was_randomized_under_another_number_is_reported_as_a_duplicate(world, day):
    failed = a_participant(world, local_identifier="AB-1", eligibility=answers(E1=True))
    kept = a_randomized_participant(world, local_identifier="AB-1").participant

    enter(day, failed, numbers_of()[0], randomized_at=day.now)

    error = RandomizationError.objects.get(kind="duplicate")
    assert (error.participant, error.duplicate_of) == (failed, kept)
    assert len(events_of(Kind.PARTICIPANT_DUPLICATE)) == 1


@pytest.mark.requirement(83)
def test_what_stood_against_it_at_the_papers_time_is_reported_and_not_refused(world, day):
    manager = world.person("study_manager")
    for site, status, hours in (
        ("PUREN", "paused", 6),
        ("PUREN", "active", 4),
        (None, "suspended", 3),
        (None, "active", 1),
    ):
        at = day.now - hours * HOUR
        change_enrolment(site=site, status=status, reason="Audit.", by=manager, at=at)

    for number, hours in zip(numbers_of(), (5, 2, 0.5), strict=False):
        enter(day, a_participant(world), number, randomized_at=day.now - hours * HOUR)

    errors = RandomizationError.objects.order_by("participant__screening_number")
    assert {error.kind for error in errors} == {"randomized_in_error"}
    assert [error.participant.allocation.randomization_number for error in errors] == numbers_of()[:2]
    for error, code in zip(errors, ("enrolment_paused", "enrolment_suspended"), strict=True):
        assert error.reason.endswith(f": {code}.")


@pytest.mark.requirement(83)
def test_one_beyond_the_cap_is_recorded_and_reported(db, tmp_path, settings, monkeypatch):
    protocol = the_protocol()
    capped = dataclasses.replace(protocol, caps=dataclasses.replace(protocol.caps, trial=1))
    monkeypatch.setattr(worlds, "the_protocol", lambda: capped)
    world = a_world(tmp_path, settings)
    day = Day(world)
    first, second, *_ = numbers_of()

    enter(day, a_participant(world), first)
    assert not RandomizationError.objects.exists()
    enter(day, a_participant(world), second)

    (error,) = RandomizationError.objects.all()
    assert (error.kind, "trial_full" in error.reason) == ("randomized_in_error", True)


@pytest.mark.requirement(45, 83)
def test_whose_treatment_has_ended_before_the_entry_is_randomized_and_gets_no_infusion(world, day):
    participant = a_participant(world)
    discontinue_participant(
        participant_id=participant.pk,
        scope="study",
        reason="Transferred during the outage.",
        discontinued_at=day.now - HOUR,
        by=day.person("investigator"),
        at=day.now,
    )

    enter(day, participant, numbers_of()[0])

    assert set(Infusion.objects.values_list("status", flat=True)) == {"cancelled"}


@pytest.mark.requirement(48, 83)
def test_who_was_transferred_meanwhile_is_entered_with_the_envelope_of_the_old_site(world, day):
    participant = a_participant(world)
    Transfer.objects.create(
        participant=participant,
        from_site_id="PUREN",
        to_site_id="HANKOU",
        reason="Ward closed.",
        at=day.now,
        recorded_by=world.person("study_manager"),
    )
    participant.site = Site.objects.get(pk="HANKOU")
    participant.save(update_fields=["site"])

    allocation = enter(day, participant, numbers_of()[0], by="investigator_2")

    assert allocation.stratum_id == "emergency=PUREN"
    assert set(Infusion.objects.values_list("site", flat=True)) == {"HANKOU"}


@pytest.mark.requirement(48, 83)
def test_who_was_transferred_is_judged_by_the_site_of_the_envelope(db, tmp_path, settings, monkeypatch):
    protocol = the_protocol()
    capped = dataclasses.replace(protocol, caps=dataclasses.replace(protocol.caps, sites={"PUREN": 1}))
    monkeypatch.setattr(worlds, "the_protocol", lambda: capped)
    world = a_world(tmp_path, settings)
    day, manager = Day(world), world.person("study_manager")
    people = [a_participant(world) for _ in range(2)]
    change_enrolment(site="HANKOU", status="suspended", reason="Audit.", by=manager, at=day.now - 5 * HOUR)
    change_enrolment(site="PUREN", status="paused", reason="Audit.", by=manager, at=day.now - 2 * HOUR)
    Transfer.objects.create(
        participant=people[1], from_site_id="PUREN", to_site_id="HANKOU", reason="Ward closed.",
        at=day.now, recorded_by=manager,
    )  # fmt: skip
    Participant.objects.filter(pk=people[1].pk).update(site="HANKOU")

    enter(day, people[0], numbers_of()[0])
    assert not RandomizationError.objects.exists()
    enter(day, people[1], numbers_of()[1], by="investigator_2", randomized_at=day.now - HOUR)

    assert RandomizationError.objects.get().reason.endswith(": enrolment_paused, site_full.")


@pytest.mark.requirement(83)
@pytest.mark.parametrize(("hours", "found"), [(4, []), (2, ["consent_withdrawn", "discontinued"])])
def test_a_consent_that_was_withdrawn_by_the_papers_time_is_reported(world, day, hours, found):
    participant = a_participant(world, consented_at=trial_now() - 2 * HOUR)
    withdraw(world, participant, withdrawn_at=day.now - 3 * HOUR, by=day.person("investigator"), at=day.now)

    enter(day, participant, numbers_of()[0], randomized_at=day.now - hours * HOUR)

    assert [error.reason.split(": ")[1] for error in RandomizationError.objects.all()] == (
        [", ".join(found) + "."] if found else []
    )


@pytest.mark.requirement(83)
@pytest.mark.parametrize(("hours", "errors"), [(4, 0), (2, 1)])
def test_a_treatment_that_had_ended_by_the_papers_time_is_reported(world, day, hours, errors):
    participant = a_participant(world)
    discontinue_participant(
        participant_id=participant.pk, scope="treatment", reason="wish", discontinued_at=day.now - 3 * HOUR,
        by=day.person("investigator"), at=day.now,
    )  # fmt: skip

    enter(day, participant, numbers_of()[0], randomized_at=day.now - hours * HOUR)

    reasons = list(RandomizationError.objects.values_list("reason", flat=True))
    assert [reason.endswith(": discontinued.") for reason in reasons] == [True] * errors


@pytest.mark.requirement(83)
def test_a_randomization_before_consent_is_entered_once_it_is_confirmed_and_reported(world, day):
    facts = screening_facts(consented_at=day.now - HOUR)
    participant = screen_participant(by=day.person("investigator"), at=day.now, **facts)
    stated = {"randomized_at": day.now - 2 * HOUR}

    with pytest.raises(FieldsInvalid) as refused:
        enter(day, participant, numbers_of()[0], **stated)
    enter(day, participant, numbers_of()[0], before_consent=True, **stated)

    assert '"before_consent": true' in refused.value.faults[0].detail
    assert RandomizationError.objects.get().reason.endswith(": consent_not_given.")


@pytest.mark.requirement(10, 83)
def test_a_line_that_is_sent_again_is_told_that_it_was_entered(world, day):
    participant, (first, second, *_) = a_participant(world), numbers_of()
    enter(day, participant, first)

    with pytest.raises(emergency.EnvelopeEntered):
        enter(day, participant, first)
    with pytest.raises(AlreadyRandomized, match="Nothing was entered"):
        enter(day, participant, second)


@pytest.mark.requirement(83)
@pytest.mark.parametrize("field", ["in_the_future", "before_consent", "before_list"])
def test_a_time_at_which_it_cannot_have_been_is_refused(world, day, field):
    participant = a_participant(world, consented_at=trial_now() - 50 * HOUR)
    when = {
        "in_the_future": day.now + dt.timedelta(minutes=1),
        "before_consent": participant.consented_at - dt.timedelta(minutes=1),
        "before_list": trial_now() - 40 * HOUR,
    }[field]

    with pytest.raises(FieldsInvalid) as refused:
        enter(day, participant, numbers_of()[0], randomized_at=when)
    assert [fault.code for fault in refused.value.faults] == [field]
    if field != "before_consent":
        with pytest.raises(FieldsInvalid):
            spoil(day, numbers_of()[0], spoiled_at=when)
    assert Stratum.objects.get(pk="emergency=PUREN").next_slot == 0


@pytest.mark.requirement(12)
def test_the_participants_own_stratum_is_confirmed(world, day):
    participant = a_participant(world)
    other = participant.stratum_levels | {"respiratory_support": "high_flow_or_ventilation"}

    with pytest.raises(StratumMismatch):
        enter(day, participant, numbers_of()[0], stratum=other)


@pytest.mark.requirement(58)
def test_only_the_sites_own_investigators_enter_envelopes(world, day):
    participant, number = a_participant(world), numbers_of()[0]

    for act in (lambda by: enter(day, participant, number, by=by), lambda by: spoil(day, number, by=by)):
        with pytest.raises(NotFound):
            act("investigator_2")
        for other in ("pharmacist", "preparer", "study_manager"):
            with pytest.raises(NotPermitted):
                act(other)
    assert Stratum.objects.get(pk="emergency=PUREN").next_slot == 0


def test_a_trial_without_emergency_lists_says_so(db, tmp_path, settings, monkeypatch):
    without = dataclasses.replace(the_protocol(), emergency=None)
    monkeypatch.setattr(worlds, "the_protocol", lambda: without)
    world = a_world(tmp_path, settings)
    day = Day(world)

    for act in (lambda: enter(day, a_participant(world), "R000001"), lambda: spoil(day, "R000001")):
        with pytest.raises(emergency.NoEmergencyList):
            act()
    assert world.client("investigator").get("/api/v1/reports/emergency-list").json()["count"] == 0


@pytest.mark.requirement(83, 87)
def test_the_story_of_the_trail_reads_in_order_with_envelopes_among_the_rest(world, day):
    first, second, third, *_ = numbers_of()
    a_randomized_participant(world)
    enter(day, a_participant(world), first)
    spoil(day, second)
    a_randomized_participant(world)
    enter(day, a_participant(world), third)
    story = Story()

    entries = Entry.objects.order_by("position").values_list("body", flat=True)
    faults = [fault for body in entries for fault in story.read(parse(bytes(body)))]

    assert faults == []
    assert story.kinds[Kind.PARTICIPANT_RANDOMIZED] == 4


@pytest.mark.requirement(17)
def test_the_statistician_is_told_when_the_last_envelope_is_entered(world, day):
    for number in numbers_of()[:-1]:
        spoil(day, number)
    assert not Message.objects.filter(dedupe_key__startswith="list-exhausted").exists()

    spoil(day, numbers_of()[-1])

    assert Message.objects.filter(dedupe_key__startswith="list-exhausted:emergency=PUREN").exists()
