"""What time alone changes: written down once, told once, and judged right before it is."""

from __future__ import annotations

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest

from supply import tasks
from supply.models import Infusion, Kit
from supply.selectors import infusions_visible_to, kits_visible_to
from supply.services import schedule
from tests.supply.day import HOUR, MINUTE, fresh
from trialsite.accounts.models import User
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.outbox.models import Message

SWEEPS = (
    schedule.open_windows,
    schedule.expire_kits,
    schedule.close_windows,
    schedule.send_reminders,
)


@pytest.fixture
def mailboxes(world):
    for name in ("nurse", "pharmacist", "investigator", "preparer"):
        User.objects.filter(username=name).update(email=f"{name}@example.org")


def events(kind: Kind) -> int:
    return Entry.objects.filter(kind=kind).count()


def test_a_window_opens_and_closes_by_the_clock_and_a_person_alone_says_missed(day):
    second = day.enrol()[1]

    assert schedule.open_windows(at=second.opens_at - MINUTE) == 0
    assert schedule.open_windows(at=second.opens_at) == 1
    assert fresh(second).status == "open"
    schedule.close_windows(at=second.closes_at)
    assert fresh(second).status == "undocumented"
    day.now = second.closes_at
    day.miss(second)

    assert fresh(second).status == "missed"
    assert events(Kind.INFUSION_OPENED) == 1


@pytest.mark.requirement(44)
def test_an_outage_over_a_whole_window_closes_it_without_opening_it(day):
    infusions = day.enrol()

    schedule.run_all(at=infusions[-1].closes_at)

    assert {fresh(infusion).status for infusion in infusions} == {"undocumented"}
    assert (events(Kind.INFUSION_OPENED), events(Kind.INFUSION_UNDOCUMENTED)) == (0, 4)


def test_a_window_that_closes_ends_its_order_and_keeps_its_bag_for_a_late_entry(day):
    first, second = day.enrol()[0], day.enrol()[0]
    day.now = first.closes_at - 3 * HOUR
    kit = day.prepare(second)
    made = day.order(first)

    schedule.close_windows(at=first.closes_at)

    made.order.refresh_from_db()
    assert made.order.cancelled
    assert (fresh(first).status, fresh(second).status) == ("undocumented", "undocumented")
    assert fresh(second).kit_id == kit.number


@pytest.mark.requirement(25)
def test_a_bag_that_was_not_hung_expires_and_its_infusion_is_open_again(day, infusion):
    kit = day.ready_to_start(infusion)

    assert schedule.expire_kits(at=kit.expires_at - MINUTE) == 0
    assert schedule.expire_kits(at=kit.expires_at) == 1

    assert (fresh(kit).status, fresh(kit).ended_at) == ("expired", kit.expires_at)
    assert (fresh(infusion).status, fresh(infusion).kit_id) == ("open", None)


def test_a_bag_that_hangs_does_not_expire(day, infusion):
    kit = day.ready_to_start(infusion)
    day.start(infusion)

    assert schedule.expire_kits(at=kit.expires_at + HOUR) == 0
    assert fresh(kit).status == "started"


def a_busy_site(day) -> dt.datetime:
    """Return a moment at which every sweep has something to do."""
    waiting, bag, ordered = day.enrol()[0], day.enrol()[0], day.enrol()[0]
    day.ready_to_start(bag)
    day.order(ordered)
    day.enrol()
    return waiting.closes_at + dt.timedelta(days=1, minutes=1)


@pytest.mark.requirement(44)
def test_sweeps_that_run_twice_and_in_any_order_end_in_one_state_and_do_nothing_twice(day, mailboxes):
    from django.db import transaction

    at = a_busy_site(day)
    states = []
    for order in itertools.islice(itertools.permutations(SWEEPS), 0, None, 5):
        undo = transaction.savepoint()
        before = Entry.objects.count()
        for sweep in order * 2:
            sweep(at=at)
        kits = list(Kit.objects.order_by("number").values_list("number", "status"))
        infusions = list(Infusion.objects.order_by("id").values_list("id", "status", "kit_id"))
        kinds = sorted(Entry.objects.filter(position__gte=before).values_list("kind", flat=True))
        messages = sorted(Message.objects.values_list("dedupe_key", flat=True))
        states.append((kits, infusions, kinds, messages))
        transaction.savepoint_rollback(undo)

    assert all(state == states[0] for state in states)
    assert states[0][2] == [
        *[Kind.INFUSION_OPENED] * 4,
        *[Kind.INFUSION_UNDOCUMENTED] * 4,
        Kind.KIT_EXPIRED,
    ]


