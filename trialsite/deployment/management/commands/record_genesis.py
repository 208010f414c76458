"""Start the audit trail: its first event, by explicit command only."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from trialsite import protocol
from trialsite.audit import notes
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Head
from trialsite.audit.services import public_keys, record
from trialsite.clock.models import TrialClock
from trialsite.clock.services import real_now


class Command(BaseCommand):
    help = (
        "Start the audit trail with its genesis event. Done once, before anything else. A deployment that is "
        "started as an evaluation stays one for good: a production process refuses its database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--by", required=True, help="Name of the person who starts the trail.")
        parser.add_argument("--trial", default=settings.TRIAL_FILE, help="The trial file.")

    def handle(self, *, by: str, trial: str, **_options: Any) -> None:
        study = protocol.load(trial).protocol
        origin = f"{settings.DEPLOYMENT}/{study}"
        key = notes.VerifierKey.parse(public_keys().log).name
        if key != origin:
            raise CommandError(f"The log key is {key}'s and the trail would be {origin}'s.")
        with transaction.atomic():
            if Head.objects.get().size:
                raise CommandError("The trail has its genesis event already.")
            TrialClock.objects.get_or_create(id=True)
            record(
                kind=Kind.GENESIS,
                by="system:operator",
                at=real_now(),
                about={},
                data={
                    "origin": origin,
                    "study": study,
                    "evaluation": settings.EVALUATION,
                    "started_by": by,
                },
            )
        self.stdout.write(f"The trail of {study} has begun.")
