"""REST tokens: knox's, made and revoked by unmasked-side commands only."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from knox.models import AuthToken

from trialsite.accounts.models import User
from trialsite.accounts.services.changes import account_changed, require_manager

LIFETIME = dt.timedelta(days=365)


def issue_token(*, user: User, by: User | str, at: dt.datetime, lifetime: dt.timedelta = LIFETIME) -> str:
    """
    Return a new token of ``user``; it is shown this once and kept only as a digest.

    :param at: trial time, for the trail; the token itself lives in real time.
    :raises NotPermitted: if ``by`` is a person who may not manage people.
    """
    require_manager(by)
    with transaction.atomic():
        _, token = AuthToken.objects.create(user, expiry=lifetime)
        account_changed("token_issued", user=user, by=by, at=at)
    return str(token)


def revoke_tokens(*, user: User, by: User | str, at: dt.datetime) -> int:
    """
    Take every token of ``user`` away, at once and for good; return how many there were.

    :raises NotPermitted: if ``by`` is a person who may not manage people.
    """
    require_manager(by)
    with transaction.atomic():
        revoked = int(AuthToken.objects.filter(user=user).delete()[0])
        account_changed("tokens_revoked", user=user, by=by, at=at)
    return revoked
