"""End a person's role."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from trialsite.accounts.roles import Role
from trialsite.accounts.services import command_line, people
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = "End a person's role; it acts on the next request."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")
        parser.add_argument("role", choices=[role.value for role in Role])
        parser.add_argument("--site", help="The site of a site role.")
        command_line.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        by = command_line.manager(options)
        user = command_line.person_named(options["user"])
        site = command_line.site_named(options["site"])
        people.end_role(user=user, role=Role(options["role"]), site=site, by=by, at=trial_now())
        self.stdout.write(f"Ended: {options['role']} of {user.username}.")
