"""
The floor of every request that changes the trial: once, whole, or not at all.

``perform`` opens the one durable transaction of a request and writes the idempotency row in it
first. The row's uniqueness makes a second request with the same key wait for the first and then
answer from what it kept (draft-ietf-httpapi-idempotency-key-header-07, 2025). A crash at any point
leaves neither the row nor the effect.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.response import Response

from trialsite.api import errors
from trialsite.api.authentication import person
from trialsite.api.models import IdempotentRequest
from trialsite.audit import services as audit
from trialsite.clock.services import real_now
from trialsite.errors import Refused
from trialsite.outbox import services as outbox

LONGEST_KEY = 255
MOST_TRIES = 5
# serialization_failure, deadlock_detected: the database asks for another try.
_TRY_AGAIN = frozenset({"40001", "40P01"})
_SALT = "trialsite.api.floor"
T = TypeVar("T")


class IdempotencyKeyMissing(Refused):
    """Every POST that changes the trial takes ``Idempotency-Key``."""

    code = "idempotency_key_missing"
    status = 400


class IdempotencyKeyMalformed(Refused):
    """The key is empty, longer than 255 characters or not printable ASCII."""

    code = "idempotency_key_malformed"
    status = 400


class IdempotencyKeyReused(Refused):
    """The key was used before with another body."""

    code = "idempotency_key_reused"
    status = 422


@dataclass(frozen=True)
class Outcome:
    """
    How a request ended.

    ``resource`` names what an unmasked answer can be made from anew; ``body`` of such an answer is
    never kept.
    """

    status: int
    body: dict[str, Any] | None
    resource: str = ""


def perform(
    request: Request, work: Callable[[], Outcome], *, replay: Callable[[str], Outcome] | None = None
) -> Response:
    """
    Run ``work`` once for this person, key and body, and answer what it returned, now and later.

    ``work`` may be run again from its beginning if the database asks for it. Without ``replay``
    the body is kept and repeated byte for byte; with it only ``Outcome.resource`` is kept, and
    ``replay(resource)`` makes the answer anew. The unmasked face keeps no bodies.

    On the masked face a refusal that left facts on the trail is answered again too, so that they
    are recorded once; any other refusal kept nothing, and the same key may be tried again.

    :raises IdempotencyKeyMissing, IdempotencyKeyMalformed: before anything is done.
    :raises IdempotencyKeyReused: if the key came before with another body.
    :raises Refused: what ``work`` raises, after rolling back and recording its events.
    """
    if replay is None and settings.FACE == "unmasked":
        raise TypeError("The unmasked face keeps no answers: give perform a replay.")
    call = _Call(request)

    def once() -> Outcome:
        earlier = call.claim()
        if earlier:
            return call.kept(earlier, replay)
        outcome = work()
        call.keep(outcome, body=replay is None)
        return outcome

    return _respond(_durable(once, refused=call.keep_refusal))


def perform_in_two(
    request: Request,
    *,
    intent: Callable[[], str],
    between: Callable[[str], None],
    effect: Callable[[str], Outcome],
    replay: Callable[[str], Outcome],
) -> Response:
    """
    Run ``intent``, ``between`` and ``effect`` with two durable transactions (an unblinding).

    ``intent`` returns the resource and is committed with the idempotency row before ``between``
    (outside any transaction: sign, open) and ``effect`` (in the second transaction) are run with
    it. After a crash in between the row is there without an answer, and a repeat is a ``replay``.
    ``replay`` runs outside any transaction and uses ``durable`` itself.

    :raises Refused: as ``perform``; a refused repeat is judged anew, never answered from memory.
    """
    call = _Call(request)

    def first() -> tuple[str, bool]:
        earlier = call.claim()
        if earlier:
            return earlier.resource, False
        resource = intent()
        call.write(resource=resource)
        return resource, True

    resource, is_first = durable(first)
    if not is_first:
        return _respond(replay(resource))
    between(resource)

    def second() -> Outcome:
        outcome = effect(resource)
        call.keep(Outcome(outcome.status, None, resource), body=False)
        return outcome

    return _respond(durable(second))


def durable(work: Callable[[], T]) -> T:
    """
    Return what ``work`` returns, run in a durable transaction, again if the database asks for it.

    :raises Refused: what ``work`` raises, after rolling back and recording its events.
    """
    return _durable(work, refused=None)


def _durable(work: Callable[[], T], *, refused: Callable[[Refused], None] | None) -> T:
    for left in reversed(range(MOST_TRIES)):
        try:
            with transaction.atomic(durable=True):
                return work()
        except OperationalError as error:
            if not left or getattr(error.__cause__, "sqlstate", None) not in _TRY_AGAIN:
                raise
            time.sleep(0.01 * (MOST_TRIES - left))
        except Refused as refusal:
            if refusal.events or refusal.messages:
                with transaction.atomic(durable=True):
                    # A message is written once whatever the number of refusals: nothing is kept for it.
                    if refused and refusal.events:
                        refused(refusal)
                    _leave(refusal)
            raise
    raise AssertionError("unreachable: the last try returns or raises")


def _leave(refusal: Refused) -> None:
    for message in refusal.messages:
        outbox.queue(**message)
    for event in refusal.events:
        (audit.record_sealed if "event_id" in event else audit.record)(**event)


class _Call:
    """One request as the idempotency row sees it: whose, under which key, asking what."""

    def __init__(self, request: Request) -> None:
        self._name = (person(request).pk, settings.FACE, _key(request))
        self.message = _message(request)
        # A signature is no part of the comparison, so a refused one must stay repeatable.
        self.signed = "signature" in request.data

    def claim(self) -> IdempotentRequest | None:
        """
        Insert the row, or, after waiting for whoever is inserting it, return theirs.

        :raises IdempotencyKeyReused: if theirs was for another body.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO api_idempotentrequest (user_id, face, key, fingerprint, resource, created_at)"
                " VALUES (%s, %s, %s, %s, '', %s) ON CONFLICT (user_id, face, key) DO NOTHING",
                [*self._name, _fingerprint(self.message), real_now()],
            )
            if cursor.rowcount == 1:
                return None
        user, face, key = self._name
        earlier = IdempotentRequest.objects.get(user=user, face=face, key=key)
        if not self._same(earlier.fingerprint):
            raise IdempotencyKeyReused("This Idempotency-Key was used with another request.")
        return earlier

    def keep(self, outcome: Outcome, *, body: bool) -> None:
        """Write the answer into the claimed row."""
        answer = json.dumps(outcome.body) if body else None
        self.write(status=outcome.status, answer=answer, resource=outcome.resource)

    def write(self, **columns: Any) -> None:
        """Write columns of the claimed row."""
        changes = ", ".join(f"{column} = %s" for column in columns)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE api_idempotentrequest SET {changes}"  # noqa: S608 - names of our own columns
                " WHERE user_id = %s AND face = %s AND key = %s",
                [*columns.values(), *self._name],
            )

    def keep_refusal(self, refusal: Refused) -> None:
        """Keep a refusal that is about to leave facts on the trail, so that it leaves them once."""
        # Which refusal a preparer met may tell what the bag was to hold, so that face keeps none.
        if settings.FACE == "unmasked" or self.signed or refusal.status != 409:
            return
        if self.claim() is None:
            self.keep(Outcome(refusal.status, errors.problem_of(refusal)), body=True)

    def kept(self, row: IdempotentRequest, replay: Callable[[str], Outcome] | None) -> Outcome:
        """Return the answer that was given the first time."""
        status = row.status or 500
        if replay is None or status >= 400:
            # Text and not jsonb, which would give the fields back in another order.
            return Outcome(status, json.loads(row.answer) if row.answer else None)
        return replay(row.resource)

    def _same(self, fingerprint: str) -> bool:
        secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        return any(hmac.compare_digest(_fingerprint(self.message, secret), fingerprint) for secret in secrets)


