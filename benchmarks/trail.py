"""One event on the trail, each in a transaction of its own: ``record``, its function, a bare INSERT."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django
import psycopg

from benchmarks.load import Answers
from benchmarks.place import Place
from benchmarks.run import Case, Ratio
from trialsite.audit.canonical import canonical
from trialsite.audit.kinds import Kind

RATIOS = (
    Ratio("record() / append function", "trail/record", "trail/function"),
    Ratio("append function / INSERT", "trail/function", "trail/insert"),
)
DATABASE = "trail"
_KIND = Kind.PARTICIPANT_RANDOMIZED
_ABOUT = {"participant": "p", "stratum": "s", "randomization_number": "R000000"}
_AT = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)


def cases(place: Place, *, seconds: float) -> list[Case]:
    """
    Return the cases of a database of their own, whose masked face this process becomes.

    Called before anything is served, for a database that somebody is connected to cannot be copied.
    """
    place.copy(DATABASE)
    os.environ.update(place.environment(DATABASE))
    django.setup()
    body = canonical(
        {"v": 1, "k": _KIND.value, "t": "", "at": "", "act": "", "role": "", "about": _ABOUT, "data": {}}
    )
    with place.superuser(DATABASE) as connection:
        connection.execute(
            "CREATE TABLE bench_entry (position bigserial PRIMARY KEY, recorded_at timestamptz,"
            " kind varchar(40), leaf bytea, body bytea);"
            "GRANT SELECT, INSERT ON bench_entry TO PUBLIC; GRANT USAGE ON bench_entry_position_seq TO PUBLIC"
        )
    function = "SELECT append_audit_event(%s, %s)"
    insert = (
        "INSERT INTO bench_entry (recorded_at, kind, leaf, body)"
        " VALUES (clock_timestamp(), %s, sha256(%s), %s) RETURNING position"
    )
    return [
        Case("trail/record", partial(_again_and_again, _record, seconds)),
        Case("trail/function", partial(_by_sql, place, function, [_KIND.value, body], seconds)),
        Case("trail/insert", partial(_by_sql, place, insert, [_KIND.value, body, body], seconds)),
    ]


def _record() -> None:
    from trialsite.audit.services import record

    record(kind=_KIND, by="system:benchmarks", at=_AT, about=_ABOUT)


def _by_sql(place: Place, statement: str, given: list[Any], seconds: float) -> Answers:
    with psycopg.connect(place.url(DATABASE), autocommit=True, prepare_threshold=0) as connection:
        return _again_and_again(lambda: connection.execute(statement, given), seconds)


def _again_and_again(work: Callable[[], object], seconds: float) -> Answers:
    answers, begin = Answers(), time.perf_counter()
    while (started := time.perf_counter()) - begin < seconds:
        work()
        answers.seconds.append(time.perf_counter() - started)
    answers.elapsed = time.perf_counter() - begin
    return answers
