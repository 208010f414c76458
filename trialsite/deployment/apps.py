"""The deployment app: what a process may start with."""

from typing import Any

from celery import signals
from django.apps import AppConfig


class DeploymentConfig(AppConfig):
    name = "trialsite.deployment"
    label = "deployment"

    def ready(self) -> None:
        from trialsite.deployment import checks  # noqa: F401 - registers them

        # A web process is refused by trialsite.deployment.web, a command by its own call.
        signals.worker_init.connect(refuse_a_wrong_worker, weak=False)
        signals.beat_init.connect(refuse_a_wrong_worker, weak=False)


def refuse_a_wrong_worker(**_: Any) -> None:
    """Refuse a Celery process that this database or this environment is not for."""
    from trialsite.deployment.checks import refuse_a_wrong_start

    try:
        refuse_a_wrong_start()
    except Exception as error:
        # Celery logs an exception of a signal's receiver and goes on; this it cannot go on from.
        raise SystemExit(f"{type(error).__name__}: {error}") from None
