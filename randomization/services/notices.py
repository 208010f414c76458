"""What the study is told about the list and its codes: that something happened, never an arm."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Max, Q

from randomization.models import EnrolmentChange, RandomizationList, Stratum, Transfer, Unblinding
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
    body = f"The last slot of stratum {stratum.pk} was taken. The next participant there is refused.\n"
    for message in _to_statisticians("list-exhausted", stratum, body=body, at=at):
        queue(**message)


def messages_of_exhaustion(stratum: Stratum, *, at: dt.datetime) -> tuple[dict[str, Any], ...]:
    """Return what tells the unmasked statistician of a refusal; to be queued once it is rolled back."""
    body = (
        f"A participant of stratum {stratum.pk} was refused: its list is used up. Only an extension helps.\n"
    )
    return tuple(_to_statisticians("list-refused", stratum, body=body, at=at))


def notify_of_enrolment(change: EnrolmentChange, *, at: dt.datetime) -> None:
    """Tell the investigators of the site, or of all sites, how enrolment stands; the reason is not mailed."""
    where = f"at {change.site_id}" if change.site_id else "in the whole trial"
    for person in _people(Role.INVESTIGATOR, site=change.site_id):
        queue(
            dedupe_key=f"enrolment:{change.pk}:{person.pk}",
            recipient=person.email,
            subject=f"{study()}: enrolment {where} is {change.status}",
            body=(
                f"Enrolment {where} is {change.status} since {change.at:%Y-%m-%d at %H:%M} UTC.\n\n"
                "Treatment, infusions and emergency code breaks go on. The reason is in the system.\n"
            ),
            at=at,
        )


def notify_of_transfers(transfers: Sequence[Transfer], *, at: dt.datetime) -> None:
    """Tell the investigators of both sites who was transferred, by screening number; not why."""
    if not transfers:
        return
    first = transfers[0]
    numbers = "\n".join(transfer.participant.screening_number for transfer in transfers)
    sites = (first.from_site_id, first.to_site_id)
    people = {one.pk: one for site in sites for one in _people(Role.INVESTIGATOR, site=site)}
    for person in people.values():
        queue(
            dedupe_key=f"transfer:{first.pk}:{person.pk}",
            recipient=person.email,
            subject=f"{study()}: participants transferred from {sites[0]} to {sites[1]}",
            body=(
                f"Transferred from {sites[0]} to {sites[1]}, as recorded on {at:%Y-%m-%d at %H:%M} UTC:\n\n"
                f"{numbers}\n\n"
                "Screening and randomization numbers stay as they are. What is left to be done at either"
                " site stands in the system.\n"
            ),
            at=at,
        )


def _to_statisticians(what: str, stratum: Stratum, *, body: str, at: dt.datetime) -> Iterator[dict[str, Any]]:
    # Once for each list: an extension that is used up is news again.
    extensions = RandomizationList.objects.aggregate(last=Max("ordinal"))["last"]
    for person in _people(Role.STATISTICIAN):
        yield {
            "dedupe_key": f"{what}:{stratum.pk}:{extensions}:{person.pk}",
            "recipient": person.email,
            "subject": f"{study()}: a stratum's list is used up",
            "body": body,
            "at": at,
        }


def _people(*roles: Role, site: str | None = None) -> list[User]:
    held = Q(role_grants__role__in=roles, role_grants__ended_at=None)
    if site is not None:
        held &= Q(role_grants__site=site)
    return list(User.objects.filter(held, is_active=True).exclude(email="").distinct().order_by("username"))
