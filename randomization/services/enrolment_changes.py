"""
Pausing, resuming, suspending and closing enrolment, at one site or in the whole trial.

Each change is a row and an event, with its reason; the last row of a scope holds. What "at the same
time" means is settled by the trail: see ``enrolment_gate``. Treatment, infusions and code breaks
never ask.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from randomization.domain.enrolment import ACTIVE, MOVES
from randomization.locks import lock_enrolment
from randomization.models import EnrolmentChange
from randomization.selectors import active_trial
from randomization.services.notices import notify_of_enrolment
from trialsite.accounts.access import acting_role, require, sites_of
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission, Role
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.errors import NotFound, Refused


class IllegalEnrolmentChange(Refused):
    """Enrolment does not go from how it stands to that; what is closed can only be made active."""

    code = "illegal_enrolment_change"


@transaction.atomic
def change_enrolment(
    *, site: str | None, status: str, reason: str, by: User, at: dt.datetime
) -> EnrolmentChange:
    """
    Let enrolment at the site, or in the whole trial where it is None, stand otherwise from now on.

    :raises trialsite.accounts.access.NotPermitted: if ``by`` may not.
    :raises randomization.selectors.TrialNotActive: before activation.
    :raises trialsite.errors.NotFound: if the trial in force has no such site.
    :raises IllegalEnrolmentChange: if that does not follow from how enrolment stands.
    """
    require(by, Permission.MANAGE_ENROLMENT)
    lock_enrolment()
    _, protocol = active_trial()
    if site is not None and site not in {known.code for known in protocol.sites}:
        raise NotFound("There is no such site.")
    before = EnrolmentChange.objects.filter(site=site).order_by("-number").first()
    if status not in MOVES[before.status if before else None]:
        stands = before.status if before else "not open yet"
        raise IllegalEnrolmentChange(f"Enrolment that is {stands} does not become {status}.")
    change = _keep(site=site, status=status, reason=reason, by=by, role=Role.STUDY_MANAGER.value, at=at)
    notify_of_enrolment(change, at=at)
    return change


def open_enrolment(*, sites: Iterable[str], by: User, at: dt.datetime) -> None:
    """Open the trial and those of its sites, as part of an activation by ``by``."""
    lock_enrolment()
    role = acting_role(by, Permission.ACTIVATE, site="")
    for site in (None, *sites):
        _keep(site=site, status=ACTIVE, reason="The trial was activated.", by=by, role=role, at=at)


def enrolment_changes_visible_to(user: User) -> QuerySet[EnrolmentChange]:
    """
    Return the changes that concern the person: those of the trial, and of the sites of their role.

    :raises trialsite.accounts.access.NotPermitted: if enrolment is none of the person's concern.
    """
    require(user, Permission.SEE_ENROLMENT)
    changes = EnrolmentChange.objects.order_by("number")
    sites = sites_of(user, Permission.SEE_ENROLMENT)
    return changes if sites is None else changes.filter(Q(site=None) | Q(site__in=sites))


def _keep(
    *, site: str | None, status: str, reason: str, by: User, role: str, at: dt.datetime
) -> EnrolmentChange:
    last = EnrolmentChange.objects.aggregate(number=Max("number"))["number"] or 0
    change = EnrolmentChange.objects.create(
        number=last + 1, site_id=site, status=status, reason=reason, at=at, recorded_by=by
    )
    record(
        kind=Kind.ENROLMENT_CHANGED,
        by=by,
        role=role,
        at=at,
        about={"change": str(change.pk), **({"site": site} if site else {})},
        data={"status": status, "reason": reason},
    )
    return change
