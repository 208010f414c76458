"""Give a person a role."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from trialsite.accounts.models import User
from trialsite.accounts.roles import Role
from trialsite.accounts.services import command_line, people
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = "Give a person a role. Two people stand for it: --by signs, --approved-by is the second."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")
        parser.add_argument("role", choices=[role.value for role in Role])
        parser.add_argument("--site", help="The site of a site role.")
        parser.add_argument("--approved-by", required=True, metavar="USER", help="The second person.")
        command_line.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        by = command_line.manager(options)
        # Before the first administrator there is nobody whose account could stand for a name.
        second = options["approved_by"]
        grant = people.grant_role(
            user=command_line.person_named(options["user"]),
            role=Role(options["role"]),
            site=command_line.site_named(options["site"]),
            by=by,
            approved_by=command_line.person_named(second) if isinstance(by, User) else second,
            at=trial_now(),
        )
        self.stdout.write(f"Granted: {grant}. Enrol a second factor if the face that checks it changed.")
