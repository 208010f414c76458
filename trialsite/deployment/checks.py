"""
What a process refuses to start with: keys, flags or a broker that its face must not have.

Django runs these checks for commands. A web process and a Celery worker run no checks by
themselves, so ``refuse_a_wrong_start`` is called where they are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

# Which faces may be given which private key.
KEY_HOLDERS = {
    "CODE_BREAK_KEY_FILE": {"unmasked"},
    "LOG_KEY_FILE": {"unmasked", "signer"},
    "IDENTITY_KEY_FILE": {"masked"},
    "FACTOR_KEY_FILE": {"masked", "unmasked"},
}
SERVING = {"masked", "unmasked", "signer", "worker"}
# More than the supervisor's own has, which stands in the code.
SHORTEST_SECRET = 32


@checks.register()
def start_is_allowed(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:  # noqa: ARG001
    """Return an error for each setting that this face must not have, or lacks."""
    return [*_face(), *_keys(), *_evaluation(), *_broker()]


def _face() -> Iterator[checks.CheckMessage]:
    if settings.FACE not in settings.FACES:
        yield checks.Error(f"TRIALSITE_FACE is {settings.FACE!r}.", id="trialsite.E001")
    if settings.FACE in SERVING and len(settings.SECRET_KEY) < SHORTEST_SECRET:
        yield checks.Error(
            f"SECRET_KEY_FILE is not set, or its secret has fewer than {SHORTEST_SECRET} characters.",
            id="trialsite.E002",
        )


def _keys() -> Iterator[checks.CheckMessage]:
    for name, holders in KEY_HOLDERS.items():
        if getattr(settings, name) and settings.FACE in SERVING - holders:
            yield checks.Error(f"The {settings.FACE} process must not be given {name}.", id="trialsite.E003")

    if settings.FACE in KEY_HOLDERS["LOG_KEY_FILE"] and not (
        settings.CHECKPOINT_FILE and Path(settings.CHECKPOINT_FILE).parent.is_dir()
    ):
        yield checks.Error("CHECKPOINT_FILE names no file in an existing folder.", id="trialsite.E008")


def _evaluation() -> Iterator[checks.CheckMessage]:
    if settings.MAIL_DIR and not settings.EVALUATION:
        yield checks.Error("MAIL_DIR keeps mail in files, for evaluation only.", id="trialsite.E004")
    if settings.DEBUG and not settings.EVALUATION:
        yield checks.Error("DEBUG shows what a masked person must not see.", id="trialsite.E005")


def _broker() -> Iterator[checks.CheckMessage]:
    if settings.FACE == "worker" and not settings.BROKER_URL:
        yield checks.Error("BROKER_URL is not set.", id="trialsite.E006")
    if settings.BROKER_URL.startswith("memory:") and not settings.EVALUATION:
        yield checks.Error(
            "memory:// is a broker within one process; worker and beat are separate outside evaluation.",
            id="trialsite.E007",
        )


def refuse_a_wrong_start() -> None:
    """
    Refuse this process if a check fails, or if its database is of the other kind of deployment.

    That a deployment is for evaluation stands in its genesis event for good: its accounts and keys
    are no secrets and its clock moves. It never becomes a trial, nor a trial an evaluation.

    :raises django.core.exceptions.ImproperlyConfigured: with every reason.
    """
    wrong = [str(message.msg) for message in start_is_allowed(None) if message.level >= checks.ERROR]
    if not wrong:
        wrong = list(_of_the_other_kind())
    if wrong:
        raise ImproperlyConfigured(" ".join(wrong))


def _of_the_other_kind() -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT genesis_data() -> 'evaluation' = 'true'::jsonb")
        (evaluation,) = cursor.fetchone() or (None,)
    # The server forks after this: a connection must not be shared with its children.
    connection.close()
    if evaluation is not None and evaluation != settings.EVALUATION:
        kinds = {True: "an evaluation", False: "a trial"}
        yield f"The database is {kinds[evaluation]}'s; this process is for {kinds[settings.EVALUATION]}."
