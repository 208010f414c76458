"""Shut an account."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from trialsite.accounts.services import command_line, people, tokens
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = "Shut an account and revoke its tokens. It is never deleted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")
        command_line.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        by = command_line.manager(options)
        user = command_line.person_named(options["user"])
        people.deactivate_user(user=user, by=by, at=trial_now())
        tokens.revoke_tokens(user=user, by=by, at=trial_now())
        self.stdout.write(f"Account {user.username} shut.")
