"""Who calls: knox's opaque tokens, checked without ever writing."""

from __future__ import annotations

from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from trialsite.accounts.models import User
from trialsite.accounts.services.tokens import holder_of
from trialsite.clock.services import real_now

LONGEST_TOKEN = 256


class BearerToken(TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """
    ``Authorization: Bearer TOKEN``, a token of ``manage.py issue_token``.

    Knox itself deletes expired tokens and may extend living ones while it looks at them. No web
    process may write tokens, so here an expired token is only refused. Token, roles and ``is_active``
    are read anew with each request: what was taken away is gone at once.
    """

    def authenticate_credentials(self, token: bytes) -> tuple[User, None]:
        """
        :raises AuthenticationFailed: if the token is unknown, expired or its person inactive; all
            look the same.
        """
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise AuthenticationFailed
        holder = holder_of(token.decode("ascii"), at=real_now())
        if holder is None:
            raise AuthenticationFailed
        return holder, None


def person(request: Request) -> User:
    """Return the signed-in person; for views that only signed-in people reach."""
    if not isinstance(request.user, User):
        raise AuthenticationFailed
    return request.user
