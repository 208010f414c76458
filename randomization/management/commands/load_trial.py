"""``manage.py load_trial [FILE]``: keep the trial file's public part and its sites."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from randomization.services.setup import load_trial
from trialsite import protocol as protocols
from trialsite.clock.services import trial_now
from trialsite.errors import Refused


class Command(BaseCommand):
    help = "Load the trial file; a repeat with the same file does nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default=settings.TRIAL_FILE, help="the trial file (TOML)")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        try:
            protocol = protocols.load(options["file"])
            version = load_trial(protocol=protocol, by="system:load_trial", at=trial_now())
        except (protocols.ProtocolError, Refused, OSError) as error:
            raise CommandError(f"{options['file']}: {error}") from None
        self.stdout.write(f"{version} is loaded, content hash {version.pk}")
