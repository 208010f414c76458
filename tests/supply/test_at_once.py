"""What several people and processes do in the same moment, on connections of their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from supply.models import Infusion, Kit, KitNumber, Order
from supply.services import desk, preparation, schedule
from supply.services.dispatch import release_due
from tests.supply.day import HOUR, Day, fresh
from tests.world import World, a_world
from trialsite.accounts.models import User
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.errors import Refused
from trialsite.outbox.models import Message


@pytest.fixture
def world(a_fresh_database, tmp_path, settings) -> World:
    return a_world(tmp_path, settings)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Begin all acts in the same moment and return what each returned, or its refusal's code."""
    together = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            together.wait(timeout=20)
            return act()
        except Refused as refusal:
            return refusal.code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as people:
        return list(people.map(run, acts))


@pytest.mark.requirement(20)
def test_preparers_who_open_sheets_at_once_get_different_numbers(day: Day):
    made = [day.order(day.enrol()[0]) for _ in range(6)]
    preparer = day.person("preparer")

    at_once(
        *(lambda m=m: preparation.request_sheet(preparation_id=m.pk, by=preparer, at=day.now) for m in made)
    )

    numbers = {fresh(one).kit_number_id for one in made}
    assert len(numbers) == 6
    assert None not in numbers
    assert KitNumber.objects.filter(taken=True).count() == 6


@pytest.mark.requirement(44)
def test_several_signers_and_desks_at_once_do_everything_once(day: Day):
    infusion = day.enrol()[0]
    made = day.make(infusion)

    released = at_once(*[lambda: release_due(at=made.dispatch_at)] * 4)
    taken_up = at_once(*[desk.take_up_orders] * 3)

    assert sorted(released) == [0, 0, 0, 1]
    assert sum(taken_up) == 0
    assert Entry.objects.filter(kind=Kind.KIT_RELEASED).count() == 1


def test_an_order_is_either_cancelled_or_released_whoever_comes_first(day: Day):
    for _ in range(4):
        infusion = day.enrol()[0]
        made = day.make(infusion)

        outcomes = at_once(
            lambda i=infusion: day.cancel_order(i), lambda m=made: release_due(at=m.dispatch_at)
        )

        released = Kit.objects.filter(infusion=infusion).exists()
        assert outcomes == (["illegal_move", 1] if released else [None, 0])
        assert fresh(infusion).status == ("released" if released else "open")
        assert Order.objects.get(infusion=infusion).cancelled is not released


@pytest.mark.requirement(44)
def test_workers_that_sweep_at_once_tell_everything_once(day: Day):
    User.objects.filter(username__in=("nurse", "pharmacist")).update(email="ward@example.org")
    infusion = day.enrol()[0]
    kit = day.prepare(infusion)
    at = max(kit.expires_at, infusion.closes_at) + HOUR

    at_once(*[lambda: schedule.run_all(at=at)] * 4)

    assert fresh(infusion).status == "undocumented"
    kinds = list(Entry.objects.values_list("kind", flat=True))
    assert [kinds.count(kind) for kind in (Kind.KIT_EXPIRED, Kind.INFUSION_UNDOCUMENTED)] == [1, 1]
    assert kinds.count(Kind.INFUSION_OPENED) == 1
    assert Infusion.objects.filter(status="open").count() == 1
    assert list(Message.objects.values_list("attempts", flat=True)) == [1, 1]  # nurse and pharmacist


def test_two_swapped_bags_entered_at_once_wait_for_each_other_and_are_both_recorded(day: Day):
    for _ in range(3):
        pair = [day.enrol()[0] for _ in range(2)]
        bags = [day.ready_to_start(infusion).number for infusion in pair]
        stated = {"started_at": day.now, "reason": "found out at once"}
        day.wait(minutes=5)

        at_once(
            lambda p=pair, b=bags, s=stated: day.start(p[0], kit_scan=b[1], **s),
            lambda p=pair, b=bags, s=stated: day.start(p[1], kit_scan=b[0], **s),
        )

        assert [fresh(infusion).kit_id for infusion in pair] == bags[::-1]
        assert {fresh(infusion).status for infusion in pair} == {"started"}
