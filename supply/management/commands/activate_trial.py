"""
``manage.py activate_trial``: open the trial for participants, signed by a named person.

It stands here and not in ``randomization`` because it also draws the pool of kit numbers.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from supply.services.activation import activate_trial
from trialsite.accounts.models import User
from trialsite.accounts.services import command_line
from trialsite.accounts.services.factors import DIGITS, STEP_SECONDS, Purpose
from trialsite.accounts.services.signatures import verify_signature
from trialsite.clock.services import real_now, trial_now
from trialsite.errors import Refused

EVALUATION_SIGNER = "statistician"


class Command(BaseCommand):
    help = "Activate the trial. Refused without a sealed list, signed commitment and sealed seed."

    def add_arguments(self, parser: CommandParser) -> None:
        command_line.add_arguments(parser)
        parser.add_argument(
            "--evaluation", action="store_true", help="evaluation only: sign as a person of --users"
        )
        parser.add_argument("--users", type=Path, metavar="FILE", help="evaluation users (JSON)")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        try:
            by = _evaluation_signer(options) if options["evaluation"] else command_line.signer(options)
            version = activate_trial(by=by, at=trial_now())
        except Refused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{version} is active; signed by {by}.")


def _evaluation_signer(options: dict[str, Any]) -> User:
    """Sign as an evaluation person, whose password and secret lie in a file of the evaluation."""
    if not settings.EVALUATION or options["users"] is None:
        raise CommandError("--evaluation needs an evaluation deployment and --users FILE.")
    username = options["by"] or EVALUATION_SIGNER
    document = json.loads(options["users"].read_bytes())
    given = document.get("users", document)[username]
    by = command_line.person_named(username)
    at_real = real_now()
    totp = TOTP(base64.b32decode(given["totp_secret"]), DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303
    otp = totp.generate(int(at_real.timestamp())).decode()
    verify_signature(user=by, password=given["password"], otp=otp, purpose=Purpose.COMMAND, at_real=at_real)
    return by
