"""``manage.py approve_amendment HASH``: a named person approves the draft of an amendment, and signs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from randomization.domain.amendment import differences
from randomization.services.amendments import approve_amendment, draft_and_current
from trialsite.accounts.services import command_line
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = "Show what a loaded amendment changes, and approve it as statistician or as study manager."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("hash", help="the content hash of the version, whole, as load_trial told it")
        parser.add_argument("--show", action="store_true", help="only show what it changes")
        command_line.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        in_force, draft = draft_and_current(options["hash"])
        for line in differences(in_force, draft):
            self.stdout.write(line)
        if options["show"]:
            return
        by = command_line.signer(options)
        approval = approve_amendment(content_hash=options["hash"], by=by, at=trial_now())
        self.stdout.write(f"Approved as {approval.role}; signed by {by}.")
