"""Consent: given at screening and again later, by the participant or for them, and withdrawn."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet

from randomization.domain.consent import standing
from randomization.locks import lock_participant
from randomization.models import Consent, Participant
from randomization.selectors import active_trial, participant_visible_to, participant_within_reach
from trialsite.accounts.access import acting_role
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, Refused
from trialsite.ids import new_id
from trialsite.protocol import Protocol
from trialsite.protocol_screening import accepted_consent_versions

Giver = Consent.Giver


class ConsentWithdrawn(Refused):
    """The participant's consent does not stand any more."""

    code = "consent_withdrawn"

    def __init__(self) -> None:
        super().__init__("This participant's consent was withdrawn.")


class ConsentNotGiven(Refused):
    """Consent was given later than that."""

    code = "consent_not_given"

    def __init__(self) -> None:
        super().__init__("This participant had not consented by then.")


@dataclass(frozen=True, kw_only=True)
class Given:
    """
    A consent as it was given.

    :param version: of the information and consent form; "" for the one in force.
    :param given_by: ``participant`` or ``representative``.
    :param relationship: of the representative to the participant.
    """

    version: str = ""
    given_by: str = Giver.PARTICIPANT.value
    relationship: str = ""


def given_consent(stated: Given, *, protocol: Protocol, path: tuple[str, ...] = ()) -> Given:
    """
    Return the consent with its version, if it can be one of this trial's.

    :param path: where the consent stands in the body.
    :raises FieldsInvalid: if the version is unknown or retired, or a representative's relationship
        is missing.
    """
    version = stated.version or protocol.consent_version
    faults = giver_faults(stated.given_by, stated.relationship, path=path)
    if version not in accepted_consent_versions(protocol):
        unknown = "The trial has no such version of the consent, or it is retired."
        faults.append(FieldFault((*path, "version"), "unknown_version", unknown))
    if faults:
        raise FieldsInvalid(*faults)
    return Given(version=version, given_by=stated.given_by, relationship=stated.relationship)


def giver_faults(given_by: str, relationship: str, *, path: tuple[str, ...] = ()) -> list[FieldFault]:
    """Return what is wrong with who consents: a representative is somebody, a participant is themselves."""
    if given_by == Giver.REPRESENTATIVE and not relationship:
        need = "Say how the representative is related to the participant."
        return [FieldFault((*path, "relationship"), "required", need)]
    if given_by == Giver.PARTICIPANT and relationship:
        own = "The participant consents themselves."
        return [FieldFault((*path, "relationship"), "not_a_representative", own)]
    return []


@transaction.atomic
def give_consent(
    *, participant_id: uuid.UUID, given: Given, given_at: dt.datetime, by: User, at: dt.datetime
) -> Consent:
    """
    Record a consent after the first: to a new version, or by the participant after a representative.

    That consent was withdrawn before is no obstacle; what was discontinued with it stays so.

    :param given_at: when it was given.
    :raises trialsite.errors.NotFound: if the participant is not at a site of ``by``.
    :raises FieldsInvalid: if ``given_at`` lies in the future, or as ``given_consent`` does.
    """
    lock_participant(participant_id)
    participant = participant_within_reach(participant_id, by=by, permission=Permission.SCREEN)
    refuse_future(given_at, at=at)
    _, protocol = active_trial()
    given = given_consent(given, protocol=protocol)
    consent = keep_given(participant, given, given_at=given_at, by=by, at=at)
    stands = standing(participant.consents.all())
    assert stands is not None  # noqa: S101 - one was just given
    participant.consent_version = stands.version
    participant.save(update_fields=["consent_version"])
    record_given(consent)
    return consent


def keep_given(
    participant: Participant, given: Given, *, given_at: dt.datetime, by: User, at: dt.datetime
) -> Consent:
    """Keep a consent of a held participant; the caller records it last."""
    return Consent.objects.create(
        id=new_id(),
        participant=participant,
        act=Consent.Act.GIVEN,
        version=given.version,
        giver=given.given_by,
        relationship=given.relationship,
        at=given_at,
        recorded_at=at,
        recorded_by=by,
    )


def record_given(consent: Consent) -> None:
    """Write the event of a consent; the relationship of a representative stays in the record."""
    by, site = consent.recorded_by, consent.participant.site_id
    record(
        kind=Kind.CONSENT_GIVEN,
        by=by,
        at=consent.recorded_at,
        role=acting_role(by, Permission.SCREEN, site=site),
        about={"participant": str(consent.participant_id), "site": site},
        data={"version": consent.version, "given_by": consent.giver, "given_at": timestamp(consent.at)},
    )


def record_withdrawn(consent: Consent) -> None:
    """Write the event of a withdrawal."""
    by, site = consent.recorded_by, consent.participant.site_id
    record(
        kind=Kind.CONSENT_WITHDRAWN,
        by=by,
        at=consent.recorded_at,
        role=acting_role(by, Permission.DISCONTINUE, site=site),
        about={"participant": str(consent.participant_id), "site": site},
        data={
            "given_by": consent.giver,
            "scope": consent.scope,
            "reason": consent.reason,
            "withdrawn_at": timestamp(consent.at),
        },
    )


def refuse_withdrawn(participant: Participant) -> None:
    """
    Return if the consent given last stands.

    :raises ConsentWithdrawn: if it was withdrawn since.
    """
    stands = standing(participant.consents.all())
    if stands is not None and stands.withdrawn_at is not None:
        raise ConsentWithdrawn


def consents_of(participant_id: uuid.UUID, *, by: User) -> QuerySet[Consent]:
    """
    Return the acts of consent of a participant whom ``by`` may see, as they were recorded.

    :raises trialsite.errors.NotFound: if there is no such participant, or only at another site.
    """
    participant = participant_visible_to(by, participant_id)
    return Consent.objects.filter(participant=participant).order_by("recorded_at", "at", "id")


def refuse_future(moment: dt.datetime, *, at: dt.datetime, name: str = "at") -> None:
    """
    Refuse an act that is dated later than now.

    :param name: the field that dates it.
    :raises FieldsInvalid: if ``moment`` is later than ``at``.
    """
    if moment > at:
        raise FieldsInvalid(FieldFault((name,), "in_the_future", "This has not happened yet."))
