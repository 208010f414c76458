"""
The one way to write the audit trail: an event, appended in the transaction of its effect.

Call these as late in the transaction as you can: appending takes the lock of the tree's head,
which orders all events, and a lock taken late is held briefly.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from django.conf import settings
from django.db import connection

from trialsite.audit.canonical import canonical
from trialsite.audit.kinds import Kind
from trialsite.clock.services import real_now
from trialsite.errors import FieldFault, FieldsInvalid
from trialsite.sealing import PublicKeys, seal_body

EVENT_VERSION = 1
# As canonical JSON: what stands around a reason in a sealed body must fit its one size too.
LONGEST_REASON_BYTES = 1350


class Person(Protocol):
    """Whoever acts: named on the trail by an opaque id."""

    @property
    def id(self) -> uuid.UUID: ...


class GenesisMissing(Exception):
    """The trail has no first event. Start one by explicit command only: a lost trail is an alarm."""


def record(
    *,
    kind: Kind,
    by: Person | str,
    at: dt.datetime,
    about: Mapping[str, str],
    data: Mapping[str, Any] | None = None,
    role: str = "",
) -> int:
    """
    Append an event in clear and return its position in the tree.

    :param by: the person, or ``"system:NAME"`` for a process.
    :param at: trial time of the act; the transaction's real time is added here.
    :param about: opaque identifiers of what the act was about.
    :param data: what happened; nothing that depends on an arm.
    :raises django.db.Error: if this database login may not write the kind.
    """
    return _append(
        kind,
        {
            "v": EVENT_VERSION,
            "k": kind.value,
            "t": timestamp(real_now()),
            "at": timestamp(at),
            "act": by if isinstance(by, str) else str(by.id),
            "role": role,
            "about": dict(about),
            "data": dict(data or {}),
        },
    )


def check_reason(reason: str) -> None:
    """
    Return if a reason in a person's words fits a sealed body of the one size.

    :raises FieldsInvalid: otherwise.
    """
    if len(canonical(reason)) > LONGEST_REASON_BYTES:
        raise FieldsInvalid(FieldFault(("reason",), "max_length", "Say it in fewer words."))


def record_sealed(*, kind: Kind, event_id: uuid.UUID, at: dt.datetime, body: Mapping[str, Any]) -> int:
    """
    Append an event whose whole body only the auditor and the safety desk can read.

    Neither actor nor participant stands in clear, and every body has the same size, so that a
    request, a denial, a reveal and a read cannot be told apart (docs/specs/sealed.md).

    :raises trialsite.sealing.BodyTooLarge: if ``body`` does not fit the one size.
    """
    keys = public_keys()
    sealed = seal_body(
        {**body, "at": timestamp(at)},
        event_id=event_id,
        study=study(),
        at=real_now(),
        recipients=(keys.auditor, keys.safety_desk),
    )
    return _append(
        kind,
        {
            "v": EVENT_VERSION,
            "k": kind.value,
            "t": timestamp(real_now()),
            "id": str(event_id),
            "sealed": sealed,
        },
    )


def timestamp(moment: dt.datetime) -> str:
    """Return RFC 3339 in UTC with milliseconds, the one form of a time on the trail."""
    utc = moment.astimezone(dt.UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


@cache
def public_keys() -> PublicKeys:
    """Return the deployment's public keys, read once."""
    return PublicKeys.load(settings.PUBLIC_KEYS_FILE)


@cache
def genesis() -> dict[str, Any]:
    """
    Return the data of the trail's first event: ``origin``, ``study`` and ``evaluation``.

    :raises GenesisMissing: if there is none.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT genesis_data()")
        row = cursor.fetchone()
    if row is None or row[0] is None:
        raise GenesisMissing("The audit trail has no genesis event.")
    # Django lets jsonb through as text, for its own JSON fields to read.
    return dict(json.loads(row[0]))


def study() -> str:
    """Return the protocol identifier that the trail was started for."""
    return str(genesis()["study"])


def _append(kind: Kind, event: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT append_audit_event(%s, %s)", [kind.value, canonical(event)])
        row = cursor.fetchone()
    assert row is not None  # noqa: S101 - the function returns a position or raises
    return int(row[0])
