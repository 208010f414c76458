"""Issue a REST token."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from typing import Any

from trialsite.accounts.services import command_line, tokens
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = "Issue a REST token. It is printed this once, alone on standard output, and kept as a digest only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")
        parser.add_argument("--days", type=int, default=tokens.LIFETIME.days, help="How long it lives.")
        command_line.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        by = command_line.manager(options)
        user = command_line.person_named(options["user"])
        lifetime = dt.timedelta(days=options["days"])
        self.stdout.write(tokens.issue_token(user=user, by=by, at=trial_now(), lifetime=lifetime))
