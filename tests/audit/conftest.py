"""A trail to write to: its keys, its genesis event, and nothing remembered from another test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection

from trialsite.audit import services, signing
from trialsite.audit.kinds import Kind
from trialsite.audit.merkle import Frontier
from trialsite.deployment.initkeys import PUBLIC_KEYS, make_keys

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
ORIGIN = "trial.example/NCT04293692"


@pytest.fixture(scope="session")
def the_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a deployment's keys; the offline ones are in ``offline`` beside it."""
    folder = tmp_path_factory.mktemp("deployment") / "keys"
    make_keys(keys=folder, offline=folder.with_name("offline"), origin=ORIGIN, at=NOON)
    return folder


@pytest.fixture
def a_process(settings: LazySettings, the_keys: Path, tmp_path: Path) -> Iterator[None]:
    """This process holds the public keys and the log's key, and has not read any trail yet."""
    settings.PUBLIC_KEYS_FILE = str(the_keys / PUBLIC_KEYS)
    settings.LOG_KEY_FILE = str(the_keys / "signer" / "log-1.key")
    settings.CHECKPOINT_FILE = str(tmp_path / "checkpoint")
    a_restart()
    yield
    a_restart()


def a_restart() -> None:
    """Forget what the process remembers of a trail, as a process that starts again would."""
    for remembered in (services.genesis, services.public_keys, signing.signer):
        remembered.cache_clear()
    signing._read_up_to = Frontier()


def begin_the_trail() -> None:
    """Record the genesis event."""
    data = {"origin": ORIGIN, "study": "NCT04293692", "evaluation": True, "started_by": "Gerda Genesis"}
    services.record(kind=Kind.GENESIS, by="system:operator", at=NOON, about={}, data=data)


def a_whole_event(kind: Kind, **other: object) -> dict[str, object]:
    """Return the body of an event in clear."""
    clear = {"v": 1, "k": kind.value, "t": "", "at": "", "act": "system:tests", "role": ""}
    return {**clear, "about": {}, "data": {}, **other}


def add_an_event(number: int = 0, *, kind: Kind = Kind.INFUSION_OPENED) -> int:
    """Record an event in clear that any process may write; return its position."""
    return services.record(
        kind=kind, by="system:worker", at=NOON, about={"infusion": f"i-{number}"}, data={"number": number}
    )


@pytest.fixture
def a_trail(a_process: None, db: None) -> Callable[[int], int]:
    """A trail with its genesis event, inside the test's transaction; call it to add an event."""
    begin_the_trail()
    return add_an_event


@pytest.fixture
def a_committed_trail(a_process: None, a_fresh_database) -> Callable[[int], int]:
    """A trail with its genesis event in a database of the test's own; call it to add an event."""
    begin_the_trail()
    return add_an_event


@contextmanager
def an_intruder_with_the_superusers_password() -> Iterator[None]:
    """Inside, the triggers of the trail are off."""
    with connection.cursor() as cursor:
        for table in ("audit_entry", "audit_head"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER audit_is_final")
        yield
        for table in ("audit_entry", "audit_head"):
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER audit_is_final")
