"""Celery's doors to the sweeps. They carry no arguments: the rows are the schedule."""

from __future__ import annotations

from celery import shared_task

from supply.services import schedule
from trialsite.clock.services import trial_now


@shared_task
def sweep_windows() -> None:
    """Open the infusions whose window has begun, and close those whose window has ended."""
    at = trial_now()
    schedule.open_windows(at=at)
    schedule.close_windows(at=at)


@shared_task
def expire_kits() -> None:
    """Expire the bags that were not hung in time."""
    schedule.expire_kits(at=trial_now())


@shared_task
def send_reminders() -> None:
    """Remind the sites of infusions that are open or due."""
    schedule.send_reminders(at=trial_now())
