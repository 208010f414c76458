"""``manage.py activate_amendment HASH``: put an approved amendment in force, signed by a named person."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from randomization.services.amendments import activate_amendment
from trialsite.accounts.services import command_line
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = "Put an amendment in force. Refused without both approvals and a sealed list for each new stratum."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("hash", help="the content hash of the version, whole, as load_trial told it")
        command_line.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        by = command_line.signer(options)
        version = activate_amendment(content_hash=options["hash"], by=by, at=trial_now())
        self.stdout.write(f"{version} is in force; signed by {by}.")
