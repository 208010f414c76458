"""
The release of covered bags, at the dispatch minutes of the trial file: run by the signer.

The masked side learns a bag's number here and no earlier, so that the moment tells nothing of how
long the preparation took.
"""

from __future__ import annotations

import datetime as dt
import uuid

from django.db import transaction

from randomization.locks import lock_participant
from supply.domain import infusion_states, preparation_states
from supply.domain.infusion_states import InfusionAction, InfusionStatus
from supply.domain.kit_states import KitStatus
from supply.domain.preparation_states import PreparationAction, PreparationStatus
from supply.models import Infusion, Kit, Order, Preparation
from trialsite.accounts.roles import Role
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp


def release_due(*, at: dt.datetime) -> int:
    """
    Release the covered bags whose dispatch minute has come; return how many.

    Each in a transaction of its own, one dispatch after the other, in the order of kit numbers:
    neither the order of preparation nor anything else of it shows. A bag that has expired by now
    never reaches the ward: it stays on the unmasked side until a preparer rejects it.
    """
    due = Preparation.objects.filter(
        status=PreparationStatus.COVERED, dispatch_at__lte=at, expires_at__gt=at, order__closed_at=None
    ).order_by("dispatch_at", "kit_number_id")
    return sum(_release(preparation_id, at=at) for preparation_id in list(due.values_list("pk", flat=True)))


@transaction.atomic
def _release(preparation_id: uuid.UUID, *, at: dt.datetime) -> bool:
    """Release one bag if it is still due, and say whether it was."""
    found = Preparation.objects.select_related("order__infusion").get(pk=preparation_id)
    # Locks in their one order, and every row read again under its lock: the order may have been
    # cancelled, or the bag rejected, in this very minute.
    lock_participant(found.order.infusion.participant_id)
    infusion = Infusion.objects.select_for_update().get(pk=found.order.infusion_id)
    order = Order.objects.select_for_update().get(pk=found.order_id)
    preparation = Preparation.objects.select_for_update().get(pk=preparation_id)
    due = preparation.status == PreparationStatus.COVERED and infusion.status == InfusionStatus.ORDERED
    if not due or order.closed_at is not None or not preparation.dispatch_at or not preparation.expires_at:
        return False
    # The time of the release is the dispatch minute, however late this process came to it.
    released_at, expires_at = preparation.dispatch_at, preparation.expires_at
    if expires_at <= at:
        return False
    kit = Kit.objects.create(
        number=str(preparation.kit_number_id),
        site_id=infusion.site_id,
        participant_id=infusion.participant_id,
        infusion=infusion,
        status=KitStatus.RELEASED,
        released_at=released_at,
        expires_at=expires_at,
    )
    infusion.status = infusion_states.after(infusion.status, InfusionAction.RELEASE)
    infusion.kit = kit
    infusion.save(update_fields=["status", "kit"])
    order.closed_at = released_at
    order.save(update_fields=["closed_at"])
    preparation.status = preparation_states.after(preparation.status, PreparationAction.RELEASE)
    preparation.save(update_fields=["status"])
    about = {"kit": kit.number, "infusion": str(infusion.pk), "participant": str(infusion.participant_id)}
    record(
        kind=Kind.KIT_RELEASED,
        by="system:signer",
        role=Role.PREPARER.value,
        at=released_at,
        about=about,
        data={"expires_at": timestamp(expires_at)},
    )
    return True
