"""
The preparation desk's work-list and the steps that open nothing: verify, cover, reject, label.

Every step, and every look at a sheet, is one sealed event of one kind and size. The masked side
learns of none of them before the release.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.db import connection, transaction

from supply.domain import expiry, preparation_states
from supply.domain.preparation_states import UNRELEASED, IllegalMove, PreparationAction, PreparationStatus
from supply.domain.scans import read_kit_scan
from supply.labels import label_content, label_pdf
from supply.models import Order, Preparation
from supply.selectors import preparation_within_reach, protocol_at, protocol_for
from supply.services.scanning import KitExpired, KitMismatch, WouldExpire
from trialsite.accounts.models import User
from trialsite.accounts.roles import Role
from trialsite.accounts.services.signatures import verify_password
from trialsite.audit.kinds import Kind
from trialsite.audit.services import check_reason, record_sealed
from trialsite.errors import Refused
from trialsite.ids import new_id

_LABELLED = frozenset(
    {
        PreparationStatus.COMPLETED,
        PreparationStatus.VERIFIED,
        PreparationStatus.COVERED,
        PreparationStatus.RELEASED,
    }
)
_TAKE_UP = """
    INSERT INTO supply_preparation (id, order_id, site_id, attempt, status)
    SELECT o.id, o.id, i.site_id, 1, %s
    FROM supply_order o JOIN supply_infusion i ON i.id = o.infusion_id
    WHERE o.closed_at IS NULL
      AND NOT EXISTS (SELECT FROM supply_preparation p WHERE p.order_id = o.id)
    ORDER BY o.id
    ON CONFLICT DO NOTHING
"""


class SecondPersonNeeded(Refused):
    """Who prepared the bag neither verifies nor covers it."""

    code = "second_person_needed"

    def __init__(self) -> None:
        super().__init__("Another person than the one who prepared the bag must do this.")


class ContentsNotVerified(Refused):
    """The second person does not confirm what is in the bag; it can only be rejected."""

    code = "contents_not_verified"


class SheetNotOpened(Refused):
    """Who verifies a bag has opened its sheet since it was completed: there stands what to compare."""

    code = "sheet_not_opened"

    def __init__(self) -> None:
        super().__init__("Open the sheet and compare the bag with it. Then verify it.")


class CoverNotApplied(Refused):
    """A bag leaves the pharmacy under its opaque cover or not at all."""

    code = "cover_not_applied"


def take_up_orders() -> int:
    """
    Make a preparation for every open order without one; return how many. Idempotent.

    The first attempt carries the order's id, so taking an order up says nothing new.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_UP, [PreparationStatus.TO_PREPARE.value])
        return int(cursor.rowcount)


@transaction.atomic
def verify_preparation(
    *,
    preparation_id: uuid.UUID,
    kit_scan: str,
    contents_verified: bool,
    password: str,
    by: User,
    at: dt.datetime,
) -> Preparation:
    """
    Record that a second person checked the contents against the sheet, and signed.

    :raises trialsite.errors.NotFound: if the preparation is not at a site of ``by``.
    :raises trialsite.accounts.services.signatures.SignatureRejected: if the password is not theirs.
    :raises SecondPersonNeeded: if ``by`` prepared the bag.
    :raises SheetNotOpened: if ``by`` is not who last opened the sheet to check the bag.
    :raises ContentsNotVerified: if the contents are not confirmed.
    :raises trialsite.errors.Refused: if the scan is not this bag's, or the step is not due.
    """
    preparation = locked_preparation(preparation_id, by=by)
    preparation.status = _after(preparation, PreparationAction.VERIFY)
    check_kit(preparation, kit_scan)
    _require_another(preparation, by=by)
    if preparation.checked_by_id != by.pk:
        raise SheetNotOpened
    if not contents_verified:
        raise ContentsNotVerified("The contents are not confirmed. Reject the bag and prepare another.")
    verify_password(user=by, password=password)
    preparation.verified_by, preparation.verified_at = by, at
    preparation.save(update_fields=["status", "verified_by", "verified_at"])
    record_sealed(**step_event(preparation, "verify", by=by, at=at))
    return preparation


@transaction.atomic
def cover_preparation(
    *, preparation_id: uuid.UUID, kit_scan: str, cover_applied: bool, by: User, at: dt.datetime
) -> Preparation:
    """
    Record that the opaque cover is on, witnessed; the bag is released at the next dispatch minute.

    :raises trialsite.errors.NotFound: if the preparation is not at a site of ``by``.
    :raises SecondPersonNeeded: if ``by`` prepared the bag.
    :raises CoverNotApplied: if the cover is not on.
    :raises supply.services.scanning.KitExpired: if the bag expires before it could be released.
    :raises supply.services.scanning.WouldExpire: if it could not be infused to its end by then.
    :raises trialsite.errors.Refused: if the scan is not this bag's, or the step is not due.
    """
    preparation = locked_preparation(preparation_id, by=by)
    preparation.status = _after(preparation, PreparationAction.COVER)
    check_kit(preparation, kit_scan)
    _require_another(preparation, by=by)
    if not cover_applied:
        raise CoverNotApplied("The bag must be covered before it leaves the pharmacy.")
    protocol = protocol_for(preparation.order.infusion)
    preparation.dispatch_at = expiry.next_dispatch(at, protocol.dispatch_minutes)
    if preparation.expires_at is None or preparation.expires_at <= preparation.dispatch_at:
        raise KitExpired
    minutes = protocol.infusion_minutes
    if expiry.would_expire_before_end(preparation.expires_at, preparation.dispatch_at, minutes):
        raise WouldExpire
    preparation.covered_by, preparation.covered_at = by, at
    preparation.save(update_fields=["status", "covered_by", "covered_at", "dispatch_at"])
    record_sealed(**step_event(preparation, "cover", by=by, at=at))
    return preparation


