"""
Sealed lists: the trial's own, and the extensions that add slots to it and move none.

The plain list never comes here. What comes is a bundle that the generator made offline, and it is
believed only as far as it can be checked: signed by the statistician, complete, of this trial,
under one Merkle root, and, if it extends, naming the root of the list before.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F, Max

from randomization.domain.sealed_list import Commitment, SealedSlot
from randomization.domain.strata import all_strata, emergency_stratum, leaf_order, levels_of
from randomization.locks import lock_stratum, lock_trial
from randomization.models import RandomizationList, SealedArm, Slot, Stratum, TrialVersion
from randomization.selectors import current_trial, protocol_of
from randomization.services.commitments import CommitmentInvalid, signed_commitment
from trialsite.audit import merkle
from trialsite.audit.kinds import Kind
from trialsite.audit.services import public_keys, record
from trialsite.errors import Refused
from trialsite.protocol import Protocol

# A 32-byte seed under two HPKE seals.
SEALED_SEED_BYTES = 128
PAIRS = {"1+2", "1+3", "2+3"}
# The generator and the design report know more; supply does not.
ARMS_SERVED = 2
# What is revealed with the seed: a nonce, padded text, a tag.
_REVEALED_EXTRA, _REVEALED_STEP = 12 + 16, 4096
_BATCH = 1000


class ListRefused(Refused):
    """The bundle is not a sealed list of this trial; the message says what is wrong with it."""

    code = "list_refused"


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
    Check a sealed list from end to end and keep it: the trial's, once, and then its extensions.

    An extension may come at any time, also while participants are randomized: its slots go on where
    each stratum's list ended, and a stratum is held only while its length grows. One that is made
    for an amendment which is not in force yet is kept for it.

    :param slots: the lines of ``slots.jsonl`` in their order.
    :param sealed_seed: ``seed.json``: the seed, sealed to each pair of the release officers.
    :raises ListRefused: with the reason.
    """
    lock_trial()
    commitment = _commitment(commitment_note)
    before = RandomizationList.objects.order_by("-ordinal").first()
    _check_place(commitment, before)
    version, protocol = _version_of(commitment)
    if len(protocol.arms) != ARMS_SERVED:
        raise ListRefused("This version prepares and supplies two arms; a list of more is for offline use.")
    _check_slots(slots, protocol=protocol, commitment=commitment)
    _check_strata(slots, protocol=protocol, whole=before is None)
    _check_seed(sealed_seed, commitment=commitment)
    the_list = RandomizationList.objects.create(
        ordinal=before.ordinal + 1 if before else 0,
        trial_version=version,
        root=commitment.root,
        commitment=commitment.commitment,
        leaf_count=commitment.leaves,
        commitment_note=commitment_note,
        sealed_seed=dict(sealed_seed),
        installed_at=at,
    )
    _keep(the_list, slots, protocol=protocol)
    record(
        kind=Kind.LIST_EXTENDED if before else Kind.LIST_COMMITTED,
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


def check_still_whole(the_list: RandomizationList) -> None:
    """
    Check what was installed once more: rows may have been written since by other hands.

    :raises ListRefused: with what is wrong.
    """
    protocol = protocol_of(the_list.trial_version_id)
    order = {code: place for place, code in enumerate(leaf_order(protocol))}
    stored = SealedArm.objects.filter(slot__list=the_list).select_related("slot")
    slots = [
        SealedSlot(
            stratum=arm.slot.stratum_id,
            slot=arm.slot.position,
            envelope=bytes(arm.envelope),
            leaf=bytes(arm.leaf_hash),
            randomization_number=arm.slot.randomization_number,
        )
        for arm in stored
    ]
    slots.sort(key=lambda slot: (order.get(slot.stratum, len(order)), slot.slot))
    commitment = _commitment(the_list.commitment_note)
    _check_slots(slots, protocol=protocol, commitment=commitment)
    _check_seed(the_list.sealed_seed, commitment=commitment)


def _commitment(note: str) -> Commitment:
    try:
        return signed_commitment(note)
    except CommitmentInvalid as error:
        raise ListRefused(str(error)) from None


def _check_place(commitment: Commitment, before: RandomizationList | None) -> None:
    """Check that the list comes after the last one, or is the first."""
    if before is None:
        if commitment.extends is not None:
            raise ListRefused("The list extends one that is not installed.")
    elif commitment.extends is None:
        raise ListRefused("A list is installed already, and a list is never replaced: extend it.")
    elif commitment.extends != bytes(before.root):
        raise ListRefused("The list does not extend the one that was installed last.")


def _version_of(commitment: Commitment) -> tuple[TrialVersion, Protocol]:
    """Return the version that the list was made for: the one in force, or a draft that amends it."""
    version, protocol = current_trial()
    if commitment.study == protocol.protocol and commitment.trial != version.pk:
        drafts = TrialVersion.objects.filter(amends=version, activated_at=None, pk=commitment.trial)
        version = drafts.first() or version
    if (commitment.study, commitment.trial) != (protocol.protocol, version.pk):
        raise ListRefused("The list was made for another trial file.")
    return version, protocol_of(version.pk)


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
    digest = hashlib.sha256()
    for slot in slots:
        digest.update(f"{slot.to_line()}\n".encode())
    if digest.digest() != commitment.slots:
        raise ListRefused("The slots are not those that were signed: an envelope or a number differs.")


def _check_order(slots: Sequence[SealedSlot], *, protocol: Protocol) -> None:
    codes = [code for code, _ in itertools.groupby(slots, key=_stratum)]
    if [code for code in leaf_order(protocol) if code in set(codes)] != codes:
        raise ListRefused("The strata are not those of the trial, in its order.")
    for code, group in itertools.groupby(slots, key=_stratum):
        positions = [slot.slot for slot in group]
        if positions != list(range(positions[0], positions[0] + len(positions))):
            raise ListRefused(f"The slots of stratum {code} are not in order.")


def _check_strata(slots: Sequence[SealedSlot], *, protocol: Protocol, whole: bool) -> None:
    """
    Check where the slots begin, and that no number was used in an earlier list.

    :param whole: the trial's own list: every stratum is there, from its first slot.
    """
    lengths = dict(Stratum.objects.values_list("code", "length"))
    begins = {code: next(group).slot for code, group in itertools.groupby(slots, key=_stratum)}
    missing = [code for code in all_strata(protocol) if code not in begins]
    if whole and missing:
        raise ListRefused("The strata are not those of the trial, in its order.")
    for code, first in begins.items():
        if first > lengths.get(code, 0):
            raise ListRefused(f"The slots of stratum {code} leave a gap after its list.")
        if first < lengths.get(code, 0):
            raise ListRefused(f"The slots of stratum {code} begin before its list ends.")
    numbers = {slot.randomization_number for slot in slots}
    if not numbers.isdisjoint(Slot.objects.values_list("randomization_number", flat=True).iterator()):
        raise ListRefused("A randomization number was used in an earlier list.")


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
    if any(_size(blob) != SEALED_SEED_BYTES for blob in blobs.values()):
        raise ListRefused("A seal over the seed is malformed.")
    revealed = _size(sealed_seed.get("revealed")) - _REVEALED_EXTRA
    if revealed <= 0 or revealed % _REVEALED_STEP:
        raise ListRefused("What is revealed with the seed is missing or malformed.")


def _size(text: Any) -> int:
    """Return how many bytes a base64 text holds; -1 if it is none."""
    try:
        return len(base64.b64decode(text, validate=True))
    except (TypeError, ValueError, binascii.Error):
        return -1


def _keep(the_list: RandomizationList, slots: Sequence[SealedSlot], *, protocol: Protocol) -> None:
    """Write the strata that are new, then slots and envelopes, and last let the known strata grow."""
    counts = {code: len(list(group)) for code, group in itertools.groupby(slots, key=_stratum)}
    known = {stratum.pk: stratum for stratum in Stratum.objects.filter(pk__in=counts)}
    new = [code for code in counts if code not in known]
    last = Stratum.objects.aggregate(ordinal=Max("ordinal"))["ordinal"] or 0
    sites = {emergency_stratum(site.code): site.code for site in protocol.sites}
    strata = known | {
        code: Stratum(
            code=code,
            list=the_list,
            levels={} if code in sites else levels_of(protocol, code),
            site_id=sites.get(code),
            ordinal=ordinal,
            length=counts[code],
        )
        for ordinal, code in enumerate(new, start=last + 1)
    }
    Stratum.objects.bulk_create([strata[code] for code in new])
    _keep_slots(the_list, slots, strata=strata)
    # In the order of their ordinals: whoever holds one stratum never waits for another's.
    for stratum in sorted(known.values(), key=lambda stratum: stratum.ordinal):
        lock_stratum(stratum.code)
        Stratum.objects.filter(pk=stratum.pk).update(length=F("length") + counts[stratum.pk])


def _keep_slots(
    the_list: RandomizationList, slots: Sequence[SealedSlot], *, strata: Mapping[str, Stratum]
) -> None:
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
    Slot.objects.bulk_create(kept, batch_size=_BATCH)
    arms = {sealed.randomization_number: sealed for sealed in slots}
    kid = public_keys().code_break.kid
    SealedArm.objects.bulk_create(
        [
            SealedArm(slot=slot, envelope=arm.envelope, key_id=kid, leaf_hash=arm.leaf)
            for slot in sorted(kept, key=lambda slot: slot.pk)
            for arm in [arms[slot.randomization_number]]
        ],
        batch_size=_BATCH,
    )
