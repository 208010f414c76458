"""Celery's door to the outbox."""

from __future__ import annotations

from celery import shared_task

from trialsite.clock.services import trial_now
from trialsite.outbox import services


@shared_task
def deliver() -> None:
    """Send the e-mail that is due."""
    services.deliver_due(at=trial_now())
