"""Enrol a second factor."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from trialsite.accounts.services import command_line, factors
from trialsite.clock.services import trial_now


class Command(command_line.PersonalCommand):
    help = (
        "Give a person a new one-time-code secret, in place of any older one. The otpauth URI for their "
        "authenticator is printed this once. FACTOR_KEY_FILE or MASKED_FACTOR_KEY_FILE must name the key of "
        "the face that will check the codes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user")
        command_line.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        by = command_line.manager(options)
        user = command_line.person_named(options["user"])
        secret = factors.enrol(user=user, by=by, at=trial_now())
        self.stdout.write(factors.otpauth_uri(user=user, secret=secret))
