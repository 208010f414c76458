"""Work sessions: eight hours at the preparation desk, in real time, on the unmasked face."""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from typing import TypedDict

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from trialsite.accounts.models import User, WorkSession
from trialsite.accounts.services.factors import Purpose, check_code
from trialsite.accounts.services.signatures import SignatureRejected
from trialsite.errors import Refused

LENGTH = dt.timedelta(hours=8)
PREFIX = "irts_"
TOKEN_BYTES = 32
_SALT = "trialsite.accounts.services.sessions"


class WorkSessionRequired(Refused):
    """The call needs a living work session of the same person beside the token."""

    code = "work_session_required"
    status = 403


class OpenedSession(TypedDict):
    session: str
    expires_at: dt.datetime


def open_session(
    *, request: HttpRequest, user: User, password: str, otp: str, at: dt.datetime
) -> OpenedSession:
    """
    Open a work session and return its token, which is shown once and kept only as a keyed digest.

    Failures are counted by axes against the person and the address, whichever part was wrong.

    :param at: real time.
    :raises SignatureRejected: if password or one-time code is wrong, or too many were.
    """
    credentials = {"username": user.username}
    if authenticate(request, username=user.username, password=password) != user:
        raise SignatureRejected
    with transaction.atomic():
        accepted = check_code(user=user, otp=otp, purpose=Purpose.SESSION, at=at)
        token, expires_at = PREFIX + secrets.token_urlsafe(TOKEN_BYTES), at + LENGTH
        if accepted:
            digest = keyed_digest(token, user=user, expires_at=expires_at)
            WorkSession.objects.create(user=user, digest=digest, opened_at=at, expires_at=expires_at)
    if not accepted:
        # ``authenticate`` knows the password only; the failed code counts towards the lock-out too.
        user_login_failed.send(sender=__name__, credentials=credentials, request=request)
        raise SignatureRejected
    user_logged_in.send(sender=User, request=request, user=user)
    return {"session": token, "expires_at": expires_at}


def require_session(*, user: User, session: str, at: dt.datetime) -> None:
    """
    Return if ``session`` is a living work session of ``user``.

    :param at: real time.
    :raises WorkSessionRequired: otherwise.
    """
    living = WorkSession.objects.filter(user=user, opened_at__lte=at, expires_at__gt=at)
    if not any(_is_of(opened, session) for opened in living):
        raise WorkSessionRequired("Open a work session first: POST sessions, then send it as X-Session.")


def keyed_digest(token: str, *, user: User, expires_at: dt.datetime, secret: str | None = None) -> bytes:
    """
    Return the HMAC-SHA-256 that is kept of a session, bound to its person and its end.

    Keyed with what only this face's processes hold: whoever can write the database can neither
    make a session up nor lengthen one or hand it to somebody else.

    :param secret: the Django secret key to use; None for the present one.
    """
    end = expires_at.astimezone(dt.UTC).isoformat(timespec="microseconds")
    message = f"{token}|{user.pk}|{end}".encode("utf-8", "surrogatepass")
    return salted_hmac(_SALT, message, secret=secret, algorithm="sha256").digest()


def _is_of(opened: WorkSession, token: str) -> bool:
    secrets_in_use = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any(
        hmac.compare_digest(
            keyed_digest(token, user=opened.user, expires_at=opened.expires_at, secret=secret),
            bytes(opened.digest),
        )
        for secret in secrets_in_use
    )
