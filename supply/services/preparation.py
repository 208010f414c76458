"""
Preparing a bag: the one place in supply that opens an arm.

A look at the sheet is on the trail, committed, before the envelope is opened; each look is another
event. Completing opens again, to know what the trial asks for. Its refusals are on the trail too,
since the words of one may tell what was asked.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from randomization.services.unblinding import open_arm
from supply.domain import expiry, preparation_states
from supply.domain.preparation_states import UNRELEASED, PreparationAction, PreparationStatus
from supply.models import Lot, Preparation
from supply.selectors import preparation_within_reach, protocol_for
from supply.services.contents import (
    NOT_APPLICABLE,
    check_contents,
    check_release,
    quality_findings,
    target_cells,
)
from supply.services.desk import check_kit, illegal, locked_preparation, present_status, step_event
from supply.services.kit_numbers import take_kit_number
from supply.services.records import refuse_future
from trialsite.accounts.models import User
from trialsite.audit.services import public_keys, record_sealed, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, Refused
from trialsite.keyfiles import KeyFileError
from trialsite.opening import FileKeys, Keys, OpeningFailed, open_body
from trialsite.protocol import Treatment
from trialsite.sealing import seal_body


class LotUnsuitable(Refused):
    """The lot is not at this site, not of a component of this treatment, or was over by then."""

    code = "lot_unsuitable"

    def __init__(self) -> None:
        super().__init__("This lot cannot be used for this bag.")


class CannotPrepare(Refused):
    """The envelope does not hold what the list committed to, or did not open at all."""

    code = "integrity_failure"
    status = 500

    def __init__(self) -> None:
        super().__init__("The sealed treatment cannot be trusted. Prepare nothing, and raise the alarm.")


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """
    What the preparer works from. Secret: never stored, logged or shown elsewhere.

    ``stated`` is what was stated at completion, for the second person; None before.
    """

    preparation: Preparation
    code: str
    treatment: Treatment
    target_cells: str
    volume_ml: str
    stated: Mapping[str, Any] | None


@transaction.atomic
def request_sheet(*, preparation_id: uuid.UUID, by: User, at: dt.datetime) -> Preparation:
    """
    Put on the trail that ``by`` is about to see what goes into a bag. Nothing is opened.

    The first request gives the bag its number. One by another person than the preparer, once the
    bag is completed, is kept as the check that its verification needs.

    :raises trialsite.errors.NotFound: if the preparation is not at a site of ``by``.
    :raises supply.domain.moves.IllegalMove: if the bag was released, rejected or its order ended.
    :raises supply.services.kit_numbers.KitNumbersExhausted: if no number is left.
    """
    preparation = locked_preparation(preparation_id, by=by)
    present = present_status(preparation)
    if present not in UNRELEASED:
        raise illegal("open", present)
    if preparation.kit_number_id is None:
        preparation.kit_number = take_kit_number()
        preparation.save(update_fields=["kit_number"])
    if present == PreparationStatus.COMPLETED and preparation.prepared_by_id != by.pk:
        preparation.checked_by, preparation.checked_at = by, at
        preparation.save(update_fields=["checked_by", "checked_at"])
    record_sealed(**step_event(preparation, "open", by=by, at=at))
    return preparation


def open_preparation(*, preparation_id: uuid.UUID, by: User) -> Sheet:
    """
    Open the sheet whose request was committed.

    :raises RuntimeError: inside a transaction, where the request may still be undone.
    :raises CannotPrepare: if the envelope is not the listed one.
    """
    with transaction.atomic(durable=True):
        preparation = preparation_within_reach(preparation_id, by=by)
        return _sheet(preparation)


@transaction.atomic
def complete_preparation(
    *,
    preparation_id: uuid.UUID,
    kit_scan: str,
    lot: str,
    prepared_at: dt.datetime,
    contents: Mapping[str, str],
    by: User,
    at: dt.datetime,
) -> Preparation:
    """
    Record the bag that was made: contents sealed, expiry fixed.

    A bag that was made stays recordable when its order has ended meanwhile; it stays cancelled.

    :param lot: the lot's number, as received at this site.
    :param prepared_at: the end of preparation, from which the expiry counts.
    :param contents: field -> value, as the trial file asks for this treatment.
    :raises trialsite.errors.NotFound: if the preparation is not at a site of ``by``.
    :raises FieldsInvalid: if a time cannot be, or the contents are not what is asked.
    :raises LotUnsuitable: if the lot may not be in this bag.
    :raises trialsite.errors.Refused: if the scan is not this bag's, the step is not due, or the
        cells or volumes are not fit for release.
    """
    preparation = locked_preparation(preparation_id, by=by)
    after = preparation_states.after(preparation.status, PreparationAction.COMPLETE)
    if preparation.kit_number_id is None:
        # A bag's number is on its sheet: what was completed without one was not prepared from it.
        raise illegal("complete", present_status(preparation))
    check_kit(preparation, kit_scan)
    _check_time(preparation, prepared_at, at=at)
    try:
        sealed, quality = _contents(preparation, lot=lot, prepared_at=prepared_at, contents=contents, at=at)
    except Refused as refusal:
        refusal.leave(step_event(preparation, "complete", by=by, at=at, data={"refused": refusal.code}))
        raise
    protocol = protocol_for(preparation.order.infusion)
    preparation.status = after
    preparation.sealed_contents = sealed
    preparation.expires_at = expiry.expires_at(prepared_at, protocol.stability_minutes)
    preparation.prepared_by, preparation.completed_at = by, at
    preparation.save(update_fields=["status", "sealed_contents", "expires_at", "prepared_by", "completed_at"])
    data = {"prepared_at": timestamp(prepared_at), "lot": lot, "quality": list(quality)}
    record_sealed(**step_event(preparation, "complete", by=by, at=at, data=data))
    return preparation


def _check_time(preparation: Preparation, prepared_at: dt.datetime, *, at: dt.datetime) -> None:
    refuse_future(prepared_at, name="prepared_at", at=at)
    if prepared_at < preparation.order.ordered_at:
        raise FieldsInvalid(FieldFault(("prepared_at",), "before_order", "The bag was ordered later."))


def _contents(
    preparation: Preparation,
    *,
    lot: str,
    prepared_at: dt.datetime,
    contents: Mapping[str, str],
    at: dt.datetime,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the sealed body of what is in the bag, and the findings about it."""
    sheet = _sheet(preparation)
    protocol = protocol_for(preparation.order.infusion)
    treatment = sheet.treatment
    check_contents(treatment, contents)
    component = _component(preparation, treatment, lot=lot, prepared_at=prepared_at)
    check_release(contents, protocol.dose)
    target = target_cells(treatment, preparation.order.weight_kg, protocol.dose)
    quality = tuple(quality_findings(contents, target=target, dose=protocol.dose))
    body = {
        "treatment": treatment.name,
        "treatment_code": sheet.code,
        "kit": preparation.kit_number_id,
        "component": component,
        "lot": lot,
        "prepared_at": timestamp(prepared_at),
        "target_cells": sheet.target_cells,
        "contents": dict(contents),
        "quality": list(quality),
    }
    keys = public_keys()
    sealed = seal_body(
        body,
        event_id=preparation.pk,
        study=protocol.protocol,
        at=at,
        recipients=(keys.auditor, keys.safety_desk, keys.code_break),
    )
    return sealed, quality


