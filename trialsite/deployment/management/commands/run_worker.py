"""Worker and beat in one process, for the evaluation deployment."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from celery.beat import EmbeddedService, Scheduler
from django.core.management.base import BaseCommand
from django.db import connection

from supply.services import schedule
from trialsite import celery
from trialsite.clock import services as clock

WATCH_SECONDS = 0.1

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Run Celery's worker and beat in this one process, on memory://. Evaluation only."

    def handle(self, *_args: Any, **_options: Any) -> None:
        celery.in_one_process = True
        # How often the threads look into the shared memory; also how soon they notice the end.
        celery.app.conf.broker_transport_options = {"polling_interval": WATCH_SECONDS}
        stop = threading.Event()
        # ``scheduler_cls`` and not ``beat_scheduler``: the embedded service ignores the latter and
        # writes a schedule file into the working folder.
        beat: Any = EmbeddedService(celery.app, thread=True, scheduler_cls=Scheduler)
        watcher = threading.Thread(target=_sweep_when_the_clock_moves, args=[stop], daemon=True)
        worker = celery.app.Worker(
            pool="threads", concurrency=2, loglevel="INFO", without_gossip=True, without_mingle=True
        )
        beat.start()
        watcher.start()
        try:
            worker.start()
        finally:
            stop.set()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            beat.stop()
            watcher.join(30)


def _sweep_when_the_clock_moves(stop: threading.Event) -> None:
    """Run the due sweeps at once when the trial clock was moved, whose call waits for the report."""
    while not stop.wait(WATCH_SECONDS):
        try:
            generation = clock.pending_sweep(swept="worker_swept")
            if generation is not None:
                schedule.run_all(at=clock.trial_now())
                clock.report_swept(swept="worker_swept", generation=generation)
        except Exception:
            # The call that moved the clock waits for this thread: it tries again, whatever failed.
            logger.exception("The sweeps after the clock moved did not finish.")
            connection.close()
