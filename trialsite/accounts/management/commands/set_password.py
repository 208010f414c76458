"""Replace a password."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from trialsite.accounts.services import command_line, people
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = "Replace a person's password. The new one is asked for, or read from standard input."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")
        parser.add_argument("--password-stdin", action="store_true", help="One line of standard input.")
        command_line.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        by = command_line.manager(options)
        user = command_line.person_named(options["user"])
        stdin = options["password_stdin"]
        password = sys.stdin.readline().rstrip("\n") if stdin else getpass.getpass("New password: ")
        people.set_password(user=user, password=password, by=by, at=trial_now())
        self.stdout.write(f"Password of {user.username} replaced.")
