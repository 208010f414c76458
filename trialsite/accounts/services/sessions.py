"""Work sessions: eight hours at the preparation desk, in real time, on the unmasked face."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from typing import TypedDict

from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db import transaction
from django.http import HttpRequest

from trialsite.accounts.models import User, WorkSession
from trialsite.accounts.services.factors import Purpose, check_code
from trialsite.accounts.services.signatures import SignatureRejected
from trialsite.errors import Refused

LENGTH = dt.timedelta(hours=8)
PREFIX = "irts_"
TOKEN_BYTES = 32


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
    Open a work session and return its token, which is shown once and kept only as a digest.

    Failures are counted by axes against the person and the address, whichever part was wrong.

    :param at: real time.
    :raises SignatureRejected: if password or one-time code is wrong, or too many were.
    """
    credentials = {"username": user.username}
    if authenticate(request, username=user.username, password=password) != user:
        raise SignatureRejected
    with transaction.atomic():
        accepted = check_code(user=user, otp=otp, purpose=Purpose.SESSION, at=at)
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        if accepted:
            WorkSession.objects.create(user=user, digest=_digest(token), opened_at=at, expires_at=at + LENGTH)
    if not accepted:
        # ``authenticate`` knows the password only; the failed code counts towards the lock-out too.
        user_login_failed.send(sender=__name__, credentials=credentials, request=request)
        raise SignatureRejected
    user_logged_in.send(sender=User, request=request, user=user)
    return {"session": token, "expires_at": at + LENGTH}


def require_session(*, user: User, session: str, at: dt.datetime) -> None:
    """
    Return if ``session`` is a living work session of ``user``.

    :param at: real time.
    :raises WorkSessionRequired: otherwise.
    """
    opened = WorkSession.objects.filter(user=user, digest=_digest(session), opened_at__lte=at)
    if not opened.filter(expires_at__gt=at).exists():
        raise WorkSessionRequired("Open a work session first: POST sessions, then send it as X-Session.")


def _digest(token: str) -> bytes:
    # The token is 256 random bits, so a plain digest cannot be guessed back.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
