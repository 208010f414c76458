"""A screening that comes out otherwise before randomization: a failure taken back, or found late."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import QuerySet

from randomization.domain.eligibility import age_at_consent
from randomization.locks import lock_participant
from randomization.models import Allocation, Participant, ScreeningRevision
from randomization.selectors import participant_visible_to, participant_within_reach, protocol_of
from randomization.services.assignment import AlreadyRandomized
from randomization.services.screening import refuse_taken, save_once
from randomization.services.verdicts import Findings, judge, weight_faults
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.errors import FieldFault, FieldsInvalid, Refused
from trialsite.ids import new_id
from trialsite.protocol import Protocol

_REVISED = ["eligibility", "measurements", "weight_kg", "status", "unmet", "stratum_levels"]


class NothingChanges(Refused):
    """What is stated is what is on record."""

    code = "nothing_changes"

    def __init__(self) -> None:
        super().__init__("This is what is on record.")


@dataclass(frozen=True, kw_only=True)
class Revision:
    """
    What is now known otherwise; what is not named stays as it was stated.

    :param measurements: decimal texts by code; None takes a value back.
    :param strata: levels of factors that are not derived.
    """

    eligibility: Mapping[str, bool]
    measurements: Mapping[str, str | None]
    strata: Mapping[str, str]
    weight_kg: Decimal | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is revised."""
        return not (self.eligibility or self.measurements or self.strata) and self.weight_kg is None


@transaction.atomic
def revise_screening(
    *, participant_id: uuid.UUID, revision: Revision, reason: str, by: User, at: dt.datetime
) -> ScreeningRevision:
    """
    Judge a participant anew, by the trial as it was at their screening; old and new are both kept.

    A screening that failed may become eligible and the other way round, until randomization.

    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises AlreadyRandomized: if the participant holds a slot: what was used then is frozen.
    :raises trialsite.errors.FieldsInvalid: if nothing is revised, or as ``judge`` does.
    :raises NothingChanges: if everything that is named is as it was stated.
    :raises randomization.services.screening.AlreadyInTrial: if the person has meanwhile been found
        eligible under another screening number.
    """
    lock_participant(participant_id)
    participant = participant_within_reach(participant_id, by=by, permission=Permission.SCREEN)
    if Allocation.objects.filter(participant=participant).exists():
        raise AlreadyRandomized(
            "This participant is randomized: the screening stands as it was used. Report what is wrong as"
            " 'ineligible' or 'wrong-stratum', and correct single values by 'corrections'."
        )
    if revision.is_empty:
        raise FieldsInvalid(FieldFault((), "required", "Say what is to be revised."))
    old = state_of(participant)
    _judge_anew(participant, revision)
    if state_of(participant) == old:
        raise NothingChanges
    if not participant.unmet:
        refuse_taken(participant.identity_hash, own=participant.pk)
    save_once(participant, fields=_REVISED)
    return keep_revision(participant, old=old, reason=reason, by=by, at=at)


def keep_revision(
    participant: Participant, *, old: dict[str, Any], reason: str, by: User, at: dt.datetime
) -> ScreeningRevision:
    """Keep that a held participant, saved before, came out otherwise than ``old``; write the event."""
    kept = ScreeningRevision.objects.create(
        id=new_id(),
        participant=participant,
        old=old,
        new=state_of(participant),
        reason=reason,
        at=at,
        recorded_by=by,
    )
    _record(kept, by=by, at=at)
    return kept


def _judge_anew(participant: Participant, revision: Revision) -> None:
    """Change the participant as the revision says; nothing is saved."""
    protocol = protocol_of(participant.trial_version_id)
    weight_kg = participant.weight_kg if revision.weight_kg is None else revision.weight_kg
    if faults := weight_faults(weight_kg, protocol=protocol):
        raise FieldsInvalid(*faults)
    measured = {**participant.measurements, **revision.measurements}
    findings = Findings(
        eligibility={**participant.eligibility, **revision.eligibility},
        measurements={code: text for code, text in measured.items() if text is not None},
        strata={**stated_levels_of(participant, protocol), **revision.strata},
    )
    zone = ZoneInfo(screened_at(participant).time_zone)
    age = age_at_consent(birth_date=participant.birth_date, consented_at=participant.consented_at, zone=zone)
    verdict = judge(findings, age=age, protocol=protocol)
    participant.weight_kg = weight_kg
    participant.eligibility, participant.measurements = (
        dict(findings.eligibility),
        dict(findings.measurements),
    )
    participant.status, participant.unmet = verdict.status, verdict.unmet
    participant.stratum_levels = verdict.levels


def screened_at(participant: Participant) -> Site:
    """Return the site of the screening, from which the participant may have been transferred."""
    first = participant.transfers.select_related("from_site").order_by("recorded_at").first()
    return first.from_site if first else participant.site


def stated_levels_of(participant: Participant, protocol: Protocol) -> dict[str, str]:
    """Return the levels that were stated; those that are derived are derived again."""
    derived = {factor.code for factor in protocol.factors if factor.derived_from}
    return {code: level for code, level in participant.stratum_levels.items() if code not in derived}


def state_of(participant: Participant) -> dict[str, Any]:
    """Return what a revision keeps of the participant as old or new."""
    return {
        "status": str(participant.status),
        "unmet": participant.unmet,
        "eligibility": participant.eligibility,
        "measurements": participant.measurements,
        "stratum": participant.stratum_levels,
        "weight_kg": f"{participant.weight_kg:.2f}",
    }


def _record(revision: ScreeningRevision, *, by: User, at: dt.datetime) -> None:
    """Write the event: the verdicts, and no answer or value that is not a reason."""
    site = revision.participant.site_id
    told = ("status", "unmet", "stratum")
    record(
        kind=Kind.PARTICIPANT_SCREENING_REVISED,
        by=by,
        at=at,
        role=acting_role(by, Permission.SCREEN, site=site),
        about={"participant": str(revision.participant_id), "site": site},
        data={
            "old": {name: revision.old[name] for name in told},
            "new": {name: revision.new[name] for name in told},
            "reason": revision.reason,
        },
    )


def revisions_of(participant_id: uuid.UUID, *, by: User) -> QuerySet[ScreeningRevision]:
    """
    Return the revisions of a participant whom ``by`` may see, oldest first.

    :raises trialsite.errors.NotFound: if there is no such participant, or only at another site.
    """
    participant = participant_visible_to(by, participant_id)
    return ScreeningRevision.objects.filter(participant=participant).order_by("at", "id")
