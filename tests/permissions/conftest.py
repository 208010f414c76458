"""One trial with a thing of every kind at PUREN, and a person of every role there and elsewhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from rest_framework.test import APIClient

from randomization.models import Correction, RandomizationError, ScreeningRevision, Slot, Unblinding
from randomization.services.emergency import enter_spoiled_envelope
from randomization.services.screening_revisions import state_of
from supply.models import Infusion, Kit, KitNumber, Lot, Preparation
from supply.services import desk, enrolment, ordering
from tests.people import a_person
from tests.permissions.expected import COLUMNS, OF_A_SITE
from tests.world import World, a_participant, a_world, forget_what_processes_remember
from trialsite.accounts.models import User, WorkSession
from trialsite.accounts.roles import Role
from trialsite.accounts.services import tokens
from trialsite.accounts.services.sessions import keyed_digest
from trialsite.audit.signing import sign_checkpoint
from trialsite.clock.services import real_now, trial_now

OWN, OTHER = "PUREN", "HANKOU"
SESSION = "irts_a-session-of-the-tests"


@dataclass(frozen=True)
class Place:
    """What the requests are about, and who sends them: column and site -> Authorization header."""

    ids: dict[str, str]
    senders: dict[tuple[str, str], str]
    stratum: dict[str, str]
    # One for all: each client would set up the whole stack of middleware again.
    client: APIClient


@pytest.fixture
def place(db: None, tmp_path: Path, settings: LazySettings) -> Iterator[Place]:
    world = a_world(tmp_path, settings, length=4)
    ids, stratum = things_at_puren(world)
    sign_checkpoint()
    yield Place(ids=ids, stratum=stratum, senders=dict(the_people()), client=APIClient())
    forget_what_processes_remember()


def the_people() -> Iterator[tuple[tuple[str, str], str]]:
    """Make a person for each column and site; yield how they sign in."""
    yield ("anon", OWN), ""
    for column, role in COLUMNS.items():
        if column == "anon":
            continue
        for site in (OWN, OTHER) if column in OF_A_SITE else (OWN,):
            roles = [Role(role)] if role else []
            person = a_person(f"matrix-{column}-{site.lower()}", *roles, site=site)
            a_work_session(person)
            token = tokens.issue_token(user=person, by="system:tests", at=trial_now())
            yield (column, site), f"Bearer {token}"


def a_work_session(person: User) -> None:
    now = real_now()
    end = now + dt.timedelta(hours=1)
    digest = keyed_digest(f"{SESSION}-{person.username}", user=person, expires_at=end)
    WorkSession.objects.create(user=person, digest=digest, opened_at=now, expires_at=end)


def things_at_puren(world: World) -> tuple[dict[str, str], dict[str, str]]:
    """Make a randomized participant, an order taken up, a released kit and a broken code, all at PUREN."""
    investigator, now = world.person("investigator"), trial_now()
    participant = a_participant(world)
    stratum = dict(participant.stratum_levels)
    enrolment.randomize_participant(participant_id=participant.pk, stratum=stratum, by=investigator, at=now)
    known = {"participant": participant, "reason": "x", "recorded_by": investigator}
    Correction.objects.create(pointer="/sex", old="male", new="female", at=now, **known)
    RandomizationError.objects.create(
        kind="ineligible", criteria=["E1"], stratum_used=stratum, known_at=now, recorded_at=now, **known
    )
    state = state_of(participant)
    ScreeningRevision.objects.create(old=state, new=state, at=now, **known)
    envelope = Slot.objects.get(stratum__site=OWN, position=0).randomization_number
    enter_spoiled_envelope(
        site=OWN, randomization_number=envelope, spoiled_at=now, reason="torn", by=investigator, at=now
    )
    first, second, *_ = Infusion.objects.filter(participant=participant).order_by("number")
    ordering.order_infusion(infusion_id=first.pk, by=investigator, at=now, **an_order(now))
    desk.take_up_orders()
    Lot.objects.create(
        site_id=OWN,
        component="cells",
        number="L-0",
        expires_at=now + dt.timedelta(days=9),
        certificate="COA-0",
        received_at=now,
        received_by=world.person("preparer"),
    )
    number = KitNumber.objects.filter(taken=False).order_by("position")[3]
    kit = Kit.objects.create(
        number=number.pk,
        site_id=OWN,
        participant=participant,
        infusion=second,
        status="released",
        released_at=now,
        expires_at=now + dt.timedelta(hours=3),
    )
    unblinding = Unblinding.objects.create(
        participant=participant,
        requested_by=investigator,
        category="emergency",
        reveal_to="requester",
        requested_at=now,
        revealed_at=now,
        intent_position=0,
        reveal_position=1,
    )
    ids = {
        "participant_id": str(participant.pk),
        "infusion_id": str(first.pk),
        "kit_number": kit.pk,
        "preparation_id": str(Preparation.objects.get().pk),
        "unblinding_id": str(unblinding.pk),
    }
    return ids, stratum


def an_order(now: dt.datetime) -> dict[str, Any]:
    return {
        "weight_kg": Decimal("61.5"),
        "weighed_at": now - dt.timedelta(hours=1),
        "needed_at": now + dt.timedelta(hours=2),
        "ward": "ICU",
    }
