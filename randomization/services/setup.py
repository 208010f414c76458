"""
Before the first participant: the trial file is loaded, the sealed list installed, the trial activated.

The plain list never comes here. What comes is a bundle that the generator made offline, and it is
believed only as far as it can be checked: signed by the statistician, complete, of this trial, and
under one Merkle root.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from randomization.domain.sealed_list import Commitment, SealedSlot
from randomization.domain.strata import all_strata, levels_of
from randomization.models import RandomizationList, SealedArm, Slot, Stratum, TrialVersion
from randomization.selectors import current_trial
from randomization.services.commitments import CommitmentInvalid, signed_commitment
from trialsite.accounts.access import require
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission
from trialsite.audit import merkle
from trialsite.audit.kinds import Kind
from trialsite.audit.services import public_keys, record
from trialsite.errors import Refused
from trialsite.protocol import Protocol

# A 32-byte seed under two HPKE seals.
SEALED_SEED_BYTES = 128
PAIRS = {"1+2", "1+3", "2+3"}


class TrialFixed(Refused):
    """Another trial file cannot be loaded once a list was made for the one that is here."""

    code = "trial_fixed"


class ListRefused(Refused):
    """The bundle is not the sealed list of this trial; the message says what is wrong with it."""

    code = "list_refused"


class AlreadyActive(Refused):
    """The trial is active already; an activation happens once."""

    code = "already_active"


class NotReadyToActivate(Refused):
    """Something that must be there before the first participant is not."""

    code = "not_ready_to_activate"


@transaction.atomic
def load_trial(*, protocol: Protocol, by: str, at: dt.datetime) -> TrialVersion:
    """
    Keep the trial's public document and its sites; a repeat with the same content does nothing.

    :raises TrialFixed: if another version is activated or has a list: amendments are no reload.
    """
    known = TrialVersion.objects.filter(pk=protocol.content_hash).first()
    if known is not None:
        return known
    if RandomizationList.objects.exists() or TrialVersion.objects.exclude(activated_at=None).exists():
        raise TrialFixed("The list was made for another trial file. This one is not loaded.")
    version = TrialVersion.objects.create(
        content_hash=protocol.content_hash,
        protocol=protocol.protocol,
        version=protocol.version,
        document=json.loads(protocol.public_document()),
        loaded_at=at,
        loaded_by=by,
    )
    for site in protocol.sites:
        Site.objects.update_or_create(
            code=site.code, defaults={"name": site.name, "time_zone": site.time_zone}
        )
    record(
        kind=Kind.TRIAL_LOADED,
        by=by,
        at=at,
        about={"trial": version.pk},
        data={"protocol": version.protocol, "version": version.version},
    )
    return version


@transaction.atomic
def install_list(
    *,
    slots: Sequence[SealedSlot],
    commitment_note: str,
    sealed_seed: Mapping[str, Any],
    by: str,
    at: dt.datetime,
) -> RandomizationList:
    """
    Check a sealed list from end to end and keep it. There is one list, once.

    :param slots: the lines of ``slots.jsonl`` in their order.
    :param sealed_seed: ``seed.json``: the seed, sealed to each pair of the release officers.
    :raises ListRefused: with the reason.
    """
    version, protocol = current_trial()
    if RandomizationList.objects.exists():
        raise ListRefused("A list is installed already, and a list is never replaced.")
    commitment = _commitment(commitment_note)
    _check_slots(slots, protocol=protocol, commitment=commitment)
    _check_seed(sealed_seed, commitment=commitment)
    the_list = RandomizationList.objects.create(
        trial_version=version,
        root=commitment.root,
        commitment=commitment.commitment,
        leaf_count=commitment.leaves,
        commitment_note=commitment_note,
        sealed_seed=dict(sealed_seed),
        installed_at=at,
    )
    _keep_slots(the_list, slots, protocol=protocol)
    record(
        kind=Kind.LIST_COMMITTED,
        by=by,
        at=at,
        about={"list": str(the_list.pk), "trial": version.pk},
        data={
            "root": commitment.root.hex(),
            "commitment": commitment.commitment.hex(),
            "note": commitment_note,
        },
    )
    return the_list


@transaction.atomic
def activate_trial(*, by: User, at: dt.datetime) -> TrialVersion:
    """
    Open the trial for participants. The caller has checked the signature of ``by``.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may not activate the trial.
    :raises AlreadyActive: if it is active.
    :raises NotReadyToActivate: if there is no sealed list, signed commitment or sealed seed for
        the trial as it is loaded.
    """
    require(by, Permission.ACTIVATE)
    version, protocol = current_trial()
    if version.activated_at is not None:
        raise AlreadyActive("The trial is active already.")
    the_list = RandomizationList.objects.filter(trial_version=version).first()
    if the_list is None:
        raise NotReadyToActivate("There is no sealed list for this trial file. Install one first.")
    _check_still_whole(the_list, protocol=protocol)
    TrialVersion.objects.filter(pk=version.pk).update(activated_at=at, activated_by=by)
    record(
        kind=Kind.TRIAL_ACTIVATED,
        by=by,
        at=at,
        about={"trial": version.pk, "list": str(the_list.pk)},
        data={"root": bytes(the_list.root).hex()},
    )
    version.refresh_from_db()
    return version


def _commitment(note: str) -> Commitment:
    try:
        return signed_commitment(note)
    except CommitmentInvalid as error:
        raise ListRefused(str(error)) from None


def _check_slots(slots: Sequence[SealedSlot], *, protocol: Protocol, commitment: Commitment) -> None:
    """Check that the slots are those of the commitment, complete and in order."""
    if commitment.study != protocol.protocol or commitment.trial != protocol.content_hash:
        raise ListRefused("The list was made for another trial file.")
    if len(slots) != commitment.leaves:
        raise ListRefused(f"The commitment is over {commitment.leaves} slots, and {len(slots)} came.")
    _check_order(slots, protocol=protocol)
    if not all(slot.is_well_formed for slot in slots):
        raise ListRefused("A slot is malformed.")
    if len({slot.randomization_number for slot in slots}) != len(slots):
        raise ListRefused("A randomization number comes twice.")
    if merkle.root_of(slot.leaf for slot in slots) != commitment.root:
        raise ListRefused("The slots do not have the root that was committed to.")


def _check_order(slots: Sequence[SealedSlot], *, protocol: Protocol) -> None:
    if [code for code, _ in itertools.groupby(slots, key=_stratum)] != list(all_strata(protocol)):
        raise ListRefused("The strata are not those of the trial, in its order.")
    for code, group in itertools.groupby(slots, key=_stratum):
        if [slot.slot for slot in group] != list(range(sum(slot.stratum == code for slot in slots))):
            raise ListRefused(f"The slots of stratum {code} are not in order.")


def _stratum(slot: SealedSlot) -> str:
    return slot.stratum


def _check_seed(sealed_seed: Mapping[str, Any], *, commitment: Commitment) -> None:
    """Check that the seed is there for each pair of the officers; whether it opens, only they can tell."""
    if sealed_seed.get("study") != commitment.study or sealed_seed.get("root") != commitment.root.hex():
        raise ListRefused("The sealed seed is that of another list.")
    if sealed_seed.get("officers") != [officer.kid for officer in public_keys().release]:
        raise ListRefused("The seed is not sealed to this deployment's release officers.")
    blobs = sealed_seed.get("sealed")
    if not isinstance(blobs, Mapping) or set(blobs) != PAIRS:
        raise ListRefused("The seed is not sealed to each pair of the three officers.")
    for blob in blobs.values():
        if not _is_blob(blob):
            raise ListRefused("A seal over the seed is malformed.")


def _is_blob(text: Any) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == SEALED_SEED_BYTES
    except (TypeError, ValueError, binascii.Error):
        return False


def _keep_slots(the_list: RandomizationList, slots: Sequence[SealedSlot], *, protocol: Protocol) -> None:
    strata = {}
    for ordinal, code in enumerate(all_strata(protocol), start=1):
        strata[code] = Stratum(
            code=code,
            list=the_list,
            levels=levels_of(protocol, code),
            ordinal=ordinal,
            length=sum(slot.stratum == code for slot in slots),
        )
    Stratum.objects.bulk_create(strata.values())
    # In the order of numbers that were drawn at random: where a row lies in its table tells nothing.
    kept = []
    for sealed in sorted(slots, key=lambda slot: slot.randomization_number):
        number = sealed.randomization_number
        kept.append(
            Slot(
                list=the_list,
                stratum=strata[sealed.stratum],
                position=sealed.slot,
                randomization_number=number,
            )
        )
    Slot.objects.bulk_create(kept, batch_size=1000)
    arms = {sealed.randomization_number: sealed for sealed in slots}
    kid = public_keys().code_break.kid
    SealedArm.objects.bulk_create(
        [
            SealedArm(slot=slot, envelope=arm.envelope, key_id=kid, leaf_hash=arm.leaf)
            for slot in sorted(kept, key=lambda slot: slot.pk)
            for arm in [arms[slot.randomization_number]]
        ],
        batch_size=1000,
    )


def _check_still_whole(the_list: RandomizationList, *, protocol: Protocol) -> None:
    """Check what was installed once more: rows may have been written since by other hands."""
    stored = SealedArm.objects.filter(slot__list=the_list).select_related("slot")
    slots = [
        SealedSlot(
            stratum=arm.slot.stratum_id,
            slot=arm.slot.position,
            envelope=bytes(arm.envelope),
            leaf=bytes(arm.leaf_hash),
            randomization_number=arm.slot.randomization_number,
        )
        for arm in stored.order_by("slot__stratum__ordinal", "slot__position")
    ]
    try:
        commitment = _commitment(the_list.commitment_note)
        _check_slots(slots, protocol=protocol, commitment=commitment)
        _check_seed(the_list.sealed_seed, commitment=commitment)
    except ListRefused as refusal:
        raise NotReadyToActivate(f"The installed list is not whole: {refusal}") from None