@transaction.atomic
def reject_preparation(*, preparation_id: uuid.UUID, reason: str, by: User, at: dt.datetime) -> Preparation:
    """
    Throw a bag away before its release and begin another under the same order.

    Where the order has ended, the bag is cancelled for good and there is no other.

    The reason is in the sealed event only; nothing of this reaches the masked side.

    :raises trialsite.errors.NotFound: if the preparation is not at a site of ``by``.
    :raises FieldsInvalid: if the reason is too long to be sealed.
    :raises supply.domain.moves.IllegalMove: if the bag was released, or thrown away before.
    """
    check_reason(reason)
    preparation = locked_preparation(preparation_id, by=by)
    wanted = preparation.order.closed_at is None
    action = PreparationAction.REJECT if wanted else PreparationAction.CANCEL
    # By the row: that the order has ended since keeps nobody from saying what became of the bag.
    preparation.status = preparation_states.after(preparation.status, action)
    preparation.save(update_fields=["status"])
    data = {"reason": reason, "remake": _remake(preparation) if wanted else ""}
    record_sealed(**step_event(preparation, "reject", by=by, at=at, data=data))
    return preparation


def _remake(preparation: Preparation) -> str:
    """Begin the next attempt and return its id."""
    remake = Preparation.objects.create(
        id=new_id(),
        order=preparation.order,
        site_id=preparation.site_id,
        attempt=preparation.attempt + 1,
        status=PreparationStatus.TO_PREPARE,
    )
    return str(remake.pk)


def preparation_label(*, preparation_id: uuid.UUID, by: User) -> bytes:
    """
    Return the inner and the outer label as a PDF of two pages, from ``completed`` on.

    :raises trialsite.errors.NotFound: if the preparation is not at a site of ``by``.
    :raises supply.domain.moves.IllegalMove: if there is nothing to label.
    """
    preparation = preparation_within_reach(preparation_id, by=by)
    present = present_status(preparation)
    if present not in _LABELLED or preparation.kit_number_id is None or preparation.expires_at is None:
        raise illegal("label", present)
    infusion = preparation.order.infusion
    return label_pdf(
        label_content(
            protocol_at(preparation.site_id, infusion),
            site_code=preparation.site_id,
            kit_number=preparation.kit_number_id,
            randomization_number=infusion.participant.allocation.randomization_number,
            infusion_number=infusion.number,
            expires_at=preparation.expires_at,
        )
    )


def locked_preparation(preparation_id: uuid.UUID, *, by: User) -> Preparation:
    """
    Hold a preparation of a site where ``by`` prepares, and return it as it is now.

    :raises trialsite.errors.NotFound: if there is none.
    """
    reached = preparation_within_reach(preparation_id, by=by)
    rows = Preparation.objects.select_for_update(of=("self",)).select_related(
        "order__infusion__participant__allocation"
    )
    preparation = rows.get(pk=reached.pk)
    # Joined rows are not read again when the lock was waited for, and the order may have ended.
    preparation.order.closed_at = Order.objects.values_list("closed_at", flat=True).get(
        pk=preparation.order_id
    )
    return preparation


def present_status(preparation: Preparation) -> PreparationStatus:
    """Return the status, which is ``cancelled`` where the order ended before the release."""
    status = PreparationStatus(preparation.status)
    ended = preparation.order.closed_at is not None
    return PreparationStatus.CANCELLED if ended and status in UNRELEASED else status


def check_kit(preparation: Preparation, kit_scan: str) -> None:
    """
    Refuse a scan that is not this bag's number.

    :raises supply.domain.kit_codes.KitNumberMisread: if the scan holds no kit number.
    :raises KitMismatch: if it is another bag's.
    """
    if read_kit_scan(kit_scan) != preparation.kit_number_id:
        raise KitMismatch


def step_event(
    preparation: Preparation, step: str, *, by: User, at: dt.datetime, data: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the arguments of ``record_sealed`` for one step of a preparation."""
    body = {
        "step": step,
        "by": str(by.pk),
        "role": Role.PREPARER.value,
        "preparation": str(preparation.pk),
        "order": str(preparation.order_id),
        "infusion": str(preparation.order.infusion_id),
        "kit": preparation.kit_number_id or "",
        **(data or {}),
    }
    return {"kind": Kind.PREPARATION, "event_id": new_id(), "at": at, "body": body}


def illegal(step: str, present: PreparationStatus) -> IllegalMove:
    """Return the refusal of a step that the table of moves does not name, in the table's words."""
    return IllegalMove(f"'{step}' is not possible: the present status is '{present}'.")


def _after(preparation: Preparation, action: PreparationAction) -> PreparationStatus:
    return preparation_states.after(present_status(preparation), action)


def _require_another(preparation: Preparation, *, by: User) -> None:
    if preparation.prepared_by_id == by.pk:
        raise SecondPersonNeeded
