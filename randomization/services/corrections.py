"""
Corrections of a participant's record: old and new are kept, and no allocation is ever touched.

Before randomization the participant is judged anew, as screening judges. Afterwards slot, stratum
used and verdict stay what they were: a corrected birth date moves the *true* stratum only, and a
criterion that the corrected record does not meet is told to whoever corrects, for a person to
report (Yelland et al., Clin Trials 2015;12:418: accept the randomization, record the correct value).
"""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import QuerySet

from randomization.domain import corrections as rules
from randomization.domain.corrections import Facts
from randomization.domain.eligibility import OLDEST_YEARS
from randomization.domain.measurements import value_faults
from randomization.domain.randomization_errors import after
from randomization.identity import identity_hash, normalized
from randomization.locks import lock_participant
from randomization.models import Correction, Participant
from randomization.selectors import participant_within_reach, protocol_of
from randomization.services.screening import refuse_taken, save_once
from randomization.services.screening_revisions import NothingChanges, keep_revision, screened_at, state_of
from randomization.services.verdicts import Findings, judge, weight_faults
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import FieldFault, FieldsInvalid
from trialsite.protocol import Protocol

_PLAIN: Final = ("birth_date", "sex", "weight_kg", "consented_at", "measurements")
_VERDICT: Final = ("status", "unmet", "eligibility", "stratum_levels")
# What a value after randomization may be, although screening would not take it.
_FACTS_NOW: Final = frozenset({"contradicts_measurement", "missing"})
_POINTER_FAULTS: Final = {
    "unknown": "Nothing of this name can be corrected.",
    "derived": "This level follows from the birth date and is not stated.",
}


@transaction.atomic
def correct_participant(
    *, participant_id: uuid.UUID, pointer: str, value: Any, reason: str, by: User, at: dt.datetime
) -> Correction:
    """
    Put a value of the record right, keeping the wrong one beside it.

    :param pointer: RFC 6901 pointer to what screening asked, such as ``/strata/respiratory_support``.
    :param value: of the type that screening takes there.
    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises trialsite.errors.FieldsInvalid: if nothing that may be corrected stands there, the value
        cannot be, or, before randomization, it contradicts an answer or a measured value.
    :raises NothingChanges: if the value is the one on record.
    :raises randomization.services.screening.AlreadyInTrial: if a corrected identifier, or a person
        who becomes eligible, is in the trial under another screening number.
    """
    lock_participant(participant_id)
    participant = participant_within_reach(participant_id, by=by, permission=Permission.CORRECT)
    protocol = protocol_of(participant.trial_version_id)
    steps = _steps(pointer, protocol)
    correction = Correction(participant=participant, pointer=pointer, reason=reason, recorded_by=by)
    correction.at = after(_last_change(participant), at)
    if steps == rules.IDENTIFIER:
        _identify(correction, value, protocol)
        return _keep(correction, at=at)
    zone = ZoneInfo(screened_at(participant).time_zone)
    known = facts_of(participant)
    correction.old, correction.new = _kept(known.value_at(steps)), _kept(value)
    if correction.old == correction.new:
        raise NothingChanges
    facts = known.corrected(steps, value)
    _refuse_impossible(facts, protocol, zone, at=at)
    if participant.is_randomized:
        return _correct_beside(correction, facts, protocol, zone, at=at)
    return _judge_anew(correction, facts, protocol, zone, at=at)


def facts_of(participant: Participant) -> Facts:
    """Return what is known of the participant now; the screening's own answers stay in their columns."""
    eligibility = dict(participant.eligibility)
    if participant.is_randomized:
        for correction in participant.corrections.all():
            _, name, *code = correction.pointer.split("/")
            if name == "eligibility" and correction.at > _frozen_at(participant):
                eligibility[code[0]] = correction.new
    true = participant.true_stratum_levels
    return Facts(
        sex=participant.sex,
        birth_date=participant.birth_date,
        weight_kg=participant.weight_kg,
        consented_at=participant.consented_at,
        eligibility=eligibility,
        measurements=participant.measurements,
        strata=participant.stratum_levels if true is None else true,
    )


def unreported(participant: Participant) -> list[str]:
    """
    Return the criteria that a randomized participant's corrected record does not meet.

    None, once somebody has reported them ineligible: which criteria those are, was theirs to say.
    """
    reported = any(error.kind == "ineligible" for error in participant.errors_in_force)
    if reported or not participant.is_randomized:
        return []
    protocol = protocol_of(participant.trial_version_id)
    zone = ZoneInfo(screened_at(participant).time_zone)
    return rules.unmet_by(protocol, facts_of(participant), zone=zone)


def corrections_of(participant_id: uuid.UUID, *, by: User) -> QuerySet[Correction]:
    """
    Return the corrections of a participant whose record ``by`` may correct, oldest first.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may correct nobody's.
    :raises trialsite.errors.NotFound: if there is no such participant, or only at another site.
    """
    participant = participant_within_reach(participant_id, by=by, permission=Permission.CORRECT)
    return Correction.objects.filter(participant=participant).order_by("at")


def _steps(pointer: str, protocol: Protocol) -> tuple[str, ...]:
    try:
        return rules.steps_of(pointer, protocol)
    except rules.PointerUnknown as error:
        raise FieldsInvalid(FieldFault(("pointer",), error.code, _POINTER_FAULTS[error.code])) from None


