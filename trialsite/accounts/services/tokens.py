"""REST tokens: knox's, made and revoked by unmasked-side commands only, looked up with every request."""

from __future__ import annotations

import datetime as dt

from django.db import connection, transaction
from knox.crypto import hash_token
from knox.models import AuthToken

from trialsite.accounts.models import RoleGrant, User
from trialsite.accounts.services.changes import account_changed, require_manager

LIFETIME = dt.timedelta(days=365)
_OF_HOLDER = [field.attname for field in User._meta.concrete_fields]
_OF_GRANT = ["id", "user_id", "role", "site_id"]
_HOLDER = f"""
    SELECT {", ".join(f"holder.{name}" for name in _OF_HOLDER)},
        {", ".join(f"held.{name}" for name in _OF_GRANT)}
    FROM knox_authtoken AS token
    JOIN accounts_user AS holder ON holder.id = token.user_id
    LEFT JOIN accounts_rolegrant AS held ON held.user_id = holder.id AND held.ended_at IS NULL
    WHERE token.digest = %s AND (token.expiry IS NULL OR token.expiry > %s) AND holder.is_active
    ORDER BY held.role, held.site_id
"""  # noqa: S608 - names of our own columns, no input


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


def holder_of(token: str, *, at: dt.datetime) -> User | None:
    """
    Return the active person whose living token it is, with their roles in force, or None.

    One statement with every request and nothing remembered between two: what was revoked, ended or
    deactivated is gone with the next. The digest is of 256 random bits, so looking it up tells a
    guesser nothing.

    :param at: real time.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HOLDER, [hash_token(token), at])
        rows = cursor.fetchall()
    if not rows:
        return None
    holder = User.from_db(connection.alias, _OF_HOLDER, rows[0][: len(_OF_HOLDER)])
    grants = [row[len(_OF_HOLDER) :] for row in rows]
    holder.know_roles(RoleGrant.from_db(connection.alias, _OF_GRANT, grant) for grant in grants if grant[0])
    return holder
