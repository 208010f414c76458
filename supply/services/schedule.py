"""
The sweeps: what time alone changes, written down and told.

Every one may run twice, late, or in another order than the last: it takes up a row only in the
state that it changes, under the row's lock, so nothing is lost and nothing is done twice. Windows
and expiry are judged again wherever they are used, so nothing waits for a sweep either.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q, QuerySet

from supply.domain import infusion_states
from supply.domain.infusion_states import InfusionAction, InfusionStatus
from supply.domain.kit_states import UNSTARTED
from supply.models import Infusion, Kit
from supply.services.expiring import expire, expire_bag_in_hand
from supply.services.records import end_open_order, locked, locked_kit
from trialsite.accounts.models import User
from trialsite.accounts.roles import Role
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.outbox import services as outbox

WORKER = "system:worker"
# The second reminder goes out this long before the time to aim for.
REMIND_BEFORE_TARGET = dt.timedelta(hours=2)
_I = InfusionStatus
_UNTOUCHED = (_I.SCHEDULED, _I.OPEN)
_NOT_BEGUN = (*_UNTOUCHED, _I.ORDERED, _I.RELEASED, _I.DISPENSED)


def run_all(*, at: dt.datetime) -> None:
    """Run every sweep once, in the order of a day, and send what is to be sent."""
    open_windows(at=at)
    expire_kits(at=at)
    close_windows(at=at)
    send_reminders(at=at)
    outbox.deliver_due(at=at)


def open_windows(*, at: dt.datetime) -> int:
    """Open the infusions whose window has begun and not ended; return how many."""
    due = Infusion.objects.filter(status=_I.SCHEDULED, opens_at__lte=at, closes_at__gt=at)
    return _each(due, lambda infusion_id: _open(infusion_id, at=at))


def close_windows(*, at: dt.datetime) -> int:
    """
    Mark what has not begun when its window ended as ``undocumented``, and end its order.

    Never as missed: that an infusion was not given is for a person to say.
    """
    due = Infusion.objects.filter(status__in=_NOT_BEGUN, closes_at__lte=at)
    return _each(due, lambda infusion_id: _close(infusion_id, at=at))


def expire_kits(*, at: dt.datetime) -> int:
    """Expire the bags that were not hung in time; their infusions may be ordered again."""
    due = Kit.objects.filter(status__in=list(UNSTARTED), expires_at__lte=at)
    return _each(due, lambda number: _expire(number, at=at))


def send_reminders(*, at: dt.datetime) -> int:
    """
    Remind the site's nurses and pharmacists when a window opens and again before the target time.

    A reminder that is late, because nothing ran, still goes out while the window is open; of two
    that are due, only the later one. Return how many infusions were reminded of.
    """
    open_now = Q(opens_at__lte=at, closes_at__gt=at)
    target_due = Q(status__in=_NOT_BEGUN, target_at__lte=at + REMIND_BEFORE_TARGET)
    due = Infusion.objects.filter(open_now, target_due | Q(status__in=_UNTOUCHED))
    # What was reminded of since its last reminder came due is left out by ``_remind``.
    return _each(due, lambda infusion_id: _remind(infusion_id, at=at))


@transaction.atomic
def _open(infusion_id: uuid.UUID, *, at: dt.datetime) -> bool:
    infusion = locked(Infusion.objects.get(pk=infusion_id))
    if infusion.status != _I.SCHEDULED or not infusion.opens_at <= at < infusion.closes_at:
        return False
    infusion.status = infusion_states.after(infusion.status, InfusionAction.OPEN)
    infusion.save(update_fields=["status"])
    _record(Kind.INFUSION_OPENED, infusion, at=at)
    return True


@transaction.atomic
def _close(infusion_id: uuid.UUID, *, at: dt.datetime) -> bool:
    infusion = locked(Infusion.objects.get(pk=infusion_id))
    if infusion.status not in _NOT_BEGUN or at < infusion.closes_at:
        return False
    expire_bag_in_hand(infusion, at=at)
    infusion.status = infusion_states.after(infusion.status, InfusionAction.CLOSE)
    infusion.save(update_fields=["status"])
    end_open_order(infusion, at=at, reason="The infusion's window closed.")
    _record(Kind.INFUSION_UNDOCUMENTED, infusion, at=at)
    return True


@transaction.atomic
def _expire(number: str, *, at: dt.datetime) -> bool:
    infusion = locked(Kit.objects.select_related("infusion").get(pk=number).infusion)
    return expire(locked_kit(number), infusion, at=at, by=WORKER)


@transaction.atomic
def _remind(infusion_id: uuid.UUID, *, at: dt.datetime) -> bool:
    infusion = locked(Infusion.objects.get(pk=infusion_id))
    if infusion.status not in _NOT_BEGUN or not infusion.opens_at <= at < infusion.closes_at:
        return False
    near = at >= infusion.target_at - REMIND_BEFORE_TARGET
    kind, due_at = (
        ("target", max(infusion.opens_at, infusion.target_at - REMIND_BEFORE_TARGET))
        if near
        else ("opens", infusion.opens_at)
    )
    if infusion.reminded_at is not None and infusion.reminded_at >= due_at:
        return False
    infusion.reminded_at = at
    infusion.save(update_fields=["reminded_at"])
    subject, body = _words(infusion, kind)
    for person in _people_to_remind(infusion.site_id):
        outbox.queue(
            dedupe_key=f"infusion:{infusion.pk}:{kind}:{person.pk}",
            recipient=person.email,
            subject=subject,
            body=body,
            at=at,
        )
    return True


def _words(infusion: Infusion, kind: str) -> tuple[str, str]:
    """Return subject and body: numbers and local times, and nothing of what is infused."""
    zone = ZoneInfo(infusion.site.time_zone)
    number, participant = infusion.number, infusion.participant.screening_number
    # An e-mail cannot keep up with the infusion: it says what is planned and sends people to look.
    opening = "is open" if kind == "opens" else "is due"
    times = [infusion.target_at.astimezone(zone), infusion.closes_at.astimezone(zone)]
    target, closes = (f"{moment:%Y-%m-%d %H:%M}" for moment in times)
    subject = f"Participant {participant}: infusion {number} {opening}"
    body = (
        f"Infusion {number} of participant {participant} {opening}.\n\n"
        f"Planned for {target}, not after {closes} ({infusion.site.time_zone}).\n"
        "What holds now stands in the system.\n"
    )
    return subject, body


def _people_to_remind(site: str) -> list[User]:
    roles = (Role.NURSE, Role.PHARMACIST)
    held = Q(role_grants__role__in=roles, role_grants__ended_at=None, role_grants__site=site)
    return list(User.objects.filter(held, is_active=True).exclude(email="").distinct().order_by("username"))


def _record(kind: Kind, infusion: Infusion, *, at: dt.datetime) -> None:
    about = {"participant": str(infusion.participant_id), "infusion": str(infusion.pk)}
    record(kind=kind, by=WORKER, at=at, about=about)


def _each(due: QuerySet[Infusion] | QuerySet[Kit], work: Callable[..., bool]) -> int:
    """Do ``work`` with each key that is due now, and count where it was done."""
    return sum(work(key) for key in list(due.order_by("pk").values_list("pk", flat=True)))
