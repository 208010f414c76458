"""
May anybody be enrolled here now? Asked twice of every screening and randomization.

Once at the beginning, so that a refusal comes before anything is done. And once more after the
event is on the trail, which decides: whoever has appended holds the trail's head to the end of the
transaction, so everything that stands on the trail before is committed and seen, and everything
else comes after it. A pause that is on the trail first therefore wins, and of two who reach for the
last place under a cap one is second and refused, with everything undone. No other lock is needed:
the head serializes randomizations of all strata anyway. The price is one statement each time,
over as many rows as there are strata; an advisory lock of the whole trial would instead be held
through the work of every randomization. No refusal tells anything but its own reason.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import NoReturn

from django.db import connection
from django.db.models import Q

from randomization.domain.enrolment import PAUSED, SUSPENDED, Act, allows
from randomization.models import Allocation, EnrolmentChange
from randomization.selectors import TrialNotActive, protocol_of
from trialsite.errors import Refused
from trialsite.protocol import Protocol

_STANDING = """
    SELECT
        (SELECT content_hash FROM randomization_trialversion
         WHERE activated_at IS NOT NULL ORDER BY activated_at DESC LIMIT 1),
        (SELECT status FROM randomization_enrolmentchange
         WHERE site_id IS NULL ORDER BY number DESC LIMIT 1),
        (SELECT status FROM randomization_enrolmentchange
         WHERE site_id = %s ORDER BY number DESC LIMIT 1),
        (SELECT coalesce(sum(next_slot), 0) FROM randomization_stratum)
            - (SELECT count(*) FROM randomization_spoiledslot)
"""


class EnrolmentPaused(Refused):
    """Nobody is randomized here for the time being; screening goes on."""

    code = "enrolment_paused"


class EnrolmentSuspended(Refused):
    """Nobody is screened or randomized here for the time being."""

    code = "enrolment_suspended"


class EnrolmentClosed(Refused):
    """Enrolment here has ended."""

    code = "enrolment_closed"


class SiteNotActive(Refused):
    """The site has not been opened for enrolment, or is none of the trial's."""

    code = "site_not_active"


class TrialFull(Refused):
    """As many are randomized as the trial file allows in all."""

    code = "trial_full"


class SiteFull(Refused):
    """As many are randomized at the site as the trial file allows there."""

    code = "site_full"


class StratumFull(Refused):
    """As many are randomized in the stratum as the trial file allows in it."""

    code = "stratum_full"


@dataclass(frozen=True)
class Standing:
    """How enrolment stands for a site; ``enrolled`` counts the randomized of all strata and of paper."""

    protocol: Protocol
    content_hash: str
    trial: str | None
    site: str | None
    enrolled: int


def standing(site: str) -> Standing:
    """
    Return how enrolment stands, read in one statement.

    :raises TrialNotActive: before activation.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, [site])
        row = cursor.fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    content_hash, of_trial, of_site, enrolled = row
    if content_hash is None:
        raise TrialNotActive("The trial is not activated yet.")
    return Standing(protocol_of(content_hash), content_hash, of_trial, of_site, int(enrolled))


def status_at(site: str | None, moment: dt.datetime) -> str | None:
    """Return how enrolment stood at the site, or for None in the whole trial; None before it was opened."""
    changes = EnrolmentChange.objects.filter(site=site, at__lte=moment).order_by("number")
    return changes.values_list("status", flat=True).last()


def refuse_unless_open(site: str, act: Act, *, on_paper_at: dt.datetime | None = None) -> Standing:
    """
    Return how enrolment stands, if it stands open for the act at the site.

    :param on_paper_at: of what was done on paper: it is judged by how enrolment stood then.
    :raises TrialNotActive: before activation.
    :raises SiteNotActive: if the site was never opened, or is none of the trial's.
    :raises EnrolmentPaused, EnrolmentSuspended, EnrolmentClosed: as the trial or else the site stands.
    """
    now = standing(site)
    states = [now.trial, now.site]
    if on_paper_at is not None:
        states = [status_at(where, on_paper_at) for where in (None, site)]
    if states[1] is None or site not in {known.code for known in now.protocol.sites}:
        raise SiteNotActive("This site is not open for enrolment.")
    for status in states:
        if not allows(status, act):
            _refuse(status)
    return now


def refuse_beyond_caps(now: Standing, site: str, *, places: int = 1) -> None:
    """
    Return if there are so many places left under the caps of the trial and of the site.

    A participant who was transferred counts where they are now.

    :param places: 1 before the slot is taken, 0 after it.
    :raises TrialFull, SiteFull: if not.
    """
    over = caps_reached(now, site, places=places)
    if "trial_full" in over:
        raise TrialFull("The trial has enrolled as many participants as it may.")
    if "site_full" in over:
        raise SiteFull("This site has enrolled as many participants as it may.")


def caps_reached(
    now: Standing, site: str, *, places: int = 1, counted: Allocation | None = None
) -> list[str]:
    """
    Return which caps leave fewer places: ``trial_full``, ``site_full``. A fact is flagged with them.

    :param counted: an allocation that counts at the site, wherever its participant is now.
    """
    caps = now.protocol.caps
    reached = []
    if caps and caps.trial is not None and now.enrolled + places > caps.trial:
        reached.append(TrialFull.code)
    cap = caps.sites.get(site) if caps else None
    here = Q(participant__site=site) | Q(pk=counted.pk) if counted else Q(participant__site=site)
    if cap is not None and Allocation.objects.filter(here).count() + places > cap:
        reached.append(SiteFull.code)
    return reached


def _refuse(status: str | None) -> NoReturn:
    if status == PAUSED:
        raise EnrolmentPaused("Enrolment is paused.")
    if status == SUSPENDED:
        raise EnrolmentSuspended("Enrolment is suspended.")
    raise EnrolmentClosed("Enrolment is closed.")
