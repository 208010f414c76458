"""``manage.py receive_lot``: take a lot into a site's stock, signed by a preparer of the site."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from supply.services.lots import receive_lot
from trialsite.accounts.services import command_line
from trialsite.clock.services import trial_now
from trialsite.errors import Refused


class Command(BaseCommand):
    help = "Receive a lot of a component at a site. Unmasked side only."

    def add_arguments(self, parser: CommandParser) -> None:
        command_line.add_arguments(parser)
        parser.add_argument("--site", required=True, metavar="CODE")
        parser.add_argument("--component", required=True, help="as the trial file names it")
        parser.add_argument("--number", required=True, help="the lot's number")
        parser.add_argument("--expires-at", required=True, metavar="TIME", help="RFC 3339 with offset")
        parser.add_argument("--certificate", required=True, help="reference of the certificate of analysis")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        try:
            lot = receive_lot(
                site=options["site"],
                component=options["component"],
                number=options["number"],
                expires_at=_moment(options["expires_at"]),
                certificate=options["certificate"],
                by=command_line.signer(options),
                at=trial_now(),
            )
        except Refused as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Lot {lot} is in stock at {lot.site_id}.")


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise CommandError("--expires-at must be a time, such as 2027-01-31T18:00:00+08:00.") from None
    if moment.utcoffset() is None:
        raise CommandError("--expires-at needs its offset from UTC.")
    return moment
