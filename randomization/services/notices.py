"""What the study is told about the list and its codes: that something happened, never an arm."""

from __future__ import annotations

import datetime as dt

from django.db.models import Q

from randomization.models import Stratum, Unblinding
from trialsite.accounts.models import User
from trialsite.accounts.roles import Role
from trialsite.audit.services import study
from trialsite.outbox.services import queue


def notify_of_unblinding(unblinding: Unblinding, *, at: dt.datetime) -> None:
    """
    Tell monitors and study managers that a code was broken.

    Neither the arm nor the reason nor the person who asked is in the message.
    """
    number = unblinding.participant.allocation.randomization_number
    body = (
        f"The code of participant {number} was broken in an emergency on {at:%Y-%m-%d at %H:%M} UTC.\n\n"
        "This message does not say which arm. Please do not ask the site: it must not tell you.\n"
    )
    for person in _people(Role.MONITOR, Role.STUDY_MANAGER):
        queue(
            dedupe_key=f"unblinding:{unblinding.pk}:{person.pk}",
            recipient=person.email,
            subject=f"{study()}: code broken for participant {number}",
            body=body,
            at=at,
        )


def notify_of_last_slot(stratum: Stratum, *, at: dt.datetime) -> None:
    """Tell the unmasked statistician that a stratum's list is used up; masked roles are not told."""
    for person in _people(Role.STATISTICIAN):
        queue(
            dedupe_key=f"list-exhausted:{stratum.pk}:{person.pk}",
            recipient=person.email,
            subject=f"{study()}: a stratum's list is used up",
            body=f"The last slot of stratum {stratum.pk} was taken. The next participant there is refused.\n",
            at=at,
        )


def _people(*roles: Role) -> list[User]:
    held = Q(role_grants__role__in=roles, role_grants__ended_at=None)
    return list(User.objects.filter(held, is_active=True).exclude(email="").distinct().order_by("username"))
