"""``manage.py load_trial [FILE]``: keep the trial file's public part and its sites, or draft an amendment."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from randomization.models import TrialVersion
from randomization.services.amendments import load_amendment
from randomization.services.setup import load_trial
from trialsite import protocol as protocols
from trialsite.clock.services import trial_now
from trialsite.errors import Refused


class Command(BaseCommand):
    help = (
        "Load the trial file; a repeat with the same file does nothing. Once the trial is active, another "
        "file is kept as the draft of an amendment."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default=settings.TRIAL_FILE, help="the trial file (TOML)")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        try:
            protocol = protocols.load(options["file"])
            active = TrialVersion.objects.exclude(activated_at=None).exists()
            load = load_amendment if active else load_trial
            version = load(protocol=protocol, by="system:load_trial", at=trial_now())
        except (protocols.ProtocolError, Refused, OSError) as error:
            raise CommandError(f"{options['file']}: {error}") from None
        draft = " as a draft, to be approved" if version.amends_id and not version.activated_at else ""
        self.stdout.write(f"{version} is loaded{draft}, content hash {version.pk}")
