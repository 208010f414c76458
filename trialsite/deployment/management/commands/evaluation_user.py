"""What an evaluation user needs at a shell: token, password and the one-time code of this moment."""

from __future__ import annotations

import json
import shlex
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from trialsite.deployment.evaluation import one_time_code


class Command(BaseCommand):
    help = 'Print shell assignments for acting as one of the evaluation users: eval "$(...)".'
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--ready-file", type=Path, default=Path("var/evaluation.ready.json"))

    def handle(self, *, name: str, ready_file: Path, **_options: Any) -> None:
        try:
            ready = json.loads(ready_file.read_text())
            user = ready["users"][name]
        except FileNotFoundError:
            raise CommandError(f"{ready_file} is not there: run `make serve` first.") from None
        except KeyError:
            raise CommandError(f"There is no {name}; there are {', '.join(ready['users'])}.") from None
        values = {
            "MASKED": f"{ready['masked']}/api/v1",
            "UNMASKED": f"{ready['unmasked']}/api/v1",
            "TOKEN": user["token"],
            "PASSWORD": user["password"],
            "CODE": one_time_code(user["totp_secret"]),
        }
        self.stdout.write("\n".join(f"{key}={shlex.quote(value)}" for key, value in values.items()))
