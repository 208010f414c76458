"""
Who was screened, randomized and lost, and how often randomization went wrong: totals, never by arm.

The counts are those of the CONSORT 2025 flow diagram as far as a masked role may have them. A site
counts the participants that it enrolled, also those who were transferred later: what went wrong at
the randomization went wrong there.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import CharField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from randomization.domain.randomization_errors import ErrorRate
from randomization.domain.strata import all_strata
from randomization.models import Participant, RandomizationError, Transfer
from randomization.selectors import current_trial
from randomization.services.corrections import unreported
from randomization.services.deviations import unreported_deviations
from trialsite.accounts.access import at_sites, require
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.protocol import Protocol

ErrorKind = RandomizationError.Kind


@dataclass(frozen=True, kw_only=True)
class SiteCounts:
    """One site's part."""

    site: str
    screened: int
    screen_failed: int
    randomized: int
    error_rate: ErrorRate


@dataclass(frozen=True, kw_only=True)
class StratumCounts:
    """How many were randomized in a stratum, and how many truly belong to it."""

    stratum: Mapping[str, str]
    used: int
    true: int


@dataclass(frozen=True, kw_only=True)
class Unreported:
    """
    A randomized participant whose record says that something was wrong, without a report that says so.

    :param unmet_now: the criteria that the corrected record fails.
    :param deviations: what stood against the randomization, such as ``consent_withdrawn``.
    """

    screening_number: str
    unmet_now: Sequence[str]
    deviations: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class EnrolmentReport:
    """The counts at ``at``; ``errors_by_kind`` counts participants, who may have errors of several kinds."""

    at: dt.datetime
    screened: int
    screen_failed: int
    screen_failed_by_criterion: Mapping[str, int]
    eligible_not_randomized: int
    randomized: int
    discontinued: Mapping[str, int]
    strata: Sequence[StratumCounts]
    sites: Sequence[SiteCounts]
    errors_by_kind: Mapping[str, int]
    error_rate: ErrorRate
    unreported: Sequence[Unreported]


def enrolment_report(*, by: User, at: dt.datetime) -> EnrolmentReport:
    """
    Count the participants that were enrolled at the sites of ``by``.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may see no enrolment.
    :raises trialsite.errors.NotFound: if no trial was loaded.
    """
    require(by, Permission.SEE_ENROLMENT)
    _, protocol = current_trial()
    people = list(at_sites(_enrolled(), by, Permission.SEE_ENROLMENT, site="enrolled_at"))
    randomized = [each for each in people if each.is_randomized]
    failed = [each for each in people if _is_screen_failure(each)]
    unmet = Counter(code for each in failed for code in each.unmet)
    ended = Counter(end.scope for each in people for end in each.discontinuations.all())
    kinds = Counter(kind for each in randomized for kind in _kinds_of_error(each))
    return EnrolmentReport(
        at=at,
        screened=len(people),
        screen_failed=len(failed),
        screen_failed_by_criterion={c.code: unmet[c.code] for c in protocol.eligibility if unmet[c.code]},
        eligible_not_randomized=sum(map(_may_still_be_randomized, people)),
        randomized=len(randomized),
        discontinued={scope: ended[scope] for scope in ("treatment", "study")},
        strata=_strata(protocol, randomized),
        sites=_sites(people),
        errors_by_kind={kind.value: kinds[kind.value] for kind in ErrorKind},
        error_rate=_rate(randomized),
        unreported=_unreported(randomized),
    )


def _enrolled() -> QuerySet[Participant]:
    """Return every participant with ``enrolled_at``, the site of the first screening."""
    transfers = Transfer.objects.filter(participant=OuterRef("pk")).order_by("at")
    first_site = Coalesce(Subquery(transfers.values("from_site")[:1]), "site_id", output_field=CharField())
    participants = Participant.objects.select_related("allocation").annotate(enrolled_at=first_site)
    return participants.prefetch_related(
        "randomization_errors", "consents", "discontinuations", "corrections"
    )


def _is_screen_failure(participant: Participant) -> bool:
    return participant.status == Participant.Status.SCREEN_FAILED and not participant.is_randomized


def _may_still_be_randomized(participant: Participant) -> bool:
    """Return whether nothing of the person stands against it; who withdrew consent is discontinued."""
    left = participant.is_randomized or participant.discontinuations.all()
    return participant.status == Participant.Status.ELIGIBLE and not left


def _kinds_of_error(participant: Participant) -> set[str]:
    """
    Return what is wrong with a randomization, whether or not it was reported.

    A corrected birth date shows a wrong stratum; on paper a failed screening may have been randomized.
    """
    kinds = {error.kind for error in participant.errors_in_force}
    if participant.true_stratum_levels is not None:
        kinds.add(ErrorKind.WRONG_STRATUM.value)
    if participant.status == Participant.Status.SCREEN_FAILED:
        kinds.add(ErrorKind.INELIGIBLE.value)
    return kinds


def _unreported(randomized: Sequence[Participant]) -> list[Unreported]:
    found = (
        Unreported(
            screening_number=each.screening_number,
            unmet_now=unreported(each) if each.corrections.all() else [],
            deviations=unreported_deviations(each),
        )
        for each in randomized
    )
    return [each for each in found if each.unmet_now or each.deviations]


def _rate(people: Sequence[Participant]) -> ErrorRate:
    randomized = [each for each in people if each.is_randomized]
    wrong = sum(1 for each in randomized if _kinds_of_error(each))
    return ErrorRate(participants=wrong, randomized=len(randomized))


def _sites(people: Sequence[Participant]) -> list[SiteCounts]:
    by_site: dict[str, list[Participant]] = {}
    for each in people:
        by_site.setdefault(each.enrolled_at, []).append(each)  # type: ignore[attr-defined]  # annotated
    return [
        SiteCounts(
            site=site,
            screened=len(theirs),
            screen_failed=sum(map(_is_screen_failure, theirs)),
            randomized=sum(each.is_randomized for each in theirs),
            error_rate=_rate(theirs),
        )
        for site, theirs in sorted(by_site.items())
    ]


def _strata(protocol: Protocol, randomized: Sequence[Participant]) -> list[StratumCounts]:
    """Return every stratum of the trial, then what else was used or proved true."""
    used = Counter(each.allocation.stratum_id for each in randomized)
    true = Counter(_code(protocol, each.true_stratum_levels or each.stratum_levels) for each in randomized)
    codes = all_strata(protocol)
    others = sorted((used.keys() | true.keys()) - set(codes))
    return [
        StratumCounts(stratum=_levels(code), used=used[code], true=true[code]) for code in (*codes, *others)
    ]


def _code(protocol: Protocol, levels: Mapping[str, str]) -> str:
    """Return what names the levels; they need be no stratum, as after a birth date outside the ages."""
    return "|".join(f"{f.code}={levels[f.code]}" for f in protocol.factors if f.code in levels)


def _levels(code: str) -> dict[str, str]:
    return {factor: level for factor, _, level in (part.partition("=") for part in code.split("|") if part)}
