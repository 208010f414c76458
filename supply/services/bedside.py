"""At the bedside: the infusion begins, ends, or is said not to have been given."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from django.db import transaction

from supply.domain import infusion_states, kit_states
from supply.domain.infusion_states import InfusionAction, InfusionStatus
from supply.domain.kit_codes import KitNumberMisread
from supply.domain.kit_states import KitAction
from supply.domain.scans import read_kit_scan
from supply.models import Infusion, Kit
from supply.selectors import protocol_for, refuse_out_of_reach
from supply.services.bedside_stops import (
    Start,
    check_states,
    hard_stops,
    infusion_to_start,
    leave_near_miss,
    mismatches,
    refuse_bag_elsewhere,
    told,
)
from supply.services.expiring import give_up
from supply.services.records import (
    CLOCK_SLACK,
    deviation,
    end_open_order,
    event,
    held,
    is_late,
    locked,
    locked_kit,
    locked_with_holder,
    refuse_future,
)
from supply.services.scanning import released_kit
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, Refused

Action = TypeVar("Action", InfusionAction, KitAction)


class LateEntryNeedsReason(Refused):
    """What began more than 15 minutes ago is entered with the reason why only now."""

    code = "late_entry_needs_reason"


class Outcome(StrEnum):
    """How an infusion ended; the values are part of the REST interface."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"


@transaction.atomic
def start_infusion(
    *,
    infusion_id: uuid.UUID,
    kit_scan: str,
    participant_scan: str,
    cover_intact: bool,
    started_at: dt.datetime,
    reason: str,
    by: User,
    at: dt.datetime,
) -> Infusion:
    """
    Begin the infusion, or enter late that it began.

    What is about to happen is stopped by the first hard stop, which leaves a near miss on the
    trail. What has begun and is entered with its reason is a fact: what would have stopped it is
    recorded as a deviation, and the bag recorded is the one that was scanned, even another
    infusion's, which loses it. More than 15 minutes after, there must be a reason.

    :param reason: why it is entered only now; not needed for what begins now.
    :raises trialsite.errors.NotFound: if the infusion is not at a site of ``by``.
    :raises FieldsInvalid: if ``started_at`` lies in the future, or before the bag was released.
    :raises LateEntryNeedsReason: if it is late and ``reason`` is empty.
    :raises supply.domain.moves.IllegalMove: if the infusion has begun, or the bag was hung before.
    :raises trialsite.errors.Refused: with a near miss in ``events``, for every hard stop.
    """
    fact = bool(reason) and started_at < at - CLOCK_SLACK
    reached = infusion_to_start(infusion_id, kit_scan, fact=fact, by=by, at=at)
    refuse_future(started_at, name="started_at", at=at)
    late = is_late(started_at, at=at)
    if late and not reason:
        raise LateEntryNeedsReason("The infusion began more than 15 minutes ago. Say why it is entered late.")
    infusion, holder = _held_both(reached, kit_scan) if fact else (locked(reached), None)
    refuse_out_of_reach(infusion, by=by, permission=Permission.ADMINISTER)
    try:
        start = Start(
            infusion=infusion,
            kit=released_kit(kit_scan, infusion),
            participant_scan=participant_scan,
            started_at=started_at,
            cover_intact=cover_intact,
        )
        found = _stops(start, fact=fact)
    except Refused as stop:
        leave_near_miss(stop, infusion, kit=infusion.kit_id, by=by, at=at)
        raise
    if start.before_release and not fact:
        raise FieldsInvalid(FieldFault(("started_at",), "before_release", "The kit was released later."))
    deviations = [*([("late_entry", reason)] if late else []), *(told(start, found) if fact else [])]
    infusion.deviations.extend(deviation(code, detail, at=at) for code, detail in deviations)
    _begin(start, fact=fact, holder=holder)
    stated: dict[str, Any] = {
        "started_at": timestamp(started_at),
        "late": fact,
        "deviations": _codes(infusion),
        "reason": reason,
    }
    if start.kit.infusion_id != infusion.pk:
        stated["made_for"] = str(start.kit.infusion_id)
    _record(Kind.INFUSION_STARTED, infusion, by=by, at=at, data=stated)
    return infusion


def _held_both(infusion: Infusion, kit_scan: str) -> tuple[Infusion, Infusion | None]:
    """Hold the infusion, and the other one that has the scanned kit, if one has."""
    try:
        return locked_with_holder(infusion, read_kit_scan(kit_scan))
    except KitNumberMisread:
        return locked(infusion), None


def _stops(start: Start, *, fact: bool) -> list[Refused]:
    """
    Return the hard stops that a fact has as deviations.

    :raises Refused: the first of them, if the infusion is only about to begin.
    """
    found = list(mismatches(start))
    # A second start of what has begun is no near miss.
    begun = start.infusion.status in (
        InfusionStatus.STARTED,
        InfusionStatus.GIVEN,
        InfusionStatus.INTERRUPTED,
    )
    if not begun:
        found.extend(hard_stops(start))
    if found and not fact:
        raise found[0]
    if not begun and not fact:
        check_states(start)
    return found