def _component(preparation: Preparation, treatment: Treatment, *, lot: str, prepared_at: dt.datetime) -> str:
    suitable = Lot.objects.filter(
        site=preparation.site_id,
        number=lot,
        component__in=treatment.components,
        expires_at__gt=prepared_at,
    ).order_by("component")
    component = suitable.values_list("component", flat=True).first()
    if component is None:
        raise LotUnsuitable
    return component


def _sheet(preparation: Preparation) -> Sheet:
    infusion = preparation.order.infusion
    try:
        keys = FileKeys([settings.CODE_BREAK_KEY_FILE])
        protocol, arm = open_arm(infusion.participant_id, keys=keys)
        stated = _stated(preparation, keys=keys, study=protocol.protocol)
    except (OpeningFailed, KeyFileError):
        raise CannotPrepare from None
    treatment = protocol.treatment(arm)
    target = target_cells(treatment, preparation.order.weight_kg, protocol.dose)
    return Sheet(
        preparation=preparation,
        code=protocol.arms[arm].treatment,
        treatment=treatment,
        target_cells=NOT_APPLICABLE if target is None else format(target, "f"),
        volume_ml=format(protocol.dose.volume_ml, "f"),
        stated=stated,
    )


def _stated(preparation: Preparation, *, keys: Keys, study: str) -> Mapping[str, Any] | None:
    if preparation.sealed_contents is None:
        return None
    kid = public_keys().code_break.kid
    return open_body(keys, kid, preparation.sealed_contents, event_id=preparation.pk, study=study)
