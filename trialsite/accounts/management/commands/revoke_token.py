"""Revoke a person's REST tokens."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from trialsite.accounts.services import command_line, tokens
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = "Revoke every REST token of a person, at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")
        command_line.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        by = command_line.manager(options)
        user = command_line.person_named(options["user"])
        count = tokens.revoke_tokens(user=user, by=by, at=trial_now())
        self.stdout.write(f"Revoked: {count} of {user.username}.")
