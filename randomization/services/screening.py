"""Screening: a person's answers, checked against the trial, make them a participant or not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.db.models.functions import Length

from randomization.domain.eligibility import AnswersIncomplete, age_at_consent, evaluate
from randomization.domain.strata import LevelsInvalid, stated_levels
from randomization.identity import identity_hash, normalized
from randomization.locks import lock_site
from randomization.models import Participant
from randomization.selectors import active_trial
from trialsite.accounts.access import at_sites, require
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission, Role
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.errors import FieldFault, FieldsInvalid, NotFound, Refused
from trialsite.protocol import Protocol

_ONCE = "a_person_is_in_the_trial_once"
_FAULTS = {
    "missing": "This factor needs a level.",
    "unknown_factor": "The trial has no such factor.",
    "unknown_level": "The factor has no such level.",
    "derived": "This level follows from the birth date and is not stated.",
}


class AlreadyInTrial(Refused):
    """The person was found eligible before, here or elsewhere; which, is not said."""

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
    eligibility: Mapping[str, bool]
    strata: Mapping[str, str]


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
) -> Participant:
    """
    Record a screening, and say whether the person may be randomized.

    A person who does not meet a criterion becomes a participant with status ``screen_failed``: that
    somebody was looked at and not taken is part of the trial's record.

    :raises randomization.selectors.TrialNotActive: before activation.
    :raises trialsite.errors.NotFound: if the site is not one where ``by`` may screen.
    :raises trialsite.errors.FieldsInvalid: if an answer or level is missing or unknown, the weight
        is implausible, or a date lies where it cannot.
    :raises AlreadyInTrial: if the person was found eligible before.
    """
    stated = _Stated(
        sex=sex,
        birth_date=birth_date,
        weight_kg=weight_kg,
        consented_at=consented_at,
        local_identifier=local_identifier,
        eligibility=eligibility,
        strata=strata,
    )
    participant = _screened(stated, site=_site(site, by=by), by=by, at=at)
    _insert(participant)
    _record(participant, by=by, at=at)
    return participant


def _screened(stated: _Stated, *, site: Site, by: User, at: dt.datetime) -> Participant:
    version, protocol = active_trial()
    age = _age(stated, site=site, protocol=protocol, at=at)
    unmet, levels = _verdict(stated, protocol=protocol, age=age)
    identity = identity_hash(stated.local_identifier, study=protocol.protocol)
    if Participant.objects.filter(identity_hash=identity, status=Participant.Status.ELIGIBLE).exists():
        raise AlreadyInTrial
    return Participant(
        screening_number=_next_screening_number(site),
        site=site,
        identity_hash=identity,
        sex=stated.sex,
        birth_date=stated.birth_date,
        weight_kg=stated.weight_kg,
        consented_at=stated.consented_at,
        eligibility=dict(stated.eligibility),
        unmet=unmet,
        status=Participant.Status.SCREEN_FAILED if unmet else Participant.Status.ELIGIBLE,
        stratum_levels=levels,
        trial_version=version,
        created_at=at,
        created_by=by,
    )


def _site(code: str, *, by: User) -> Site:
    require(by, Permission.SCREEN)
    site = at_sites(Site.objects.filter(pk=code), by, Permission.SCREEN, site="pk").first()
    if site is None:
        raise NotFound("There is no such site.")
    return site


def _age(stated: _Stated, *, site: Site, protocol: Protocol, at: dt.datetime) -> int:
    """Return the age at consent in whole years, once dates and weight are such as can be."""
    zone = ZoneInfo(site.time_zone)
    dose = protocol.dose
    if stated.consented_at > at:
        # Before anything is reckoned from it: the last moment of the calendar has no local date.
        raise FieldsInvalid(
            FieldFault(("consented_at",), "in_the_future", "Consent was given at some time before now.")
        )
    faults = []
    if stated.birth_date > stated.consented_at.astimezone(zone).date():
        faults.append(FieldFault(("birth_date",), "after_consent", "Birth is before consent."))
    if not dose.weight_min_kg <= stated.weight_kg <= dose.weight_max_kg:
        limits = f"{dose.weight_min_kg} to {dose.weight_max_kg} kg"
        faults.append(FieldFault(("weight_kg",), "implausible", f"The weight must be {limits}."))
    if not normalized(stated.local_identifier):
        faults.append(FieldFault(("local_identifier",), "empty", "An identifier has letters or digits."))
    if faults:
        raise FieldsInvalid(*faults)
    return age_at_consent(birth_date=stated.birth_date, consented_at=stated.consented_at, zone=zone)


def _verdict(stated: _Stated, *, protocol: Protocol, age: int) -> tuple[list[str], dict[str, str]]:
    """Return the codes of the unmet criteria, and the level of every factor that has one."""
    try:
        unmet = evaluate(protocol, stated.eligibility, age)
    except AnswersIncomplete as error:
        _refuse_answers(error)
    try:
        levels = stated_levels(protocol, stated.strata, age=age)
    except LevelsInvalid as error:
        faults = (
            FieldFault(("strata", factor[:64]), code, _FAULTS[code]) for factor, code in error.faults.items()
        )
        raise FieldsInvalid(*faults) from None
    return unmet, levels


def _refuse_answers(error: AnswersIncomplete) -> NoReturn:
    raise FieldsInvalid(
        *(
            FieldFault(("eligibility", code), "missing", "This criterion needs an answer.")
            for code in error.missing
        ),
        *(
            FieldFault(("eligibility", code[:64]), "unknown", "The trial has no such criterion.")
            for code in error.unknown
        ),
    ) from None


def _next_screening_number(site: Site) -> str:
    """Return the site's next number, ``PUREN-001`` first; the site's lock keeps it the next one."""
    lock_site(site.code)
    # The longest number first: "PUREN-1000" comes before "PUREN-999" in the order of texts.
    latest = (
        Participant.objects.filter(site=site)
        .order_by(Length("screening_number").desc(), "-screening_number")
        .values_list("screening_number", flat=True)
        .first()
    )
    count = int(latest.rpartition("-")[2]) if latest else 0
    return f"{site.code}-{count + 1:03d}"


def _insert(participant: Participant) -> None:
    try:
        # A savepoint: of two sites that screen one person at once, the second is told so.
        with transaction.atomic():
            participant.save(force_insert=True)
    except IntegrityError as error:
        if _ONCE in str(error):
            raise AlreadyInTrial from None
        raise


def _record(participant: Participant, *, by: User, at: dt.datetime) -> None:
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
        },
    )
