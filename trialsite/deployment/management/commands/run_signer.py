"""The signer: dispatches covered bags at the dispatch minutes and signs checkpoints of the trail."""

from __future__ import annotations

import logging
import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.db import OperationalError, connection

from supply.services.dispatch import release_due
from supply.services.lots import publish_readiness
from trialsite.audit.services import GenesisMissing
from trialsite.audit.signing import SigningBusy, TrailRolledBack, sign_checkpoint
from trialsite.clock import services as clock
from trialsite.deployment.checks import refuse_a_wrong_start

TICK_SECONDS = 0.1
SIGN_EVERY_SECONDS = 60
ROUND_EVERY_SECONDS = 1

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Release covered bags at the dispatch minutes and sign checkpoints, until stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--heartbeat", type=Path, help="File that is touched after each round, for the health check."
        )

    def handle(self, *, heartbeat: Path | None, **_options: Any) -> None:
        refuse_a_wrong_start()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        ticks = 0
        while not stop.wait(TICK_SECONDS):
            try:
                self._tick(ticks)
            except OperationalError:
                # The database is away; nothing is lost by asking again, and a restart would not help.
                logger.exception("The database does not answer.")
                connection.close()
            else:
                if heartbeat:
                    heartbeat.touch()
            ticks += 1

    def _tick(self, ticks: int) -> None:
        generation = clock.pending_sweep(swept="signer_swept")
        if generation is not None or ticks % round(ROUND_EVERY_SECONDS / TICK_SECONDS) == 0:
            at = clock.trial_now()
            release_due(at=at)
            publish_readiness(at=at)
        if generation is not None:
            clock.report_swept(swept="signer_swept", generation=generation)
        if ticks % round(SIGN_EVERY_SECONDS / TICK_SECONDS) == 0:
            try:
                sign_checkpoint()
            except GenesisMissing:
                logger.info("There is no trail to sign yet.")
            except SigningBusy:
                logger.info("Another process is signing.")
            except TrailRolledBack:
                # Signing stays stopped; dispatch goes on, for bags expire by the minute.
                logger.critical("The audit trail has gone back; no checkpoint is signed.", exc_info=True)
