"""Reads: the trial in force, and participants as far as a person may see them."""

from __future__ import annotations

import uuid
from functools import lru_cache

from django.db.models import QuerySet

from randomization.models import Participant, TrialVersion, Unblinding
from trialsite import protocol as protocols
from trialsite.accounts.access import at_sites, may, require
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.errors import NotFound, Refused
from trialsite.protocol import Protocol


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
    """Return the participants of the sites where the person may see participants."""
    return at_sites(Participant.objects.select_related("allocation"), user, Permission.SEE_PARTICIPANTS)


def participant_within_reach(participant_id: uuid.UUID, *, by: User, permission: Permission) -> Participant:
    """
    Return a participant of a site where ``by`` may do it.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may do it nowhere.
    :raises trialsite.errors.NotFound: if there is no such participant, or only at another site.
    """
    require(by, permission)
    participant = at_sites(Participant.objects.filter(pk=participant_id), by, permission).first()
    if participant is None:
        raise NotFound("There is no such participant.")
    return participant


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