def _begin(start: Start, *, fact: bool, holder: Infusion | None) -> None:
    infusion, kit = start.infusion, start.kit
    begin, hang = InfusionAction.START, KitAction.START
    if fact:
        begin = _fact(infusion.status, InfusionAction.LATE_START, InfusionAction.FOUND_STARTED)
        hang = _fact(kit.status, KitAction.LATE_START, KitAction.FOUND_STARTED)
    infusion.status, kit.status = (
        infusion_states.after(infusion.status, begin),
        kit_states.after(kit.status, hang),
    )
    # Another bag may have been asked for meanwhile, by people who could not know.
    end_open_order(infusion, at=start.started_at, reason="The infusion had begun with another kit.")
    if holder is not None:
        give_up(kit, holder)
    infusion.kit, infusion.started_at = kit, start.started_at
    kit.ended_at, kit.end_reason = None, ""
    infusion.save(update_fields=["status", "kit", "started_at", "deviations"])
    kit.save(update_fields=["status", "ended_at", "end_reason"])


def _fact(status: str, late: Action, found: Action) -> Action:
    may = infusion_states.may if isinstance(late, InfusionAction) else kit_states.may
    return late if may(status, late) else found


@transaction.atomic
def stop_infusion(
    *,
    infusion_id: uuid.UUID,
    ended_at: dt.datetime,
    volume_ml: Decimal,
    outcome: Outcome,
    reason: str,
    by: User,
    at: dt.datetime,
) -> Infusion:
    """
    Record how a running infusion ended; always possible, at any time after its start.

    :param volume_ml: what the participant received; more than the bag held is a deviation.
    :raises trialsite.errors.NotFound: if the infusion is not at a site of ``by``.
    :raises FieldsInvalid: if it ended in the future or before it began, or a reason is missing.
    :raises supply.domain.moves.IllegalMove: if it is not running.
    """
    infusion = held(infusion_id, by=by, permission=Permission.ADMINISTER)
    completed = outcome == Outcome.COMPLETED
    action = InfusionAction.STOP_COMPLETED if completed else InfusionAction.STOP_INTERRUPTED
    infusion.status = infusion_states.after(infusion.status, action)
    _check_end(infusion, ended_at=ended_at, at=at)
    if not completed and not reason:
        raise FieldsInvalid(
            FieldFault(("reason",), "required", "Say why the infusion did not run to its end.")
        )
    kit = locked_kit(str(infusion.kit_id))
    kit.status = kit_states.after(kit.status, KitAction.FINISH)
    kit.ended_at, kit.end_reason, kit.volume_ml = ended_at, reason, volume_ml
    infusion.ended_at, infusion.volume_ml, infusion.outcome, infusion.reason = (
        ended_at,
        volume_ml,
        outcome.value,
        reason,
    )
    infusion.deviations.extend(_deviations_at_end(infusion, kit, at=at))
    infusion.save(update_fields=["status", "ended_at", "volume_ml", "outcome", "reason", "deviations"])
    kit.save(update_fields=["status", "ended_at", "end_reason", "volume_ml"])
    stated: dict[str, Any] = {
        "ended_at": timestamp(ended_at),
        "volume_ml": str(volume_ml),
        "outcome": outcome.value,
        "reason": reason,
        "deviations": _codes(infusion),
    }
    _record(Kind.INFUSION_STOPPED, infusion, by=by, at=at, data=stated)
    return infusion


def _check_end(infusion: Infusion, *, ended_at: dt.datetime, at: dt.datetime) -> None:
    refuse_future(ended_at, name="ended_at", at=at)
    if infusion.started_at is None or ended_at < infusion.started_at - CLOCK_SLACK:
        raise FieldsInvalid(FieldFault(("ended_at",), "before_start", "The infusion began later."))


def _deviations_at_end(infusion: Infusion, kit: Kit, *, at: dt.datetime) -> list[dict[str, str]]:
    assert infusion.ended_at is not None  # noqa: S101 - set by the caller
    assert infusion.volume_ml is not None  # noqa: S101 - set by the caller
    found = []
    if is_late(infusion.ended_at, at=at):
        found.append(("late_entry", infusion.reason or "The end was entered late."))
    if infusion.ended_at > kit.expires_at:
        found.append(("expired_during_infusion", "The kit expired before the infusion ended."))
    if infusion.volume_ml > protocol_for(infusion).dose.volume_ml:
        found.append(("volume_over", "More was recorded as given than the bag held."))
    return [deviation(code, detail, at=at) for code, detail in found]


@transaction.atomic
def declare_missed(*, infusion_id: uuid.UUID, reason: str, by: User, at: dt.datetime) -> Infusion:
    """
    Say that an infusion was not given and will not be; an open order ends with it.

    A bag that was released for it stays, to be wasted.

    :raises trialsite.errors.NotFound: if the infusion is not at a site of ``by``.
    :raises supply.services.bedside_stops.BagElsewhere: if its bag was handed over at another site.
    :raises supply.domain.moves.IllegalMove: if it has begun, or has ended already.
    """
    infusion = held(infusion_id, by=by, permission=Permission.MISS)
    refuse_bag_elsewhere(infusion, by=by, at=at)
    infusion.status = infusion_states.after(infusion.status, InfusionAction.MISS)
    infusion.reason = reason
    infusion.save(update_fields=["status", "reason"])
    end_open_order(infusion, at=at, reason="The infusion was declared missed.")
    record(
        **event(
            Kind.INFUSION_MISSED,
            by=by,
            permission=Permission.MISS,
            at=at,
            infusion=infusion,
            kit=infusion.kit_id,
            data={"reason": reason},
        )
    )
    return infusion


def _codes(infusion: Infusion) -> list[str]:
    return [entry["code"] for entry in infusion.deviations]


def _record(kind: Kind, infusion: Infusion, *, by: User, at: dt.datetime, data: dict[str, Any]) -> None:
    permission = Permission.ADMINISTER
    record(
        **event(kind, by=by, permission=permission, at=at, infusion=infusion, kit=infusion.kit_id, data=data)
    )
