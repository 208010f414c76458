"""Reads: the trial in force, and participants as far as a person may see them."""

from __future__ import annotations

import uuid
from functools import lru_cache

from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery

from randomization.models import (
    Allocation,
    Participant,
    RandomizationError,
    Transfer,
    TrialVersion,
    Unblinding,
)
from trialsite import protocol as protocols
from trialsite.accounts.access import at_sites, may, require, sites_of
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.errors import NotFound, Refused
from trialsite.protocol import Protocol
from trialsite.rows import one


class TrialNotActive(Refused):
    """The trial has not been activated: nobody can be screened or randomized."""

    code = "trial_not_active"


class TrialAltered(Exception):
    """What the database holds of the trial file is not what its hash says. Stop and find out why."""


def current_trial() -> tuple[TrialVersion, Protocol]:
    """
    Return the trial in force: the version that was activated, or before that the one loaded last.

    :raises trialsite.errors.NotFound: if no trial was loaded.
    :raises TrialAltered: if the stored document does not have the stored hash.
    """
    # Without the document, which is read once for each hash.
    versions = TrialVersion.objects.defer("document")
    version = (
        versions.exclude(activated_at=None).order_by("-activated_at").first()
        or versions.order_by("-loaded_at").first()
    )
    if version is None:
        raise NotFound("No trial has been loaded.")
    return version, protocol_of(version.content_hash)


def active_trial() -> tuple[TrialVersion, Protocol]:
    """
    Return the activated trial.

    :raises TrialNotActive: if it is not activated yet.
    """
    version, protocol = current_trial()
    if version.activated_at is None:
        raise TrialNotActive("The trial is not activated yet.")
    return version, protocol


@lru_cache(maxsize=8)
def protocol_of(content_hash: str) -> Protocol:
    """
    Return the trial of that content hash; a version never changes, so it is read once.

    :raises TrialAltered: if the stored document does not have that hash.
    """
    document = TrialVersion.objects.values_list("document", flat=True).get(pk=content_hash)
    protocol = protocols.from_document(document)
    if protocol.content_hash != content_hash:
        raise TrialAltered(f"The stored trial is not the one of hash {content_hash}.")
    return protocol


def participants_visible_to(user: User) -> QuerySet[Participant]:
    """
    Return the participants of the sites where the person may see participants.

    ``rescreens_number`` names the screening that was repeated, where that is at such a site too.
    """
    seen = Permission.SEE_PARTICIPANTS
    earlier = at_sites(Participant.objects.filter(pk=OuterRef("rescreens")), user, seen)
    participants = Participant.objects.select_related("allocation").prefetch_related(
        "randomization_errors", "consents"
    )
    shown = participants.annotate(rescreens_number=Subquery(earlier.values("screening_number")))
    return at_sites(shown, user, seen)


def participant_visible_to(user: User, participant_id: uuid.UUID) -> Participant:
    """
    Return a participant as the person may see them.

    :raises trialsite.errors.NotFound: if there is no such participant, or only at another site.
    """
    participant = participants_visible_to(user).filter(pk=participant_id).first()
    if participant is None:
        raise NotFound("There is no such participant.")
    return participant


def participant_within_reach(participant_id: uuid.UUID, *, by: User, permission: Permission) -> Participant:
    """
    Return a participant of a site where ``by`` may do it.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may do it nowhere.
    :raises trialsite.errors.NotFound: if there is no such participant, or only at another site.
    """
    require(by, permission)
    try:
        participant = one(Participant, participant_id)
    except Participant.DoesNotExist:
        raise NotFound("There is no such participant.") from None
    if not may(by, permission, site=participant.site_id):
        raise NotFound("There is no such participant.")
    return participant


def participants_ever_at_sites_of(by: User, permission: Permission) -> QuerySet[Participant]:
    """
    Return the participants who are at a site where ``by`` may do it, or were before a transfer.

    For what may be urgent or may be noticed late, and shows nothing of a participant: whoever has the
    person before them may not be where the record says (docs/screening-and-transfer.md).
    """
    sites = sites_of(by, permission)
    if sites is None:
        return Participant.objects.all()
    left = Transfer.objects.filter(from_site__in=sites).values("participant")
    return Participant.objects.filter(Q(site__in=sites) | Q(pk__in=left))


def sites_left(participant: Participant) -> list[str]:
    """Return the codes of the sites from which the participant was transferred."""
    return list(participant.transfers.values_list("from_site_id", flat=True))


def randomization_errors_visible_to(user: User) -> QuerySet[RandomizationError]:
    """Return every report of an error about participants of the person's sites, oldest first."""
    reports = RandomizationError.objects.select_related("participant", "duplicate_of")
    reports = reports.prefetch_related("participant__randomization_errors").order_by("recorded_at", "id")
    return at_sites(reports, user, Permission.SEE_ENROLMENT, site="participant__site")


def called(name: str) -> Q:
    """
    Return the condition that a participant has this id, screening number or randomization number.

    However it is typed: in small letters too, and with spaces around it.
    """
    name = name.strip()
    try:
        by_id = Q(pk=uuid.UUID(name))
    except ValueError:
        by_id = Q()
    return by_id | Q(screening_number__iexact=name) | Q(allocation__randomization_number__iexact=name)


def unblindings_visible_to(user: User) -> QuerySet[Unblinding]:
    """
    Return the code breaks that the person may know of: all, or their own.

    :raises trialsite.accounts.access.NotPermitted: if the person may know of none.
    """
    unblindings = Unblinding.objects.select_related("participant__allocation")
    if may(user, Permission.SEE_UNBLINDINGS):
        return unblindings
    require(user, Permission.SEE_OWN_UNBLINDINGS)
    return unblindings.filter(requested_by=user)


def reveals_visible_to(user: User) -> QuerySet[Unblinding]:
    """
    Return the arms that were shown to somebody, in their order: where on the list each stands.

    ``stratum``, ``slot`` from 0, and ``used``, the slots of the stratum that were taken by then. What
    was asked for and never shown is left out: nobody learned it.

    :raises trialsite.accounts.access.NotPermitted: if the person may not see it.
    """
    require(user, Permission.SEE_REVEALS)
    of_stratum = OuterRef("participant__allocation__stratum")
    taken = Allocation.objects.filter(stratum=of_stratum, randomized_at__lte=OuterRef("revealed_at"))
    last = taken.order_by().values("stratum").annotate(last=Max("position")).values("last")
    return (
        Unblinding.objects.exclude(revealed_at=None)
        .annotate(
            stratum=F("participant__allocation__stratum"),
            slot=F("participant__allocation__position"),
            used=Subquery(last) + 1,
        )
        .order_by("revealed_at", "reveal_position", "recorded_at")
    )
