"""Screening: a person's answers, checked against the trial, make them a participant or not."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Length

from randomization.domain.eligibility import OLDEST_YEARS, age_at_consent
from randomization.domain.enrolment import Act
from randomization.identity import identity_hash, normalized
from randomization.locks import lock_identity, lock_site
from randomization.models import Participant
from randomization.selectors import active_trial
from randomization.services.consent import Given, given_consent, keep_given, record_given, refuse_future
from randomization.services.enrolment_gate import refuse_unless_open
from randomization.services.verdicts import Findings, judge, weight_faults
from trialsite.accounts.access import at_sites, require
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission, Role
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, NotFound, Refused
from trialsite.protocol import Protocol

_ONCE = "a_person_is_in_the_trial_once"
Status = Participant.Status


class AlreadyInTrial(Refused):
    """The person was found eligible, or randomized, before, here or elsewhere; which, is not said."""

    code = "already_in_trial"

    def __init__(self) -> None:
        super().__init__("This person is already in the trial.")


@dataclass(frozen=True, kw_only=True)
class _Stated:
    """What the investigator states; ``local_identifier`` leaves this module only as a keyed hash."""

    sex: str
    birth_date: dt.date
    weight_kg: Decimal
    consented_at: dt.datetime
    local_identifier: str
    findings: Findings


@transaction.atomic
def screen_participant(
    *,
    by: User,
    at: dt.datetime,
    site: str,
    sex: str,
    birth_date: dt.date,
    weight_kg: Decimal,
    consented_at: dt.datetime,
    local_identifier: str,
    eligibility: Mapping[str, bool],
    strata: Mapping[str, str],
    measurements: Mapping[str, str] | None = None,
    consent: Mapping[str, str] | None = None,
    screened_on_paper_at: dt.datetime | None = None,
) -> Participant:
    """
    Record a screening with its consent, and say whether the person may be randomized.

    A person who does not meet a criterion becomes a participant with status ``screen_failed``: that
    somebody was looked at and not taken is part of the trial's record. One who comes again is
    linked to the screening that failed last, at whichever site it was.

    :param measurements: decimal texts by code, as the trial asks for them; none are needed.
    :param consent: fields of ``Given``; without it the participant gave it, to the version in force.
    :param screened_on_paper_at: when, if the system was down: enrolment is judged as it stood then.
    :raises randomization.selectors.TrialNotActive: before activation.
    :raises trialsite.errors.NotFound: if the site is not one where ``by`` may screen.
    :raises trialsite.errors.Refused: if enrolment does not stand open there, as ``enrolment_gate`` says.
    :raises trialsite.errors.FieldsInvalid: if an answer or level is missing or unknown, a value or
        the weight is implausible, a value contradicts its answer, the consent is to no version of
        this trial's, or a date lies where it cannot.
    :raises AlreadyInTrial: if the person was found eligible before, or was randomized on paper.
    """
    stated = _Stated(
        sex=sex,
        birth_date=birth_date,
        weight_kg=weight_kg,
        consented_at=consented_at,
        local_identifier=local_identifier,
        findings=Findings(eligibility=eligibility, measurements=measurements or {}, strata=strata),
    )
    version, protocol = active_trial()
    here = _site(site, by=by)
    if screened_on_paper_at:
        refuse_future(screened_on_paper_at, name="screened_on_paper_at", at=at)
    refuse_unless_open(here.code, Act.SCREEN, on_paper_at=screened_on_paper_at)
    given = given_consent(Given(**(consent or {})), protocol=protocol, path=("consent",))
    participant = _screened(stated, site=here, protocol=protocol, at=at)
    participant.trial_version, participant.consent_version = version, given.version
    participant.created_at, participant.created_by = at, by
    save_once(participant, insert=True)
    first = keep_given(participant, given, given_at=consented_at, by=by, at=at)
    _record(participant, by=by, at=at, on_paper_at=screened_on_paper_at)
    # Again: what is on the trail before decides.
    refuse_unless_open(here.code, Act.SCREEN, on_paper_at=screened_on_paper_at)
    record_given(first)
    return participant


def _screened(stated: _Stated, *, site: Site, protocol: Protocol, at: dt.datetime) -> Participant:
    age = _age(stated, site=site, protocol=protocol, at=at)
    verdict = judge(stated.findings, age=age, protocol=protocol)
    identity = identity_hash(stated.local_identifier, study=protocol.protocol)
    lock_site(site.code)
    refuse_taken(identity)
    earlier = Participant.objects.filter(identity_hash=identity).order_by("created_at")
    return Participant(
        screening_number=_next_screening_number(site),
        site=site,
        identity_hash=identity,
        sex=stated.sex,
        birth_date=stated.birth_date,
        weight_kg=stated.weight_kg,
        consented_at=stated.consented_at,
        eligibility=dict(stated.findings.eligibility),
        measurements=dict(stated.findings.measurements),
        unmet=verdict.unmet,
        status=verdict.status,
        stratum_levels=verdict.levels,
        rescreens=earlier.last(),
    )


def refuse_taken(identity: str, *, own: uuid.UUID | None = None) -> None:
    """
    Hold the person, and return if nobody else is in the trial who has, or had, this identity.

    No unique index sees who holds a slot though a criterion was unmet, as paper envelopes allow, nor
    the identifier that a randomized participant had before it was corrected.

    :param identity: keyed hash of the local identifier.
    :param own: the participant whose identity it may be.
    :raises AlreadyInTrial: if the person was found eligible or randomized under another number.
    """
    lock_identity(identity)
    others = Participant.objects.exclude(pk__in=[own] if own else []).filter(
        Q(identity_hash=identity, status=Status.ELIGIBLE)
        | Q(identity_hash=identity, allocation__isnull=False)
        | Q(corrections__identity_hash_before=identity, allocation__isnull=False)
    )
    if others.exists():
        raise AlreadyInTrial


def _site(code: str, *, by: User) -> Site:
    require(by, Permission.SCREEN)
    site = at_sites(Site.objects.filter(pk=code), by, Permission.SCREEN, site="pk").first()
    if site is None:
        raise NotFound("There is no such site.")
    return site


def _age(stated: _Stated, *, site: Site, protocol: Protocol, at: dt.datetime) -> int:
    """Return the age at consent in whole years, once dates and weight are such as can be."""
    zone = ZoneInfo(site.time_zone)
    if stated.consented_at > at:
        # Before anything is reckoned from it: the last moment of the calendar has no local date.
        raise FieldsInvalid(
            FieldFault(("consented_at",), "in_the_future", "Consent was given at some time before now.")
        )
    faults = weight_faults(stated.weight_kg, protocol=protocol)
    if stated.birth_date > stated.consented_at.astimezone(zone).date():
        faults.append(FieldFault(("birth_date",), "after_consent", "Birth is before consent."))
    if not normalized(stated.local_identifier):
        faults.append(FieldFault(("local_identifier",), "empty", "An identifier has letters or digits."))
    age = age_at_consent(birth_date=stated.birth_date, consented_at=stated.consented_at, zone=zone)
    if age > OLDEST_YEARS:
        faults.append(FieldFault(("birth_date",), "implausible", f"Nobody is older than {OLDEST_YEARS}."))
    if faults:
        raise FieldsInvalid(*faults)
    return age


def _next_screening_number(site: Site) -> str:
    """
    Return the held site's next number, ``PUREN-001`` first.

    A number stays with its participant, who may be transferred: the numbers are counted by what
    they begin with and not by where their participants are.
    """
    # The longest number first: "PUREN-1000" comes before "PUREN-999" in the order of texts.
    latest = (
        Participant.objects.filter(screening_number__regex=rf"^{re.escape(site.code)}-[0-9]+$")
        .order_by(Length("screening_number").desc(), "-screening_number")
        .values_list("screening_number", flat=True)
        .first()
    )
    count = int(latest.rpartition("-")[2]) if latest else 0
    return f"{site.code}-{count + 1:03d}"


def save_once(participant: Participant, *, insert: bool = False, fields: list[str] | None = None) -> None:
    """
    Save a participant who may just have become eligible.

    :raises AlreadyInTrial: if the same person is eligible under another screening number.
    """
    try:
        # A savepoint: of two sites that screen one person at once, the second is told so.
        with transaction.atomic():
            participant.save(force_insert=insert, update_fields=fields)
    except IntegrityError as error:
        if _ONCE in str(error):
            raise AlreadyInTrial from None
        raise


def _record(participant: Participant, *, by: User, at: dt.datetime, on_paper_at: dt.datetime | None) -> None:
    """Write the event: neither birth date nor identifier, nor an answer that is not a reason."""
    record(
        kind=Kind.PARTICIPANT_SCREENED,
        by=by,
        at=at,
        role=Role.INVESTIGATOR,
        about={"participant": str(participant.id), "site": participant.site_id},
        data={
            "screening_number": participant.screening_number,
            "status": str(participant.status),
            "unmet": participant.unmet,
            "stratum": participant.stratum_levels,
            "trial": participant.trial_version_id,
            **({"rescreens": str(participant.rescreens_id)} if participant.rescreens_id else {}),
            **({"paper": {"screened_at": timestamp(on_paper_at)}} if on_paper_at else {}),
        },
    )
