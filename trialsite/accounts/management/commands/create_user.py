"""Make an account."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from trialsite.accounts.services import command_line, people
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = "Make an account without any role. The password is asked for, or read from standard input."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--full-name", required=True)
        parser.add_argument("--email", default="")
        parser.add_argument("--password-stdin", action="store_true", help="One line of standard input.")
        command_line.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        by = command_line.manager(options)
        password = sys.stdin.readline().rstrip("\n") if options["password_stdin"] else _asked()
        user = people.create_user(
            username=options["username"],
            full_name=options["full_name"],
            email=options["email"],
            password=password,
            by=by,
            at=trial_now(),
        )
        self.stdout.write(f"Account {user.username} made; it has no role yet.")


def _asked() -> str:
    password = getpass.getpass("Password of the new account: ")
    if getpass.getpass("Again: ") != password:
        raise CommandError("The two differ.")
    return password
