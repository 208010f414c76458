"""``manage.py print_code_break_envelope``: one participant's paper envelope. Unmasked side only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from randomization.services.paper_envelopes import print_envelope
from trialsite.accounts.services import command_line
from trialsite.clock.services import trial_now
from trialsite.errors import Refused


class Command(BaseCommand):
    help = "Print the code-break envelope of a randomized participant; who printed it is on the trail."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--participant", required=True, metavar="SCREENING_NUMBER")
        parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="a new file (PDF)")
        command_line.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        out: Path = options["out"]
        try:
            # Made first: once the arm is opened, there must be somewhere to put it.
            handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CommandError(f"{out}: {error.strerror}") from None
        try:
            by = command_line.signer(options)
            pdf = print_envelope(screening_number=options["participant"], by=by, at=trial_now())
        except Refused as error:
            raise CommandError(str(error)) from None
        else:
            os.write(handle, pdf)
        finally:
            os.close(handle)
            if not out.stat().st_size:
                out.unlink()
        self.stdout.write(f"Printed to {out}. Seal it unread, then delete the file.")
