"""
Changing an active trial: a new version of the trial file, approved by two named people, put in force.

    load_amendment      the draft is kept, if it changes nothing that must stay
    approve_amendment   by the statistician and by a study manager, each signing
    lists.install_list  slots for the strata that it adds
    activate_amendment  from now on it holds for whoever is screened

Slots that were used, and those that were not, stay where they are. Participants keep the version
under which they were screened.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from randomization.domain.amendment import amendment_faults, new_strata
from randomization.locks import lock_trial
from randomization.models import Approval, Participant, RandomizationList, Slot, Stratum, TrialVersion
from randomization.selectors import active_trial, protocol_of
from randomization.services.setup import NotReadyToActivate, keep_version, put_in_force, refuse_unless_whole
from trialsite.accounts.access import NotPermitted, require
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission, Role
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.errors import NotFound, Refused
from trialsite.protocol import Protocol

APPROVERS = (Role.STATISTICIAN, Role.STUDY_MANAGER)


class AmendmentRefused(Refused):
    """The file changes what an amendment may not change; the message names each place."""

    code = "amendment_refused"


class AlreadyApproved(Refused):
    """This person, or somebody in the same role, has approved this version before."""

    code = "already_approved"


class AmendmentSuperseded(Refused):
    """The version amends another than the one in force, or is in force already."""

    code = "amendment_superseded"


@transaction.atomic
def load_amendment(*, protocol: Protocol, by: str, at: dt.datetime) -> TrialVersion:
    """
    Keep a draft that amends the trial in force; a repeat with the same content does nothing.

    Several drafts may be there; one of them at most is put in force. Sites that it adds are known
    from now on, so that their people and stock can be made ready, and enrol nobody.

    :raises randomization.selectors.TrialNotActive: before activation.
    :raises AmendmentRefused: if it changes what must stay.
    """
    lock_trial()
    current, in_force = active_trial()
    known = TrialVersion.objects.filter(pk=protocol.content_hash).first()
    if known is not None:
        if known.activated_at is not None and known.pk != current.pk:
            raise AmendmentRefused("version: was in force before; going back to it takes a new one")
        return known
    _refuse_faults(in_force, protocol)
    version = keep_version(protocol, amends=current, by=by, at=at)
    for site in protocol.sites:
        Site.objects.get_or_create(code=site.code, defaults={"name": site.name, "time_zone": site.time_zone})
    return version


@transaction.atomic
def approve_amendment(*, content_hash: str, by: User, at: dt.datetime) -> Approval:
    """
    Record that ``by``, who has signed, approves the version of that content hash.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` is neither statistician nor study manager.
    :raises trialsite.errors.NotFound: if no such draft was loaded.
    :raises AmendmentSuperseded: if another amendment was put in force since.
    :raises AlreadyApproved: if it was approved by this person or in this role.
    """
    require(by, Permission.ACTIVATE)
    lock_trial()
    version = _draft(content_hash)
    role = next((role for role in APPROVERS if role in {grant.role for grant in by.roles}), None)
    if role is None:
        raise NotPermitted("Your roles do not allow this.")
    given = version.approvals.all()
    if given.filter(role=role).exists() or given.filter(approved_by=by).exists():
        raise AlreadyApproved("This version has been approved in this role, or by this person, before.")
    approval = Approval.objects.create(trial_version=version, approved_by=by, role=role, approved_at=at)
    record(
        kind=Kind.TRIAL_APPROVED,
        by=by,
        role=role.value,
        at=at,
        about={"trial": version.pk},
        data={"version": version.version},
    )
    return approval


@transaction.atomic
def activate_amendment(*, content_hash: str, by: User, at: dt.datetime) -> TrialVersion:
    """
    Put an approved draft in force. The caller has checked the signature of ``by``.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may not activate the trial.
    :raises trialsite.errors.NotFound: if no such draft was loaded.
    :raises AmendmentSuperseded: if another amendment was put in force since.
    :raises AmendmentRefused: if what has happened since it was loaded stands against it.
    :raises NotReadyToActivate: if an approval is missing, a new stratum has no list of this version,
        or a list of this version is not whole.
    """
    require(by, Permission.ACTIVATE)
    lock_trial()
    version = _draft(content_hash)
    current, in_force = active_trial()
    protocol = protocol_of(version.pk)
    _refuse_faults(in_force, protocol)
    _refuse_unless_approved(version)
    _refuse_unless_listed(version, strata=new_strata(in_force, protocol))
    for site in protocol.sites:
        Site.objects.update_or_create(
            code=site.code, defaults={"name": site.name, "time_zone": site.time_zone}
        )
    amended = put_in_force(version, by=by, at=at)
    record(
        kind=Kind.TRIAL_AMENDED,
        by=by,
        at=at,
        about={"trial": version.pk, "amends": current.pk},
        data={"version": version.version},
    )
    return amended


def draft_and_current(content_hash: str) -> tuple[Protocol, Protocol]:
    """
    Return the trial in force and the draft, for whoever is to compare them.

    :raises trialsite.errors.NotFound, AmendmentSuperseded: as ``approve_amendment``.
    """
    version = _draft(content_hash)
    return active_trial()[1], protocol_of(version.pk)


def _draft(content_hash: str) -> TrialVersion:
    version = TrialVersion.objects.filter(pk=content_hash).exclude(amends=None).first()
    if version is None:
        raise NotFound("No amendment of that content hash was loaded.")
    if version.activated_at is not None or version.amends_id != active_trial()[0].pk:
        raise AmendmentSuperseded("This version amends another than the one in force.")
    return version


def _refuse_faults(in_force: Protocol, protocol: Protocol) -> None:
    occupied = set(Participant.objects.order_by().values_list("site", flat=True).distinct())
    occupied |= set(Stratum.objects.exclude(site=None).values_list("site", flat=True))
    faults = list(amendment_faults(in_force, protocol, occupied={str(code) for code in occupied}))
    if faults:
        raise AmendmentRefused("; ".join(f"{place}: {reason}" for place, reason in faults))


def _refuse_unless_approved(version: TrialVersion) -> None:
    approvals = version.approvals.all()
    missing = [role.value for role in APPROVERS if role not in {approval.role for approval in approvals}]
    if missing:
        raise NotReadyToActivate(f"The version is not approved by: {', '.join(missing)}.")
    if len({approval.approved_by_id for approval in approvals}) < len(APPROVERS):
        raise NotReadyToActivate("One person's approval counts once.")


def _refuse_unless_listed(version: TrialVersion, *, strata: tuple[str, ...]) -> None:
    slots = Slot.objects.filter(list__trial_version=version)
    for code in strata:
        if not slots.filter(stratum=code).exists():
            raise NotReadyToActivate(f"There is no sealed list of this version for stratum {code}.")
    for the_list in RandomizationList.objects.filter(trial_version=version).order_by("ordinal"):
        refuse_unless_whole(the_list)
