"""
Before the first participant: the trial file is loaded, its list installed, the trial activated.

The list comes through ``lists``; a trial that is active is changed through ``amendments``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

from django.db import transaction

from randomization.locks import lock_trial
from randomization.models import RandomizationList, TrialVersion
from randomization.selectors import current_trial
from randomization.services.enrolment_changes import open_enrolment
from randomization.services.lists import ListRefused, check_still_whole
from trialsite.accounts.access import require
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.errors import NotFound, Refused
from trialsite.protocol import Protocol


class TrialFixed(Refused):
    """Another trial file cannot be loaded once a list was made for the one that is to be activated."""

    code = "trial_fixed"


class AlreadyActive(Refused):
    """The trial is active already; an activation happens once."""

    code = "already_active"


class NotReadyToActivate(Refused):
    """Something that must be there before the first participant is not."""

    code = "not_ready_to_activate"


@transaction.atomic
def load_trial(*, protocol: Protocol, by: str, at: dt.datetime) -> TrialVersion:
    """
    Keep the trial's public document and its sites; a repeat with the same content does nothing.

    :raises TrialFixed: if there is a list for another version, or the trial is active: what comes
        then is an amendment.
    """
    lock_trial()
    known = TrialVersion.objects.filter(pk=protocol.content_hash).first()
    if known is not None:
        return known
    if RandomizationList.objects.exists() or TrialVersion.objects.exclude(activated_at=None).exists():
        raise TrialFixed("The list was made for another trial file. This one is not loaded.")
    version = keep_version(protocol, amends=None, by=by, at=at)
    for site in protocol.sites:
        Site.objects.update_or_create(
            code=site.code, defaults={"name": site.name, "time_zone": site.time_zone}
        )
    return version


def keep_version(
    protocol: Protocol, *, amends: TrialVersion | None, by: str, at: dt.datetime
) -> TrialVersion:
    """Keep a version of the trial file, and say so on the trail."""
    version = TrialVersion.objects.create(
        content_hash=protocol.content_hash,
        protocol=protocol.protocol,
        version=protocol.version,
        document=json.loads(protocol.public_document()),
        loaded_at=at,
        loaded_by=by,
        amends=amends,
    )
    record(
        kind=Kind.TRIAL_LOADED,
        by=by,
        at=at,
        about={"trial": version.pk, **({"amends": amends.pk} if amends else {})},
        data={"protocol": version.protocol, "version": version.version},
    )
    return version


@transaction.atomic
def activate_trial(*, by: User, at: dt.datetime, sites: Sequence[str] | None = None) -> TrialVersion:
    """
    Open the trial for participants. The caller has checked the signature of ``by``.

    :param sites: those that enrol from now on, all of the trial file unless given; the others stay
        closed until the study manager opens them.
    :raises trialsite.accounts.access.NotPermitted: if ``by`` may not activate the trial.
    :raises AlreadyActive: if it is active.
    :raises trialsite.errors.NotFound: if the trial has no such site.
    :raises NotReadyToActivate: if there is no sealed list, signed commitment or sealed seed for
        the trial as it is loaded.
    """
    require(by, Permission.ACTIVATE)
    lock_trial()
    version, protocol = current_trial()
    if version.activated_at is not None:
        raise AlreadyActive("The trial is active already.")
    known = [site.code for site in protocol.sites]
    opened = known if sites is None else list(dict.fromkeys(sites))
    if not set(opened) <= set(known):
        raise NotFound("The trial file has no such site.")
    lists = RandomizationList.objects.filter(trial_version=version).order_by("ordinal")
    the_list = lists.first()
    if the_list is None:
        raise NotReadyToActivate("There is no sealed list for this trial file. Install one first.")
    for each in lists:
        refuse_unless_whole(each)
    activated = put_in_force(version, by=by, at=at)
    record(
        kind=Kind.TRIAL_ACTIVATED,
        by=by,
        at=at,
        about={"trial": version.pk, "list": str(the_list.pk)},
        data={"root": bytes(the_list.root).hex()},
    )
    open_enrolment(sites=opened, by=by, at=at)
    return activated


def refuse_unless_whole(the_list: RandomizationList) -> None:
    """
    :raises NotReadyToActivate: if the list is not, or no longer, what its commitment says.
    """
    try:
        check_still_whole(the_list)
    except ListRefused as refusal:
        raise NotReadyToActivate(f"The installed list is not whole: {refusal}") from None


def put_in_force(version: TrialVersion, *, by: User, at: dt.datetime) -> TrialVersion:
    """Mark the version as activated and return it as it is now."""
    TrialVersion.objects.filter(pk=version.pk).update(activated_at=at, activated_by=by)
    version.refresh_from_db()
    return version
