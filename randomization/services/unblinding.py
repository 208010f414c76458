"""
Breaking one participant's code in an emergency, and printing it on paper beforehand.

The order is the promise: the intent is on the trail and committed, a checkpoint over it is signed,
and only then is the one envelope opened and checked against the published root; the reveal goes on
the trail, and then the answer leaves. A crash in between leaves a trail that says more than
happened, never less (security note 6). Nobody's approval, no quota, no lock-out and no queue stands
in the way: one investigator of the participant's site, or the emergency desk, suffices.

Every event here is of one kind and one size. A refused attempt cannot be told from a reveal.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from randomization.domain.sealed_list import Commitment, SealedListInvalid
from randomization.envelopes import EnvelopeContent, code_break_envelope
from randomization.models import Allocation, Participant, RandomizationList, SealedArm, Unblinding
from randomization.selectors import protocol_of
from randomization.services.notices import notify_of_unblinding
from trialsite.accounts.access import NotPermitted, may, require, sites_of
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.accounts.services.signatures import Signature, SignatureUsed, check_signature
from trialsite.audit import merkle, notes
from trialsite.audit.canonical import canonical
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.audit.services import public_keys, record_sealed
from trialsite.audit.signing import TrailRolledBack, sign_checkpoint
from trialsite.errors import FieldFault, FieldsInvalid, NotFound, Refused
from trialsite.ids import new_id
from trialsite.keyfiles import KeyFileError
from trialsite.opening import FileKeys, IntegrityFailure, Keys, OpeningFailed, open_body, open_slot
from trialsite.protocol import Protocol

PURPOSE = "unblinding"
# As canonical JSON: what stands around the reason in a sealed body must fit its one size too.
LONGEST_REASON_BYTES = 1200
_PAPER = "Open the participant's paper envelope, and raise the alarm."


class NotRandomized(Refused):
    """The participant holds no slot, so there is nothing to reveal."""

    code = "not_randomized"


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
    preparation_id: uuid.UUID
    sealed_contents: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class GivenBag:
    """The same with the treatment as it was prepared; None where that cannot be read."""

    kit_number: str
    infusion: int
    given_at: dt.datetime
    volume_ml: Decimal | None
    treatment: str | None


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
    arm: str
    treatment: str
    bags: Sequence[GivenBag]
    receipt: Receipt


# Finds the bags that a participant was given; supply knows them, and stands above this package.
FindBags = Callable[[uuid.UUID], Sequence[SealedBag]]


@transaction.atomic
def request_unblinding(
    *,
    by: User,
    at: dt.datetime,
    participant_id: uuid.UUID | None,
    named: Mapping[str, str],
    reason: str,
    signature: Signature,
) -> Unblinding:
    """
    Put on the trail that ``by`` is about to learn a participant's arm. Nothing is opened.

    :param participant_id: whom ``named`` (what was typed or scanned) turned out to be, if anybody.
    :raises FieldsInvalid: if the reason is too long; the one refusal without an event.
    :raises NotPermitted: if ``by`` may break no code at all.
    :raises NotFound: if there is no such participant, or only at another site.
    :raises NotRandomized: if the participant holds no slot.
    :raises Refused: if the signature does not hold. Every refusal here leaves a sealed event.
    """
    if len(canonical(reason)) > LONGEST_REASON_BYTES:
        raise FieldsInvalid(FieldFault(("reason",), "max_length", "Say it in fewer words."))
    body = {
        "by": str(by.pk),
        "named": dict(named),
        "category": "emergency",
        "reveal_to": "requester",
        "reason": reason,
    }
    try:
        participant = _participant(participant_id, by=by)
        check_signature(user=by, signature=signature, purpose=PURPOSE)
    except Refused as refusal:
        body |= {"participant": str(participant_id or ""), "refused": refusal.code}
        raise _on_the_trail(refusal, body, at=at) from None
    unblinding = Unblinding(
        participant=participant, requested_by=by, category="emergency", reveal_to="requester", requested_at=at
    )
    unblinding.intent_position = _record("request", unblinding, at=at, body=body)
    unblinding.save(force_insert=True)
    return unblinding


@transaction.atomic
def request_again(*, unblinding_id: uuid.UUID, by: User, at: dt.datetime, signature: Signature) -> int:
    """
    Put on the trail that ``by`` is about to be shown their own reveal once more; return the position.

    :raises SignatureUsed: if the signature is the one that was used: the caller answers without
        the arm, and since nothing is shown, nothing is recorded.
    :raises Refused: if the signature does not hold; that leaves a sealed event.
    """
    unblinding = Unblinding.objects.get(pk=unblinding_id, requested_by=by)
    body = {"by": str(by.pk)}
    try:
        _participant(unblinding.participant_id, by=by)
        check_signature(user=by, signature=signature, purpose=PURPOSE)
    except SignatureUsed:
        raise
    except Refused as refusal:
        body |= {"unblinding": str(unblinding_id), "refused": refusal.code}
        raise _on_the_trail(refusal, body, at=at) from None
    return _record("read", unblinding, at=at, body=body)


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
        unblinding = Unblinding.objects.select_related("participant").get(pk=unblinding_id)
        receipt_leaf = Entry.objects.values_list("leaf", flat=True).get(position=position)
    try:
        checkpoint = sign_checkpoint()
    except (TrailRolledBack, notes.NoteInvalid, KeyFileError, OpeningFailed, OSError):
        raise TrailUnavailable from None
    try:
        keys = FileKeys([settings.CODE_BREAK_KEY_FILE])
        protocol, arm = _open_arm(unblinding.participant_id, keys=keys)
    except (OpeningFailed, KeyFileError) as failure:
        with transaction.atomic(durable=True):
            _record("failure", unblinding, at=at, body={"failure": type(failure).__name__})
        raise CannotReveal from None
    bags = [_opened(bag, keys=keys, study=protocol.protocol) for bag in find_bags(unblinding.participant_id)]
    return Revealed(
        unblinding=unblinding,
        arm=protocol.arms[arm].code,
        treatment=protocol.treatment(arm).name,
        bags=bags,
        receipt=Receipt(position=position, leaf_hash=bytes(receipt_leaf).hex(), checkpoint=checkpoint),
    )


@transaction.atomic
def record_reveal(*, revealed: Revealed, at: dt.datetime) -> None:
    """
    Put on the trail that the arm is shown, and let the study know that a code was broken.

    Once for each unblinding: being shown it again was recorded before it was opened.
    """
    unblinding = revealed.unblinding
    if unblinding.revealed_at is not None:
        return
    notify_of_unblinding(unblinding, at=at)
    body = {"by": str(unblinding.requested_by_id), "arm": revealed.arm}
    unblinding.revealed_at = at
    unblinding.reveal_position = _record("reveal", unblinding, at=at, body=body)
    unblinding.save(update_fields=["revealed_at", "reveal_position"])


def unblindings_visible_to(user: User) -> QuerySet[Unblinding]:
    """
    Return the code breaks that ``user`` may know of: all, or their own.

    :raises NotPermitted: if the person may know of none.
    """
    unblindings = Unblinding.objects.select_related("participant__allocation")
    if may(user, Permission.SEE_UNBLINDINGS):
        return unblindings
    require(user, Permission.SEE_OWN_UNBLINDINGS)
    return unblindings.filter(requested_by=user)


def print_envelope(*, screening_number: str, by: User, at: dt.datetime) -> bytes:
    """
    Return the paper envelope (PDF) of an allocated participant.

    That it is printed is on the trail, committed and signed before the arm is opened.

    :raises NotPermitted: if ``by`` may not print envelopes.
    :raises NotFound: if nobody has that screening number.
    :raises NotRandomized: if the participant holds no slot.
    """
    require(by, Permission.PRINT_ENVELOPES)
    participant = Participant.objects.select_related("site").filter(screening_number=screening_number).first()
    if participant is None:
        raise NotFound("There is no such participant.")
    number = _allocation(participant.pk).randomization_number
    body = {"act": "print", "by": str(by.pk), "participant": str(participant.pk)}
    with transaction.atomic(durable=True):
        record_sealed(kind=Kind.UNBLINDING, event_id=new_id(), at=at, body=body)
    sign_checkpoint()
    protocol, arm = _open_arm(participant.pk, keys=FileKeys([settings.CODE_BREAK_KEY_FILE]))
    return code_break_envelope(
        EnvelopeContent(
            trial_code=protocol.protocol,
            site=participant.site.name,
            randomization_number=number,
            arm=protocol.arms[arm].code,
            treatment=protocol.treatment(arm).name,
            emergency_contact=protocol.label.emergency_contact,
            printed_on=at.date(),
        )
    )


def _participant(participant_id: uuid.UUID | None, *, by: User) -> Participant:
    """Return the participant whose code ``by`` may break, who holds a slot."""
    if not may(by, Permission.BREAK_CODE):
        raise NotPermitted("Your roles do not allow this.")
    participant = Participant.objects.filter(pk=participant_id).first() if participant_id else None
    sites = sites_of(by, Permission.BREAK_CODE)
    if participant is None or (sites is not None and participant.site_id not in sites):
        raise NotFound("There is no such participant.")
    _allocation(participant.pk)
    return participant


def _allocation(participant_id: uuid.UUID) -> Allocation:
    allocation = (
        Allocation.objects.select_related("stratum__list", "slot__sealedarm")
        .filter(participant_id=participant_id)
        .first()
    )
    if allocation is None:
        raise NotRandomized("This participant is not randomized, so there is no treatment to reveal.")
    return allocation


def _record(act: str, unblinding: Unblinding, *, at: dt.datetime, body: Mapping[str, Any]) -> int:
    about = {"act": act, "unblinding": str(unblinding.pk), "participant": str(unblinding.participant_id)}
    return record_sealed(kind=Kind.UNBLINDING, event_id=new_id(), at=at, body={**about, **body})


def _on_the_trail(refusal: Refused, body: Mapping[str, Any], *, at: dt.datetime) -> Refused:
    """Return the refusal with the sealed event that outlives it."""
    event = {"kind": Kind.UNBLINDING, "event_id": new_id(), "at": at, "body": {**body, "act": "denial"}}
    refusal.events = (*refusal.events, event)
    return refusal


def _open_arm(participant_id: uuid.UUID, *, keys: Keys) -> tuple[Protocol, int]:
    """Return the trial and the arm of the participant's slot, checked down to the signed commitment."""
    allocation = _allocation(participant_id)
    the_list, sealed = allocation.stratum.list, allocation.slot.sealedarm
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


def _check_root(the_list: RandomizationList) -> None:
    """
    Compare the root with what the statistician signed and with the leaves as they are stored now.

    :raises IntegrityFailure: if one of them is another.
    """
    try:
        verifier = notes.VerifierKey.parse(public_keys().statistician)
        signed = Commitment.parse(notes.open_note(the_list.commitment_note, [verifier]).text)
    except (notes.NoteInvalid, SealedListInvalid):
        raise IntegrityFailure("The list's commitment is not the one that was signed.") from None
    leaves = SealedArm.objects.filter(slot__stratum__list=the_list).order_by(
        "slot__stratum__ordinal", "slot__position"
    )
    root = merkle.root_of(bytes(leaf) for leaf in leaves.values_list("leaf_hash", flat=True))
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
