"""
Breaking one participant's code in an emergency.

The order is the promise: the intent is on the trail and committed, a checkpoint over it is signed,
and only then is the one envelope opened and checked against the published root; the reveal goes on
the trail, and then the answer leaves. A crash in between leaves a trail that says more than
happened, never less. Nobody's approval, no quota, no lock-out and no queue stands
in the way: one investigator of the participant's site, or the emergency desk, suffices.

Every event here is of one kind and one size. A refused attempt cannot be told from a reveal.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction

from randomization.domain.strata import leaf_order
from randomization.models import Allocation, RandomizationList, SealedArm, Unblinding
from randomization.selectors import protocol_of
from randomization.services.commitments import CommitmentInvalid, signed_commitment
from randomization.services.notices import notify_of_unblinding
from randomization.services.unblinding_requests import allocation_of, record_act
from trialsite.audit import merkle, notes
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.audit.services import public_keys
from trialsite.audit.signing import TrailRolledBack, latest_checkpoint, sign_checkpoint
from trialsite.errors import Refused
from trialsite.keyfiles import KeyFileError
from trialsite.opening import FileKeys, IntegrityFailure, Keys, OpeningFailed, open_body, open_slot
from trialsite.protocol import Protocol

_PAPER = "Open the participant's paper envelope, and raise the alarm."


class CannotReveal(Refused):
    """The envelope does not hold what the list committed to, or did not open at all."""

    code = "integrity_failure"
    status = 500

    def __init__(self) -> None:
        super().__init__(f"The sealed treatment cannot be trusted. {_PAPER}")


class TrailUnavailable(Refused):
    """No checkpoint could be signed over the request, so nothing is opened."""

    code = "trail_unavailable"
    status = 503

    def __init__(self) -> None:
        super().__init__(f"The audit trail cannot be signed. {_PAPER}")


@dataclass(frozen=True, kw_only=True)
class SealedBag:
    """An infusion that was started, and what its bag was prepared from, still sealed."""

    kit_number: str
    infusion: int
    given_at: dt.datetime
    volume_ml: Decimal | None
    preparation_id: uuid.UUID | None
    sealed_contents: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class GivenBag:
    """The same with the treatment as it was prepared; None where that cannot be read."""

    kit_number: str
    infusion: int
    given_at: dt.datetime
    volume_ml: Decimal | None
    treatment: str | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """Where the trail holds the request: its position and leaf, and a signed checkpoint over it."""

    position: int
    leaf_hash: str
    checkpoint: str


@dataclass(frozen=True, kw_only=True)
class Revealed:
    """What the requester is told, once. Never stored, logged or sent anywhere else."""

    unblinding: Unblinding
    arm: str | None = field(repr=False)
    treatment: str | None = field(repr=False)
    bags: Sequence[GivenBag] = field(repr=False)
    receipt: Receipt


# Finds the bags that a participant was given; supply knows them, and stands above this package.
FindBags = Callable[[uuid.UUID], Sequence[SealedBag]]


def open_unblinding(
    *, unblinding_id: uuid.UUID, position: int, at: dt.datetime, find_bags: FindBags
) -> Revealed:
    """
    Sign a checkpoint over the committed request at ``position``, then open the one envelope.

    :raises RuntimeError: inside a transaction, where the request may still be undone.
    :raises TrailUnavailable: if no checkpoint can be signed; nothing was opened.
    :raises CannotReveal: if the envelope is not the listed one; that leaves a sealed event.
    """
    with transaction.atomic(durable=True):
        unblinding = Unblinding.objects.get(pk=unblinding_id)
    checkpoint = signed_checkpoint()
    try:
        keys = FileKeys([settings.CODE_BREAK_KEY_FILE])
        protocol, arm = open_arm(unblinding.participant_id, keys=keys)
    except (OpeningFailed, KeyFileError) as failure:
        with transaction.atomic(durable=True):
            record_act("failure", unblinding, at=at, body={"failure": type(failure).__name__})
        raise CannotReveal from None
    bags = [_opened(bag, keys=keys, study=protocol.protocol) for bag in find_bags(unblinding.participant_id)]
    return Revealed(
        unblinding=unblinding,
        arm=protocol.arms[arm].code,
        treatment=protocol.treatment(arm).name,
        bags=bags,
        receipt=_receipt(position, checkpoint=checkpoint),
    )


@transaction.atomic
def record_reveal(*, revealed: Revealed, at: dt.datetime) -> Unblinding:
    """
    Put on the trail that the arm is shown, and let the study know that a code was broken.

    Once for each unblinding: being shown it again was recorded before it was opened.
    """
    # Read anew and held: a repeat may run beside the first request.
    unblinding = Unblinding.objects.select_for_update().get(pk=revealed.unblinding.pk)
    if unblinding.revealed_at is None:
        notify_of_unblinding(unblinding, at=at)
        body = {"by": str(unblinding.requested_by_id), "arm": revealed.arm}
        unblinding.revealed_at = at
        unblinding.reveal_position = record_act("reveal", unblinding, at=at, body=body)
        unblinding.save(update_fields=["revealed_at", "reveal_position"])
    return unblinding


def without_arm(unblinding_id: uuid.UUID) -> Revealed:
    """Return what may be said of an unblinding to whoever asked for it and does not sign anew."""
    unblinding = Unblinding.objects.get(pk=unblinding_id)
    receipt = _receipt(unblinding.intent_position, checkpoint=latest_checkpoint() or "")
    return Revealed(unblinding=unblinding, arm=None, treatment=None, bags=(), receipt=receipt)


def _receipt(position: int, *, checkpoint: str) -> Receipt:
    leaf = Entry.objects.values_list("leaf", flat=True).get(position=position)
    return Receipt(position=position, leaf_hash=bytes(leaf).hex(), checkpoint=checkpoint)


def open_arm(participant_id: uuid.UUID, *, keys: Keys) -> tuple[Protocol, int]:
    """
    Return the trial and the arm of the participant's slot, checked down to the signed commitment.

    :raises trialsite.opening.OpeningFailed: if the list is not the committed one, the envelope is
        not the slot's, or the slot is not the one that the trail gave the participant.
    """
    allocation = allocation_of(participant_id)
    _check_slot(allocation)
    the_list, sealed = allocation.slot.list, allocation.slot.sealedarm
    protocol = protocol_of(the_list.trial_version_id)
    _check_root(the_list)
    arm = open_slot(
        keys,
        sealed.key_id,
        bytes(sealed.envelope),
        study=protocol.protocol,
        stratum=allocation.stratum_id,
        slot=allocation.position,
        root=bytes(the_list.root),
        leaf_hash=bytes(sealed.leaf_hash),
    )
    return protocol, arm


def arm_for_paper(participant_id: uuid.UUID) -> tuple[Protocol, int]:
    """
    Return the trial and the arm of one participant, for the envelope that is printed now.

    The caller has put the printing on the trail and had it signed.

    :raises CannotReveal: if the sealed envelope is not the listed one.
    """
    try:
        return open_arm(participant_id, keys=FileKeys([settings.CODE_BREAK_KEY_FILE]))
    except (OpeningFailed, KeyFileError):
        raise CannotReveal from None


def signed_checkpoint() -> str:
    """
    Sign a checkpoint over everything that is committed now.

    :raises TrailUnavailable: if none can be signed.
    """
    try:
        return sign_checkpoint()
    except (TrailRolledBack, notes.NoteInvalid, KeyFileError, OpeningFailed, OSError):
        raise TrailUnavailable from None


def _check_slot(allocation: Allocation) -> None:
    """
    Compare the slot with the one that the trail says was taken: a row can be exchanged, a leaf not.

    The first such event counts: nothing that is appended later moves a participant.

    :raises IntegrityFailure: if it is another slot, or the event is missing or altered.
    """
    participant = str(allocation.participant_id)
    taken = Entry.objects.filter(kind=Kind.PARTICIPANT_RANDOMIZED).order_by("position")
    for body, leaf in taken.values_list("body", "leaf"):
        if participant.encode() not in bytes(body):
            continue
        event = json.loads(bytes(body))
        about, data = event["about"], event["data"]
        if about.get("participant") != participant:
            continue
        listed = (about.get("stratum"), data.get("slot")) == (allocation.stratum_id, allocation.position)
        if listed and merkle.leaf_hash(bytes(body)) == bytes(leaf):
            return
        break
    raise IntegrityFailure("The slot is not the one that the trail gave the participant.")


def _check_root(the_list: RandomizationList) -> None:
    """
    Compare the root with what the statistician signed and with the leaves as they are stored now.

    :raises IntegrityFailure: if one of them is another.
    """
    try:
        signed = signed_commitment(the_list.commitment_note)
    except CommitmentInvalid:
        raise IntegrityFailure("The list's commitment is not the one that was signed.") from None
    # An extension may hold strata of any age, so the order is that of its trial and not of the rows.
    order = {code: place for place, code in enumerate(leaf_order(protocol_of(the_list.trial_version_id)))}
    leaves = SealedArm.objects.filter(slot__list=the_list).values_list(
        "slot__stratum", "slot__position", "leaf_hash"
    )
    in_order = sorted(leaves, key=lambda leaf: (order.get(leaf[0], len(order)), leaf[1]))
    root = merkle.root_of(bytes(leaf) for _, _, leaf in in_order)
    if not root == signed.root == bytes(the_list.root):
        raise IntegrityFailure("The list is not the one that was committed to.")


def _opened(bag: SealedBag, *, keys: Keys, study: str) -> GivenBag:
    """Return the bag with its treatment; one that cannot be read must not hold up the rest."""
    treatment = None
    if bag.sealed_contents is not None:
        try:
            kid = public_keys().code_break.kid
            contents = open_body(keys, kid, bag.sealed_contents, event_id=bag.preparation_id, study=study)
            treatment = str(contents["treatment"])
        except (OpeningFailed, KeyError):
            treatment = None
    return GivenBag(
        kit_number=bag.kit_number,
        infusion=bag.infusion,
        given_at=bag.given_at,
        volume_ml=bag.volume_ml,
        treatment=treatment,
    )
