"""Make a set of keys for an evaluation deployment."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from trialsite import protocol
from trialsite.clock.services import real_now
from trialsite.deployment.initkeys import make_keys


class Command(BaseCommand):
    help = "Make keys for an evaluation: a folder for each process, and the offline keys in their own."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--keys", type=Path, required=True, help="New folder for the processes' keys.")
        parser.add_argument("--offline", type=Path, required=True, help="Folder for the offline keys.")
        parser.add_argument("--trial", default=settings.TRIAL_FILE, help="The trial file.")

    def handle(self, *, keys: Path, offline: Path, trial: str, **_options: Any) -> None:
        origin = f"{settings.DEPLOYMENT}/{protocol.load(trial).protocol}"
        try:
            make_keys(keys=keys, offline=offline, origin=origin, at=real_now())
        except FileExistsError as error:
            raise CommandError(f"{error.filename} exists; keys are never replaced.") from None
        self.stdout.write(f"Keys of {origin} are in {keys}, the offline ones in {offline}.")
