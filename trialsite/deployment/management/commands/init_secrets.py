"""Make the secret files of a compose deployment."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from trialsite.deployment.initsecrets import give_to, make_secrets

CONTAINER_UID = 10001


class Command(BaseCommand):
    help = (
        "Make passwords, secrets and a first set of keys for docker compose, and .env from .env.example. "
        "In a trial each offline key is then replaced by one that its holder made."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--out", type=Path, default=Path("secrets"), metavar="DIR", help="New folder.")
        parser.add_argument("--host", default="postgres", help="PostgreSQL's host, seen from the containers.")
        parser.add_argument("--port", type=int, default=5432, help="PostgreSQL's port.")

    def handle(self, *, out: Path, host: str, port: int, **_options: Any) -> None:
        out = out.absolute()
        try:
            make_secrets(out, host=host, port=port)
        except FileExistsError as error:
            raise CommandError(f"{error.filename} exists; secrets are never replaced.") from None
        offline = out.with_name(f"{out.name}-offline")
        call_command("init_keys", keys=out / "keys", offline=offline, stdout=self.stdout)
        uid = os.geteuid()
        if uid == 0:
            uid = CONTAINER_UID
            give_to(out, uid=uid)
        self._write_environment(settings.BASE_DIR, out=out, uid=uid)

    def _write_environment(self, folder: Path, *, out: Path, uid: int) -> None:
        target = folder / ".env"
        if target.exists():
            self.stdout.write(f".env exists; set there TRIALSITE_UID={uid} and SECRETS={out}.")
            return
        text = (folder / ".env.example").read_text()
        text = text.replace(f"TRIALSITE_UID={CONTAINER_UID}", f"TRIALSITE_UID={uid}")
        text = text.replace(
            "TRIALSITE_DEPLOYMENT=trialsite.local", f"TRIALSITE_DEPLOYMENT={settings.DEPLOYMENT}"
        )
        target.write_text(text.replace("SECRETS=./secrets", f"SECRETS={out}"))
        self.stdout.write(f"Secrets are in {out}; .env names them.")
