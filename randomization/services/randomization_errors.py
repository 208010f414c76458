"""
Randomizations that should not have been, or not so: reported by a person, kept, never undone.

Errors are documented and not corrected (Yelland et al., Clin Trials 2015;12:418): the slot stays
taken, the participant stays in the data set of their arm, and what was used stands frozen beside
what is true. So nothing here touches a slot, an allocation, the stratum used or the verdict of the
screening, and there is no call that takes a randomization back. Whether treatment goes on is for a
physician to say, by a call of its own. Which call is for which mistake: docs/randomization-errors.md.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from randomization.domain import randomization_errors as rules
from randomization.domain.strata import LevelsInvalid, stratum_code
from randomization.locks import lock_participant
from randomization.models import Participant, RandomizationError
from randomization.selectors import called, participant_within_reach, protocol_of
from randomization.services.assignment import NotRandomized
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, Refused

ErrorKind = RandomizationError.Kind

_EVENTS: Final = {
    ErrorKind.IN_ERROR: Kind.PARTICIPANT_RANDOMIZED_IN_ERROR,
    ErrorKind.WRONG_STRATUM: Kind.PARTICIPANT_IN_WRONG_STRATUM,
    ErrorKind.INELIGIBLE: Kind.PARTICIPANT_INELIGIBLE,
    ErrorKind.DUPLICATE: Kind.PARTICIPANT_DUPLICATE,
}
_FAULTS: Final = {
    "missing": "This factor needs a level.",
    "unknown_factor": "The trial has no such factor.",
    "unknown_level": "The factor has no such level.",
}


_RANDOMIZED: Final = Participant.objects.exclude(allocation=None).select_related("allocation__stratum")


class AlreadyReported(Refused):
    """That is what the record says already."""

    code = "already_reported"

    def __init__(self) -> None:
        super().__init__("This has been reported before, and the record says so.")


class StratumNotWrong(Refused):
    """The stratum that is said to be true is the one that was used."""

    code = "stratum_not_wrong"


@dataclass(frozen=True)
class _Finding:
    """Who found an error, when and why: what every report says."""

    reason: str
    known_at: dt.datetime
    by: User
    at: dt.datetime

    def __post_init__(self) -> None:
        if self.known_at > self.at:
            raise FieldsInvalid(FieldFault(("known_at",), "in_the_future", "This has not been found yet."))


@transaction.atomic
def report_randomized_in_error(
    *, participant_id: uuid.UUID, reason: str, known_at: dt.datetime, by: User, at: dt.datetime
) -> RandomizationError:
    """
    Record that the participant was randomized although nobody meant to, or nobody might.

    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises trialsite.errors.FieldsInvalid: if ``known_at`` lies in the future.
    :raises NotRandomized: if the participant holds no slot.
    :raises AlreadyReported: if that has been reported.
    """
    finding = _Finding(reason, known_at, by, at)
    participant = _randomized(participant_id, by=by)
    return _keep(_error(ErrorKind.IN_ERROR, participant), finding)


@transaction.atomic
def report_wrong_stratum(
    *,
    participant_id: uuid.UUID,
    stratum: Mapping[str, str],
    reason: str,
    known_at: dt.datetime,
    by: User,
    at: dt.datetime,
) -> RandomizationError:
    """
    Record the stratum that the participant truly belongs to, beside the one that was used.

    It may be reported again: the latest report holds. One that names the stratum used takes an
    earlier one back, on record.

    :param stratum: the whole true stratum, a level for every factor.
    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises trialsite.errors.FieldsInvalid: if ``stratum`` is none of the trial's, or ``known_at``
        lies in the future.
    :raises NotRandomized: if the participant holds no slot.
    :raises StratumNotWrong: if it is the stratum used and no other was ever recorded as true.
    :raises AlreadyReported: if the latest report says the same.
    """
    finding = _Finding(reason, known_at, by, at)
    participant = _randomized(participant_id, by=by)
    _refuse_unknown_levels(participant, stratum)
    truth = dict(stratum)
    error = _error(ErrorKind.WRONG_STRATUM, participant, true_stratum=truth)
    true_levels = truth if rules.is_an_error(error) else None
    if true_levels is None and participant.true_stratum_levels is None:
        raise StratumNotWrong("This is the stratum that was used; no other is recorded as true.")
    error = _keep(error, finding)
    participant.true_stratum_levels = true_levels
    participant.save(update_fields=["true_stratum_levels"])
    return error


@transaction.atomic
def report_ineligible(
    *,
    participant_id: uuid.UUID,
    criteria: Collection[str],
    reason: str,
    known_at: dt.datetime,
    by: User,
    at: dt.datetime,
) -> RandomizationError:
    """
    Record that a randomized participant does not meet these criteria. They stay in the data set.

    It may be reported again: the latest report holds. One without criteria takes an earlier one
    back, on record. The verdict of the screening stays as it was.

    :param criteria: codes of the trial's criteria.
    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises trialsite.errors.FieldsInvalid: if a code is none of the trial's, if there is none and
        nothing to take back, or if ``known_at`` lies in the future.
    :raises NotRandomized: if the participant holds no slot.
    :raises AlreadyReported: if the latest report says the same.
    """
    finding = _Finding(reason, known_at, by, at)
    participant = _randomized(participant_id, by=by)
    error = _error(ErrorKind.INELIGIBLE, participant, criteria=_in_order(participant, criteria))
    if not error.criteria and _latest(error) is None:
        raise FieldsInvalid(FieldFault(("criteria",), "empty", "Name the criteria that are not met."))
    return _keep(error, finding)


@transaction.atomic
def report_duplicate(
    *,
    participant_id: uuid.UUID,
    duplicate_of: str,
    reason: str,
    known_at: dt.datetime,
    by: User,
    at: dt.datetime,
) -> RandomizationError:
    """
    Record that two randomized participants are one person: the first is kept, the second flagged.

    Which is which follows from when they were randomized, whichever of them was sent.

    :param duplicate_of: the other one's id, screening number or randomization number; at any site,
        since a person who is randomized twice was often randomized elsewhere.
    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises trialsite.errors.FieldsInvalid: if ``duplicate_of`` names nobody who is randomized, or
        the same participant; or if ``known_at`` lies in the future.
    :raises NotRandomized: if the participant holds no slot.
    :raises AlreadyReported: if that has been reported.
    """
    finding = _Finding(reason, known_at, by, at)
    other = _RANDOMIZED.filter(called(duplicate_of)).first()
    for each in sorted({participant_id, other.pk if other else participant_id}):
        lock_participant(each)
    participant = _randomized(participant_id, by=by)
    if other is None or other.pk == participant.pk:
        # One answer whether the number is nobody's, of one who is not randomized, or their own.
        fault = "No other randomized participant has this number."
        raise FieldsInvalid(FieldFault(("duplicate_of",), "unknown", fault))
    kept, flagged = sorted((participant, other), key=_order_of_randomization)
    error = _error(ErrorKind.DUPLICATE, flagged, duplicate_of=kept)
    return _keep(error, finding, acting_at=participant.site_id)


def _randomized(participant_id: uuid.UUID, *, by: User) -> Participant:
    """Hold the participant, and return them as they are then."""
    lock_participant(participant_id)
    participant_within_reach(participant_id, by=by, permission=Permission.CORRECT)
    participant = _RANDOMIZED.filter(pk=participant_id).first()
    if participant is None:
        raise NotRandomized("This participant is not randomized: revise the screening instead.")
    return participant


def _order_of_randomization(participant: Participant) -> tuple[Any, ...]:
    """Return what sorts the first randomized first, and two of one paper minute in a fixed order."""
    allocation = participant.allocation
    return allocation.randomized_at, allocation.recorded_at, allocation.randomization_number


def _refuse_unknown_levels(participant: Participant, stratum: Mapping[str, str]) -> None:
    try:
        stratum_code(protocol_of(participant.trial_version_id), stratum)
    except LevelsInvalid as error:
        faults = (
            FieldFault(("stratum", factor[:64]), code, _FAULTS[code]) for factor, code in error.faults.items()
        )
        raise FieldsInvalid(*faults) from None


def _in_order(participant: Participant, criteria: Collection[str]) -> list[str]:
    """Return the codes once each, in the order of the trial file."""
    known = [criterion.code for criterion in protocol_of(participant.trial_version_id).eligibility]
    faults = [
        FieldFault(("criteria", str(place)), "unknown", "The trial has no such criterion.")
        for place, code in enumerate(criteria)
        if code not in known
    ]
    if faults:
        raise FieldsInvalid(*faults)
    return [code for code in known if code in criteria]


def _error(kind: RandomizationError.Kind, participant: Participant, **content: Any) -> RandomizationError:
    # A reserved list for paper has no levels: what was used is then what the screening found.
    used = participant.allocation.stratum.levels or participant.stratum_levels
    return RandomizationError(kind=kind, participant=participant, stratum_used=used, **content)


def _latest(error: RandomizationError) -> RandomizationError | None:
    """Return the report that this one would replace."""
    same = RandomizationError.objects.filter(
        participant=error.participant, kind=error.kind, duplicate_of=error.duplicate_of
    )
    return same.order_by("recorded_at").last()


def _keep(error: RandomizationError, finding: _Finding, *, acting_at: str = "") -> RandomizationError:
    """
    Keep the report and write its event.

    :param acting_at: the site of who reports, if it is not that of the participant.
    :raises AlreadyReported: if the latest report says the same.
    """
    latest = _latest(error)
    if latest and (latest.criteria, latest.true_stratum) == (error.criteria, error.true_stratum):
        raise AlreadyReported
    error.reason, error.known_at = finding.reason, finding.known_at
    error.recorded_at = rules.after(latest.recorded_at if latest else None, finding.at)
    error.recorded_by = finding.by
    error.save(force_insert=True)
    site = acting_at or error.participant.site_id
    record(
        kind=_EVENTS[ErrorKind(error.kind)],
        by=finding.by,
        role=acting_role(finding.by, Permission.CORRECT, site=site),
        at=finding.at,
        about={"participant": str(error.participant_id)},
        data={
            **_said(error),
            "stratum_used": error.stratum_used,
            "reason": finding.reason,
            "known_at": timestamp(finding.known_at),
        },
    )
    return error


def _said(error: RandomizationError) -> dict[str, Any]:
    """Return what only an error of this kind says."""
    match error.kind:
        case ErrorKind.WRONG_STRATUM:
            return {"true_stratum": error.true_stratum}
        case ErrorKind.INELIGIBLE:
            return {"criteria": error.criteria}
        case ErrorKind.DUPLICATE:
            return {"duplicate_of": str(error.duplicate_of_id)}
    return {}
