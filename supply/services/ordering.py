"""Ordering a bag for an infusion, and taking the order back while no bag was released."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Max, Min, Q

from supply.domain import dosing, infusion_states
from supply.domain.infusion_states import InfusionAction
from supply.domain.visit_windows import check_interval
from supply.models import Infusion, Order
from supply.selectors import protocol_for
from supply.services.expiring import expire_bag_in_hand
from supply.services.records import CLOCK_SLACK, end_open_order, event, held, refuse_future
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import Refused
from trialsite.ids import new_id


class NeededOutsideWindow(Refused):
    """The bag is asked for a time at which the infusion may not be given."""

    code = "needed_outside_window"


class NeededInThePast(Refused):
    """The bag is asked for a time that has passed."""

    code = "needed_in_the_past"


@transaction.atomic
def order_infusion(
    *,
    infusion_id: uuid.UUID,
    weight_kg: Decimal,
    weighed_at: dt.datetime,
    needed_at: dt.datetime,
    ward: str,
    by: User,
    at: dt.datetime,
) -> Infusion:
    """
    Ask the preparers for one bag.

    The weight is asked for in both arms: that it were not needed would tell one.

    :param needed_at: when the infusion is to begin.
    :raises trialsite.errors.NotFound: if the infusion is not at a site of ``by``.
    :raises trialsite.errors.FieldsInvalid: if the weight is dated in the future.
    :raises supply.domain.moves.IllegalMove: if the infusion is not open.
    :raises NeededOutsideWindow, NeededInThePast: if no bag can be given then.
    :raises supply.domain.dosing.WeightImplausible, supply.domain.dosing.WeightTooOld: by the weight.
    :raises supply.domain.visit_windows.IntervalTooShort: if the previous infusion is too near.
    """
    infusion = held(infusion_id, by=by, permission=Permission.ORDER)
    expire_bag_in_hand(infusion, at=at)
    present = infusion_states.effective_status(infusion.status, infusion.opens_at, infusion.closes_at, at)
    infusion.status = infusion_states.after(present, InfusionAction.ORDER)
    refuse_future(weighed_at, name="weighed_at", at=at)
    order = Order(
        id=new_id(),
        infusion=infusion,
        weight_kg=weight_kg,
        weighed_at=weighed_at,
        needed_at=needed_at,
        ward=ward,
        ordered_at=at,
        ordered_by=by,
    )
    check_order(order, at=at)
    infusion.save(update_fields=["status"])
    order.save(force_insert=True)
    record(**ordered(order, by=by, permission=Permission.ORDER, at=at))
    return infusion


@transaction.atomic
def cancel_order(*, infusion_id: uuid.UUID, reason: str, by: User, at: dt.datetime) -> Infusion:
    """
    Take the open order back; the infusion may be ordered again.

    :raises trialsite.errors.NotFound: if the infusion is not at a site of ``by``.
    :raises supply.domain.moves.IllegalMove: if there is no open order. One whose bag was released
        is fulfilled: that bag is wasted instead.
    """
    infusion = held(infusion_id, by=by, permission=Permission.ORDER)
    infusion.status = infusion_states.after(infusion.status, InfusionAction.CANCEL_ORDER)
    infusion.save(update_fields=["status"])
    end_open_order(infusion, at=at, reason=reason)
    record(
        **event(
            Kind.INFUSION_ORDER_CANCELLED,
            by=by,
            permission=Permission.ORDER,
            at=at,
            infusion=infusion,
            data={"reason": reason},
        )
    )
    return infusion


def check_order(order: Order, *, at: dt.datetime) -> None:
    """
    Refuse an order for which no bag can be given.

    :raises NeededOutsideWindow, NeededInThePast: if no bag can be given then.
    :raises supply.domain.dosing.WeightImplausible, supply.domain.dosing.WeightTooOld: by the weight.
    :raises supply.domain.visit_windows.IntervalTooShort: if the previous infusion is too near.
    """
    infusion, needed_at = order.infusion, order.needed_at
    if needed_at < at - CLOCK_SLACK:
        raise NeededInThePast("The time at which the bag is needed has passed.")
    if not infusion.opens_at <= needed_at < infusion.closes_at:
        raise NeededOutsideWindow("The bag is needed at a time outside the infusion's window.")
    check_intervals(infusion, at=needed_at)
    dose = protocol_for(infusion).dose
    dosing.check_weight(order.weight_kg, min_kg=dose.weight_min_kg, max_kg=dose.weight_max_kg)
    # As old as it will be when the bag is needed, not as it is now.
    dosing.check_weight_age(order.weighed_at, at=needed_at, max_age_hours=dose.weight_max_age_hours)


def ordered(order: Order, *, by: User, permission: Permission, at: dt.datetime) -> dict[str, Any]:
    """Return the arguments of ``record`` for an order."""
    stated = {
        "order": str(order.pk),
        "weight_kg": str(order.weight_kg),
        "weighed_at": timestamp(order.weighed_at),
        "needed_at": timestamp(order.needed_at),
        "ward": order.ward,
    }
    infusion = order.infusion
    return event(Kind.INFUSION_ORDERED, by=by, permission=permission, at=at, infusion=infusion, data=stated)


def check_intervals(infusion: Infusion, *, at: dt.datetime) -> None:
    """
    Refuse a start at ``at`` that is too near another infusion's, before it or, entered late, after it.

    :raises supply.domain.visit_windows.IntervalTooShort: if the participant's infusions before and
        after ``at`` began less than the trial's interval from it.
    """
    others = Infusion.objects.filter(participant=infusion.participant_id).exclude(pk=infusion.pk)
    starts = others.aggregate(
        before=Max("started_at", filter=Q(started_at__lt=at)),
        after=Min("started_at", filter=Q(started_at__gte=at)),
    )
    min_hours = protocol_for(infusion).min_interval_hours
    check_interval(previous_started_at=starts["before"], at=at, min_hours=min_hours)
    if starts["after"] is not None:
        check_interval(previous_started_at=at, at=starts["after"], min_hours=min_hours)
