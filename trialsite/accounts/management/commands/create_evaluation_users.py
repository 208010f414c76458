"""Make the accounts of an evaluation deployment."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from trialsite.accounts.services.evaluation import create_users
from trialsite.clock.services import trial_now


class Command(BaseCommand):
    help = (
        "Make one account for each role, with random password, second factor and token, and write them to a "
        "file that only its owner can read. An existing file is kept. Evaluation deployments only."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--out", type=Path, required=True, help="The file of the accounts' secrets.")
        parser.add_argument("--masked-factor-key", default=settings.MASKED_FACTOR_KEY_FILE)
        parser.add_argument("--unmasked-factor-key", default=settings.FACTOR_KEY_FILE)

    def handle(self, *, out: Path, masked_factor_key: str, unmasked_factor_key: str, **_options: Any) -> None:
        if not settings.EVALUATION:
            raise CommandError("These accounts exist in evaluation deployments only.")
        if out.exists():
            self.stdout.write(f"{out} exists and is kept.")
            return
        fresh = out.with_name(out.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600, exist_ok=False)
        with transaction.atomic():
            users = create_users(at=trial_now(), key_files=[masked_factor_key, unmasked_factor_key])
            fresh.write_text(json.dumps(users, indent=1) + "\n")
        fresh.rename(out)
        self.stdout.write(f"{len(users)} accounts written to {out}.")
