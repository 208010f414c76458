"""
``manage.py install_list DIR``: check and keep the sealed list, or the extension, that was made offline.

It stands here and not in ``randomization`` because it also draws kit numbers for what is added.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from randomization.domain.sealed_list import SealedListInvalid, SealedSlot
from supply.services.activation import install_list
from trialsite.clock.services import trial_now
from trialsite.errors import Refused


class Command(BaseCommand):
    help = "Install the sealed list of DIR, or an extension: slots.jsonl, commitment.note and seed.json."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="what the generator wrote")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        folder: Path = options["folder"]
        try:
            with (folder / "slots.jsonl").open(encoding="utf-8", newline="\n") as file:
                slots = [SealedSlot.from_line(line) for line in file]
            sealed_seed = json.loads((folder / "seed.json").read_bytes())
            note = (folder / "commitment.note").read_text(encoding="utf-8")
            installed = install_list(
                slots=slots,
                commitment_note=note,
                sealed_seed=sealed_seed,
                by="system:install_list",
                at=trial_now(),
            )
        except (SealedListInvalid, Refused, OSError, ValueError) as error:
            raise CommandError(f"{folder}: {error}") from None
        what = f"extension {installed.ordinal}" if installed.ordinal else "the trial's list"
        self.stdout.write(
            f"{installed.leaf_count} slots installed as {what}, root {bytes(installed.root).hex()}"
        )
