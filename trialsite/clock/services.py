"""
The two clocks, read at the edges only and passed inwards as ``at=``.

Trial time decides windows, expiry and visit times. Real time decides one-time codes, tokens,
sessions, lock-out, checkpoints and the transaction time on the trail. They differ in an
evaluation deployment only.
"""

from __future__ import annotations

import datetime as dt
import time

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from trialsite.clock.models import TrialClock
from trialsite.errors import Refused

SWEEP_WAIT_SECONDS = 60
MOST_ADVANCE_SECONDS = 400 * 24 * 3600


class ClockNotMovable(Refused):
    """Only an evaluation deployment has a movable clock."""

    code = "clock_not_movable"
    status = 404


class SweepsNotFinished(Refused):
    """The clock has moved, and a sweeping process did not report in time; ask again."""

    code = "sweeps_not_finished"
    status = 503


def real_now() -> dt.datetime:
    """Return real time, UTC."""
    return timezone.now()  # noqa: TID251 - this is the edge


def trial_now() -> dt.datetime:
    """Return trial time, UTC: real time, and in evaluation the clock's offset on top."""
    if not settings.EVALUATION:
        return real_now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT offset_seconds FROM clock_trialclock")
        (offset,) = cursor.fetchone() or (0,)
    return real_now() + dt.timedelta(seconds=offset)


def advance(*, seconds: int) -> int:
    """
    Move trial time forwards by ``seconds`` and return the clock's new generation.

    :raises ClockNotMovable: outside evaluation, or when the step is not forwards and bounded.
    """
    if not settings.EVALUATION or not 0 <= seconds <= MOST_ADVANCE_SECONDS:
        raise ClockNotMovable("The trial clock of an evaluation deployment moves forwards only.")
    with transaction.atomic():
        clock = TrialClock.objects.select_for_update().get()
        clock.offset_seconds += seconds
        clock.generation += 1
        clock.save(update_fields=["offset_seconds", "generation"])
        return clock.generation


def wait_for_sweeps(*, generation: int) -> None:
    """
    Return when the signer and the worker have swept up to ``generation``.

    :raises SweepsNotFinished: after SWEEP_WAIT_SECONDS.
    """
    deadline = time.monotonic() + SWEEP_WAIT_SECONDS
    while time.monotonic() < deadline:
        clock = TrialClock.objects.get()
        if min(clock.signer_swept, clock.worker_swept) >= generation:
            return
        time.sleep(0.02)
    raise SweepsNotFinished("The clock has moved; the due sweeps have not all been reported yet.")


def pending_sweep(*, swept: str) -> int | None:
    """Return the generation that the sweeper (field name ``swept``) has still to sweep, or None."""
    clock = TrialClock.objects.exclude(**{f"{swept}__gte": F("generation")}).first()
    return clock.generation if clock else None


def report_swept(*, swept: str, generation: int) -> None:
    """Record that the sweeper (field name ``swept``) has finished the sweeps of ``generation``."""
    TrialClock.objects.filter(**{f"{swept}__lt": generation}).update(**{swept: generation})