def test_what_is_seen_does_not_wait_for_the_sweeps(day):
    busy = a_busy_site(day)
    moments = [busy + hours * HOUR for hours in (-60, -30, -26, -25, 0, 40, 90)]
    nurse = day.person("nurse")

    def seen(at: dt.datetime) -> list[tuple]:
        infusions = infusions_visible_to(nurse, at=at).values_list("id", "present_status", "present_kit")
        kits = kits_visible_to(nurse, at=at).values_list("number", "present_status")
        return [*infusions, *kits]

    for at in moments:
        unswept = seen(at)
        ordered = set(
            Infusion.objects.filter(status__in=("ordered", "released", "dispensed")).values_list("id")
        )
        schedule.run_all(at=at)
        # An order or bag that outlives its window is still that until the sweep has written it down.
        untouched = [row for row in zip(unswept, seen(at), strict=True) if (row[0][0],) not in ordered]
        assert all(before == after for before, after in untouched), at


# Reminders


def test_nurses_and_pharmacists_are_reminded_when_a_window_opens_and_before_the_target(day, mailboxes):
    second = day.enrol()[1]
    Message.objects.all().delete()

    for at in (second.opens_at, second.opens_at + HOUR, second.target_at - 2 * HOUR, second.target_at):
        schedule.send_reminders(at=at)

    sent = list(Message.objects.order_by("created_at", "recipient").values_list("created_at", "recipient"))
    mine = [(at, to) for at, to in sent if at >= second.opens_at]
    people = ["nurse@example.org", "pharmacist@example.org"]
    assert [to for at, to in mine if at == second.opens_at] == people
    assert [to for at, to in mine if at == second.target_at - 2 * HOUR] == people
    assert {at for at, _ in mine} == {second.opens_at, second.target_at - 2 * HOUR}


@pytest.mark.requirement(43, 50)
def test_a_reminder_says_numbers_and_local_time_and_nothing_else(day, mailboxes):
    second = day.enrol()[1]
    schedule.send_reminders(at=second.opens_at)

    message = Message.objects.filter(dedupe_key__contains=str(second.pk)).first()
    local = second.target_at.astimezone(ZoneInfo("Asia/Shanghai"))
    assert message.subject == "Participant PUREN-001: infusion 2 is open"
    assert message.body == (
        "Infusion 2 of participant PUREN-001 is open.\n\n"
        f"Planned for {local:%Y-%m-%d} 10:00, not after {local + dt.timedelta(days=2):%Y-%m-%d} 00:00"
        " (Asia/Shanghai).\nWhat holds now stands in the system.\n"
    )


@pytest.mark.requirement(44)
def test_a_reminder_that_an_outage_held_back_goes_out_late_and_once(day, mailboxes):
    second = day.enrol()[1]
    at = second.target_at + 5 * HOUR

    assert [schedule.send_reminders(at=at + n * MINUTE) for n in range(3)] == [1, 0, 0]
    assert {m.dedupe_key.split(":")[2] for m in Message.objects.all()} == {"target"}


def test_nobody_is_reminded_of_what_is_begun_cancelled_or_over(day, mailboxes):
    running, ended, over = day.enrol()[0], day.enrol()[0], day.enrol()[0]
    day.discontinue(ended.participant)
    day.now = running.target_at - 4 * HOUR + dt.timedelta(days=1)
    day.ready_to_start(running)
    day.start(running)

    for at in (day.now, over.closes_at):
        schedule.send_reminders(at=at)

    reminded_of = {message.dedupe_key.split(":")[1] for message in Message.objects.all()}
    assert str(over.pk) in reminded_of
    assert not {str(running.pk), str(ended.pk)} & reminded_of


def test_the_tasks_carry_no_arguments_and_sweep_at_trial_time(day, infusion, monkeypatch):
    seen = []
    for name in ("open_windows", "close_windows", "expire_kits", "send_reminders"):
        monkeypatch.setattr(schedule, name, lambda *, at, name=name: seen.append((name, at)))
    monkeypatch.setattr(tasks, "trial_now", lambda: day.now)

    for task in (tasks.sweep_windows, tasks.expire_kits, tasks.send_reminders):
        task()

    assert [name for name, _ in seen] == ["open_windows", "close_windows", "expire_kits", "send_reminders"]
    assert {at for _, at in seen} == {day.now}
