"""
``manage.py activate_trial``: open the trial for participants, signed by a named person.

It stands here and not in ``randomization`` because it also draws the pool of kit numbers.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from supply.services.activation import activate_trial
from trialsite.accounts.services import command_line
from trialsite.clock.services import trial_now
from trialsite.errors import Refused


class Command(BaseCommand):
    help = "Activate the trial. Refused without a sealed list, signed commitment and sealed seed."

    def add_arguments(self, parser: CommandParser) -> None:
        command_line.add_arguments(parser)
        parser.add_argument(
            "--sites",
            nargs="+",
            metavar="CODE",
            help="sites that enrol from now on (default: all of the file)",
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        try:
            by = command_line.signer(options)
            version = activate_trial(by=by, at=trial_now(), sites=options["sites"])
        except Refused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{version} is active; signed by {by}.")
