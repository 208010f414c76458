"""Serve an evaluation deployment."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from trialsite.deployment.bring_up import BringUpFailed
from trialsite.deployment.evaluation import FolderUnusable
from trialsite.deployment.postgres import PostgresFailed
from trialsite.deployment.postgres_programs import NoPostgres
from trialsite.deployment.processes import PortUnusable
from trialsite.deployment.serve import InUse, NotReady, Options, serve
from trialsite.deployment.supervisor import DiesRepeatedly


class Command(BaseCommand):
    help = "Set up and serve an evaluation deployment until Ctrl-C, SIGTERM or SIGHUP; all in DIR is kept."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--data", type=Path, required=True, metavar="DIR", help="Folder of the deployment."
        )
        parser.add_argument(
            "--ready-file", type=Path, required=True, metavar="FILE", help="Written when ready."
        )
        parser.add_argument("--capacity", type=int, default=60, metavar="N", help="Slots of each stratum.")
        parser.add_argument("--masked-port", type=int, metavar="PORT", help="Default: a free one.")
        parser.add_argument("--unmasked-port", type=int, metavar="PORT", help="Default: a free one.")
        parser.add_argument("--trial", type=Path, default=Path(settings.TRIAL_FILE), help="The trial file.")

    def handle(self, **options: Any) -> None:
        if options["capacity"] < 1:
            raise CommandError("--capacity is at least 1.")
        try:
            serve(
                Options(
                    data=options["data"],
                    ready_file=options["ready_file"],
                    trial_file=options["trial"],
                    capacity=options["capacity"],
                    ports={face: options[f"{face}_port"] for face in ("masked", "unmasked")},
                )
            )
        except (
            InUse,
            FolderUnusable,
            PortUnusable,
            NotReady,
            BringUpFailed,
            DiesRepeatedly,
            PostgresFailed,
            NoPostgres,
            LookupError,
        ) as error:
            raise CommandError(str(error)) from None
