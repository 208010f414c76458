"""
Envelopes of a site's emergency list, entered once the system can be reached again.

While it was down, the unmasked pharmacy opened envelopes in their order and told the investigator
their randomization numbers. What happened then is a fact and is recorded whatever the system would
have said; only the order is kept here as everywhere: the slots of a list are used one after the
other. Nothing is opened, and no refusal tells how many envelopes there are or are left; whoever
tries every number could count them by their refusals (docs/known-limits.md).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Final

from django.db import transaction
from django.db.models import Case, CharField, F, Max, Q, QuerySet, Value, When, Window
from django.db.models.functions import Coalesce

from randomization.domain.enrolment import Act, allows
from randomization.locks import lock_participant
from randomization.models import Allocation, Participant, Slot, SpoiledSlot, Stratum
from randomization.selectors import participants_ever_at_sites_of
from randomization.services.assignment import AlreadyRandomized, StratumMismatch, locked_stratum
from randomization.services.deviations import deviations
from randomization.services.enrolment_gate import SiteNotActive, caps_reached, standing, status_at
from randomization.services.notices import notify_of_last_slot
from trialsite.accounts.access import acting_role, at_sites, require, sites_of
from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, NotFound, Refused


class NoEmergencyList(Refused):
    """No list was reserved for the site."""

    code = "no_emergency_list"

    def __init__(self) -> None:
        super().__init__("This site has no envelopes for the time when the system is down.")


class EnvelopeUnknown(Refused):
    """
    The number is on no envelope of the site.

    One answer for a slip of the pen, another site's number, one of the live list, and one beyond
    the end of the list: the list's length is not told.
    """

    code = "envelope_unknown"

    def __init__(self) -> None:
        super().__init__("No envelope of this site has this randomization number.")


class EnvelopeEntered(Refused):
    """The envelope was entered before, for a participant or as spoiled."""

    code = "envelope_already_entered"

    def __init__(self) -> None:
        super().__init__("This envelope has been entered before.")


class EarlierEnvelopeFirst(Refused):
    """Envelopes are entered in the order in which they lay: the ledger has it, and the numbers do not."""

    code = "earlier_envelope_first"

    def __init__(self) -> None:
        super().__init__(
            "An envelope of this site that comes before this one is not entered yet. Enter the lines of the"
            " ledger in their order; if one was used for nobody, enter it as spoiled."
        )


_BEFORE_CONSENT: Final = (
    "Consent was given later. If one of the times is wrong, correct it. If it was so, send"
    ' "before_consent": true: it is entered, and reported as randomized in error.'
)


@transaction.atomic
def take_envelope(
    *,
    participant: Participant,
    number: str,
    levels: Mapping[str, str],
    randomized_at: dt.datetime,
    reason: str,
    before_consent: bool,
    by: User,
    at: dt.datetime,
) -> Allocation:
    """
    Give the participant the slot whose envelope was opened for them; the caller writes the event.

    The slot must be the next of its list. The participant's own stratum is confirmed and kept as
    screening found it; the stratum used is the emergency list.

    :param number: the randomization number on the envelope.
    :param levels: the participant's stratum, as the investigator confirms it.
    :param randomized_at: when it was opened, as the paper states.
    :param reason: why it was done on paper.
    :param before_consent: whether ``by`` confirms that consent was given later, if it was.
    :raises trialsite.accounts.access.NotPermitted: if ``by`` may not randomize at the site.
    :raises AlreadyRandomized: if the participant holds a slot; nothing is entered.
    :raises StratumMismatch: if the levels are not those that screening found.
    :raises FieldsInvalid: if ``randomized_at`` is a time at which it cannot have been.
    :raises NoEmergencyList, EnvelopeUnknown, EnvelopeEntered, EarlierEnvelopeFirst: see there.
    """
    require(by, Permission.RANDOMIZE, site=participant.site_id)
    lock_participant(participant.pk)
    # Whoever was transferred since was randomized where they were then.
    earlier = participant.transfers.values_list("from_site", flat=True)
    # First of all: a line that is sent again is told that it was entered, not to spoil its envelope.
    slot = _next_envelope([participant.site_id, *earlier], number)
    if Allocation.objects.filter(participant=participant).exists():
        raise AlreadyRandomized(
            "This participant is already randomized. Nothing was entered. If the envelope was opened for"
            " them, enter it as spoiled."
        )
    if dict(levels) != participant.stratum_levels:
        raise StratumMismatch("The confirmed stratum is not the one that screening found.")
    if randomized_at < participant.consented_at and not before_consent:
        raise _impossible("randomized_at", "before_consent", _BEFORE_CONSENT)
    _check_time(slot, randomized_at, name="randomized_at", at=at)
    _move_over(slot, at=at)
    return Allocation.objects.create(
        participant=participant,
        slot=slot,
        stratum=slot.stratum,
        position=slot.position,
        randomization_number=slot.randomization_number,
        randomized_at=randomized_at,
        randomized_by=by,
        paper_reason=reason,
        entered_at=at,
    )


def stood_against(allocation: Allocation) -> list[str]:
    """
    Return the codes of what would have stood against a randomization on paper, which is a fact.

    The participant, and how enrolment stood at the envelope's site, are judged at the time on the
    paper, the caps of that site now, with this one counted.
    """
    site = allocation.stratum.site_id
    assert site is not None  # noqa: S101 - envelopes are of lists that were reserved for a site
    found = deviations(allocation.participant)
    for where in (None, site):
        status = status_at(where, allocation.randomized_at)
        if status is None and where is not None:
            found.append(SiteNotActive.code)
        elif status is not None and not allows(status, Act.RANDOMIZE):
            found.append(f"enrolment_{status}")
    full = caps_reached(standing(site), site, places=0, counted=allocation)
    return [*dict.fromkeys(found), *full]


@transaction.atomic
def enter_spoiled_envelope(
    *, site: str, randomization_number: str, spoiled_at: dt.datetime, reason: str, by: User, at: dt.datetime
) -> SpoiledSlot:
    """
    Record that an envelope was used up and nobody was randomized with it: its slot is void.

    :param spoiled_at: as the paper states it.
    :raises trialsite.errors.NotFound: if the site is not one where ``by`` may randomize.
    :raises FieldsInvalid: if ``spoiled_at`` is a time at which it cannot have been.
    :raises NoEmergencyList, EnvelopeUnknown, EnvelopeEntered, EarlierEnvelopeFirst: see there.
    """
    require(by, Permission.RANDOMIZE)
    if not at_sites(Site.objects.filter(pk=site), by, Permission.RANDOMIZE, site="pk").exists():
        raise NotFound("There is no such site.")
    slot = _next_envelope([site], randomization_number)
    _check_time(slot, spoiled_at, name="spoiled_at", at=at)
    _move_over(slot, at=at)
    spoiled = SpoiledSlot.objects.create(
        slot=slot, reason=reason, spoiled_at=spoiled_at, entered_at=at, recorded_by=by
    )
    record(
        kind=Kind.SLOT_SPOILED,
        by=by,
        role=acting_role(by, Permission.RANDOMIZE, site=site),
        at=at,
        about={
            "site": site,
            "stratum": slot.stratum_id,
            "randomization_number": slot.randomization_number,
        },
        data={"slot": slot.position, "spoiled_at": timestamp(spoiled_at), "reason": reason},
    )
    return spoiled


def _next_envelope(sites: Iterable[str], number: str) -> Slot:
    """Return the slot of that number, its stratum held, if it is the next of its list."""
    reserved = Stratum.objects.filter(site__in=sites)
    if not reserved.exists():
        raise NoEmergencyList
    slots = Slot.objects.select_related("list").filter(stratum__in=reserved)
    slot = slots.filter(randomization_number=number.strip().upper()).first()
    if slot is None:
        raise EnvelopeUnknown
    slot.stratum = locked_stratum(slot.stratum_id)
    if slot.position < slot.stratum.next_slot:
        raise EnvelopeEntered
    if slot.position > slot.stratum.next_slot:
        raise EarlierEnvelopeFirst
    return slot


def _check_time(slot: Slot, stated: dt.datetime, *, name: str, at: dt.datetime) -> None:
    if stated > at:
        raise _impossible(name, "in_the_future", "The time on the paper is before now.")
    if stated < slot.list.installed_at:
        raise _impossible(name, "before_list", "The envelopes were made later.")


def _impossible(name: str, code: str, detail: str) -> FieldsInvalid:
    return FieldsInvalid(FieldFault((name,), code, detail))


def _move_over(slot: Slot, *, at: dt.datetime) -> None:
    Stratum.objects.filter(pk=slot.stratum_id).update(next_slot=slot.position + 1)
    if slot.position == slot.stratum.length - 1:
        notify_of_last_slot(slot.stratum, at=at)


RANDOMIZED, SPOILED, UNUSED = "randomized", "spoiled", "unused"
STATES: Final = (RANDOMIZED, SPOILED, UNUSED)


def envelopes_visible_to(by: User) -> QuerySet[Slot]:
    """
    Return every envelope of the sites that the person keeps envelopes of, in their order.

    For the unmasked pharmacy, which has them all on paper: how many there are is seen.
    """
    return _told(at_sites(_envelopes(), by, Permission.SEE_EMERGENCY_LIST, site="stratum__site"))


def entered_envelopes_visible_to(by: User) -> QuerySet[Slot]:
    """
    Return the envelopes that were entered, of the sites whose enrolment the person sees, in order.

    Also those of another site's list whose participant is or was at a site of theirs: whoever was
    transferred before the entry is entered by the site to which they went.

    ``latest_time`` is the latest paper time up to each in its list: one that is later than its own
    says that they were not opened in their order, or that a time is wrong. What is not entered is
    not told, so that nobody masked can count what is left.
    """
    entered = _envelopes().filter(position__lt=F("stratum__next_slot"))
    latest = Window(Max("paper_time"), partition_by="stratum", order_by="position")
    sites = sites_of(by, Permission.SEE_ENROLMENT)
    if sites is not None:
        people = participants_ever_at_sites_of(by, Permission.SEE_ENROLMENT)
        entered = entered.filter(Q(stratum__site__in=sites) | Q(allocation__participant__in=people))
    return _told(entered).annotate(latest_time=latest)


def _envelopes() -> QuerySet[Slot]:
    return Slot.objects.filter(stratum__site__isnull=False).order_by("stratum__ordinal", "position")


def _told(slots: QuerySet[Slot]) -> QuerySet[Slot]:
    state = Case(
        When(allocation__isnull=False, then=Value(RANDOMIZED)),
        When(spoiledslot__isnull=False, then=Value(SPOILED)),
        default=Value(UNUSED),
        output_field=CharField(),
    )
    return slots.annotate(
        state=state,
        envelope=F("position") + 1,
        site=F("stratum__site"),
        participant=F("allocation__participant"),
        screening_number=F("allocation__participant__screening_number"),
        paper_time=Coalesce("allocation__randomized_at", "spoiledslot__spoiled_at"),
        reason=Coalesce("allocation__paper_reason", "spoiledslot__reason"),
        entered_at=Coalesce("allocation__entered_at", "spoiledslot__entered_at"),
        entered_by=Coalesce("allocation__randomized_by__username", "spoiledslot__recorded_by__username"),
    )
