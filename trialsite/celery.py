"""
Celery, which only wakes: every task finds its work in the database and does it once.

The schedule is static. Messages are JSON and carry opaque ids at most; there is no result backend,
and losing the broker loses nothing: what is due stands in the database.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.beat import Scheduler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trialsite.settings")

from django.conf import settings

app = Celery("trialsite", set_as_current=True)


def _every(seconds: int, task: str) -> dict[str, Any]:
    # A wake-up that waited until the next one is due says nothing new: it lapses.
    return {"task": task, "schedule": seconds, "options": {"expires": seconds}}


app.conf.update(
    broker_url=settings.BROKER_URL,
    broker_connection_retry_on_startup=True,
    accept_content=["json"],
    task_serializer="json",
    # A worker that is killed gives its task back, and every task may run twice.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    result_backend=None,
    task_ignore_result=True,
    task_send_sent_event=False,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    task_soft_time_limit=240,
    task_time_limit=300,
    # Longer than any task, so that Redis does not deliver one again while it runs.
    broker_transport_options={"visibility_timeout": 600},
    timezone="UTC",
    beat_schedule={
        "sweep-windows": _every(60, "supply.tasks.sweep_windows"),
        "send-reminders": _every(60, "supply.tasks.send_reminders"),
        "expire-kits": _every(60, "supply.tasks.expire_kits"),
        "deliver-outbox": _every(15, "trialsite.outbox.tasks.deliver"),
        "heartbeat": _every(15, "trialsite.celery.heartbeat"),
    },
)
app.autodiscover_tasks(["supply", "trialsite.outbox"])

# Set by ``manage.py run_worker``, where worker and beat share one process and its memory.
in_one_process = False


@app.task(name="trialsite.celery.heartbeat")
def heartbeat() -> None:
    """Touch the file that the worker's health check looks at: beat, broker and worker all live."""
    _touch_heartbeat()


class BeatWithHeartbeat(Scheduler):
    """The static scheduler, touching the file that beat's health check looks at."""

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        _touch_heartbeat()
        return super().tick(*args, **kwargs)


def _touch_heartbeat() -> None:
    file = os.environ.get("HEARTBEAT_FILE")
    if file:
        Path(file).touch()


@signals.worker_init.connect
@signals.beat_init.connect
def _refuse_a_broker_that_is_not_shared(**_: Any) -> None:
    if settings.BROKER_URL.startswith("memory:") and not in_one_process:
        # Celery logs an exception of a signal's receiver and goes on; this it cannot go on from.
        raise SystemExit("memory:// is no broker between two processes; set BROKER_URL.")