def _key(request: Request) -> str:
    """
    :raises IdempotencyKeyMissing: without the header.
    :raises IdempotencyKeyMalformed: if it is no 1 to 255 printable ASCII characters.
    """
    key: str | None = request.headers.get("Idempotency-Key")
    if key is None:
        raise IdempotencyKeyMissing("Send an Idempotency-Key, new for each thing that is to happen.")
    if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable() and key.strip()):
        raise IdempotencyKeyMalformed("The Idempotency-Key is 1 to 255 printable ASCII characters.")
    return key


def _message(request: Request) -> bytes:
    """Return what is compared: method, path, and the body without ``signature``, in one spelling."""
    body = {name: value for name, value in dict(request.data).items() if name != "signature"}
    canonical = json.dumps(
        body, sort_keys=True, separators=(",", ":"), default=lambda number: {"n": str(number)}
    )
    return "\n".join([str(request.method), request.path, canonical]).encode()


def _fingerprint(message: bytes, secret: str | None = None) -> str:
    """
    Return the keyed HMAC-SHA-256 of a request, hex.

    Keyed, because a plain hash of a short body (a birth date, a reason) could be guessed back from
    a stolen backup.
    """
    digest = hashlib.sha256(message).digest()
    return salted_hmac(_SALT, digest, secret=secret, algorithm="sha256").hexdigest()


def _respond(outcome: Outcome) -> Response:
    kind = errors.CONTENT_TYPE if outcome.status >= 400 else None
    return Response(outcome.body, status=outcome.status, content_type=kind)