def _frozen_at(participant: Participant) -> dt.datetime:
    """Return when the randomization came to be known here, trial time."""
    allocation = participant.allocation
    return allocation.entered_at or allocation.randomized_at


def _last_change(participant: Participant) -> dt.datetime | None:
    """Return what a correction comes after, however long its request waited."""
    latest = participant.corrections.order_by("at").values_list("at", flat=True).last()
    if not participant.is_randomized:
        return latest
    return max(latest, _frozen_at(participant)) if latest else _frozen_at(participant)


def _kept(value: Any) -> Any:
    """Return the value as JSON keeps it."""
    match value:
        case dt.datetime():
            return timestamp(value)
        case dt.date():
            return value.isoformat()
        case Decimal():
            return f"{value:.2f}"
    return value


def _identify(correction: Correction, identifier: str, protocol: Protocol) -> None:
    """Keep the keyed hashes of the other identifier and of the old one; neither of the two is stored."""
    participant = correction.participant
    if not normalized(identifier):
        raise _wrong("empty", "An identifier has letters or digits.")
    identity = identity_hash(identifier, study=protocol.protocol)
    if identity == participant.identity_hash:
        raise NothingChanges
    refuse_taken(identity, own=participant.pk)
    correction.identity_hash_before, participant.identity_hash = participant.identity_hash, identity
    save_once(participant, fields=["identity_hash"])


def _refuse_impossible(facts: Facts, protocol: Protocol, zone: ZoneInfo, *, at: dt.datetime) -> None:
    if facts.consented_at > at:
        raise _wrong("in_the_future", "Consent was given at some time before now.")
    if facts.birth_date > facts.consented_at.astimezone(zone).date():
        raise _wrong("after_consent", "Birth is before consent.")
    if facts.age(zone) > OLDEST_YEARS:
        raise _wrong("implausible", f"Nobody is older than {OLDEST_YEARS}.")
    for fault in weight_faults(facts.weight_kg, protocol=protocol):
        raise _wrong(fault.code, fault.detail)
    for factor in protocol.factors:
        if facts.strata.get(factor.code, factor.levels[0]) not in factor.levels:
            raise _wrong("unknown_level", "The factor has no such level.")


def _judge_anew(
    correction: Correction, facts: Facts, protocol: Protocol, zone: ZoneInfo, *, at: dt.datetime
) -> Correction:
    """Before randomization: the corrected record is judged, and its verdict replaces the earlier one."""
    participant = correction.participant
    stated = {f.code: facts.strata[f.code] for f in protocol.factors if not f.derived_from}
    findings = Findings(eligibility=facts.eligibility, measurements=facts.measurements, strata=stated)
    try:
        verdict = judge(findings, age=facts.age(zone), protocol=protocol)
    except FieldsInvalid as refusal:
        raise FieldsInvalid(*(FieldFault(("value",), f.code, f.detail) for f in refusal.faults)) from None
    old = state_of(participant)
    _take(participant, facts)
    participant.eligibility, participant.stratum_levels = dict(facts.eligibility), verdict.levels
    participant.status, participant.unmet = verdict.status, verdict.unmet
    if not verdict.unmet:
        refuse_taken(participant.identity_hash, own=participant.pk)
    save_once(participant, fields=[*_PLAIN, *_VERDICT])
    _keep(correction, at=at)
    new = state_of(participant)
    if any(old[name] != new[name] for name in ("status", "unmet", "stratum")):
        keep_revision(participant, old=old, reason=correction.reason, by=correction.recorded_by, at=at)
    return correction


def _correct_beside(
    correction: Correction, facts: Facts, protocol: Protocol, zone: ZoneInfo, *, at: dt.datetime
) -> Correction:
    """After randomization: what was used stays frozen, and what is true is kept beside it."""
    for wrong in value_faults(protocol, facts.eligibility, facts.measurements):
        if wrong.fault not in _FACTS_NOW:
            raise _wrong(wrong.fault, wrong.detail)
    participant = correction.participant
    levels = dict(facts.strata)
    if correction.pointer in ("/birth_date", "/consented_at"):
        levels = rules.true_levels(protocol, facts, zone=zone)
    _take(participant, facts)
    participant.true_stratum_levels = levels if levels != participant.stratum_levels else None
    participant.save(update_fields=[*_PLAIN, "true_stratum_levels"])
    return _keep(correction, at=at)


def _take(participant: Participant, facts: Facts) -> None:
    """Give the participant the facts that no randomization froze."""
    for name in _PLAIN:
        setattr(participant, name, getattr(facts, name))


def _keep(correction: Correction, *, at: dt.datetime) -> Correction:
    """Keep the correction and write its event: what was corrected and why, and neither value."""
    correction.save(force_insert=True)
    participant = correction.participant
    told = {"true_stratum": participant.true_stratum_levels, "unmet_now": unreported(participant)}
    record(
        kind=Kind.PARTICIPANT_CORRECTED,
        by=correction.recorded_by,
        role=acting_role(correction.recorded_by, Permission.CORRECT, site=participant.site_id),
        at=at,
        about={"participant": str(participant.pk), "site": participant.site_id},
        data={
            "pointer": correction.pointer,
            "reason": correction.reason,
            **(told if participant.is_randomized else {}),
        },
    )
    return correction


def _wrong(code: str, detail: str) -> FieldsInvalid:
    return FieldsInvalid(FieldFault(("value",), code, detail))
