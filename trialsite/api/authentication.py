"""Who calls: knox's opaque tokens, checked without ever writing."""

from __future__ import annotations

from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from trialsite.accounts.models import User
from trialsite.clock.services import real_now

LONGEST_TOKEN = 256


class BearerToken(TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """
    ``Authorization: Bearer TOKEN``, a token of ``manage.py issue_token``.

    Knox itself deletes expired tokens and may extend living ones while it looks at them. No web
    process may write tokens, so here an expired token is only refused. Roles and ``is_active``
    are read anew with each request: what was taken away is gone at once.
    """

    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        """
        :raises AuthenticationFailed: if the token is unknown, expired or its person inactive; all
            look the same.
        """
        found = self._find(token)
        if found is None or not found.user.is_active:
            raise AuthenticationFailed
        if found.expiry is not None and found.expiry <= real_now():
            raise AuthenticationFailed
        return found.user, found

    def _find(self, token: bytes) -> AuthToken | None:
        if len(token) > LONGEST_TOKEN or not token.isascii():
            return None
        # The digest is of 256 random bits, so looking it up tells a guesser nothing.
        return (
            AuthToken.objects.select_related("user").filter(digest=hash_token(token.decode("ascii"))).first()
        )


def person(request: Request) -> User:
    """Return the signed-in person; for views that only signed-in people reach."""
    if not isinstance(request.user, User):
        raise AuthenticationFailed
    return request.user
