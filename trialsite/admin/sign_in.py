"""
Signing in to the admin: user name, password and one-time code in one form, the same words for
every failure.

A wrong code counts for the lock-out as a wrong password does. Nothing is written but the session,
the memory of used codes and the lock-out's own rows.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_login_failed
from django.views.decorators.debug import sensitive_variables

from trialsite.accounts.models import User
from trialsite.accounts.roles import UNMASKED_ROLES, Role, factor_face
from trialsite.accounts.services.factors import Purpose, check_code
from trialsite.clock.services import real_now

NOT_SIGNED_IN = (
    "You are not signed in: what was entered does not match, the account may not use these pages, "
    "or there were too many attempts. Enter a new one-time code, or wait some minutes."
)


def may_enter(user: AbstractBaseUser | AnonymousUser) -> bool:
    """
    Say whether a person may use the admin now: staff, of the masked side in every role, and never
    of the unmasked one, for what was seen there stays seen.

    It is asked at every page, so that a role that was ended or added acts on the next request.
    """
    if not isinstance(user, User) or not user.is_active or not user.is_staff:
        return False
    if factor_face(frozenset(Role(grant.role) for grant in user.roles)) != "masked":
        return False
    return not user.role_grants.filter(role__in=UNMASKED_ROLES).exists()


class _NeverRepeated(forms.TextInput):
    """A field whose value is not written into the page again."""

    def format_value(self, value: Any) -> None:  # noqa: ARG002 - Django's signature
        return None


class SignInForm(AuthenticationForm):
    """The sign-in of the admin."""

    otp = forms.CharField(
        label="One-time code",
        max_length=16,
        widget=_NeverRepeated(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )
    error_messages = {"invalid_login": NOT_SIGNED_IN, "inactive": NOT_SIGNED_IN}

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Check all three at once; nothing is tried when one of them was left out."""
        given = self.cleaned_data
        if self.errors:
            return given
        user = authenticate(self.request, username=given["username"], password=given["password"])
        if user is None:
            raise self.get_invalid_login_error()
        if not isinstance(user, User) or not may_enter(user) or not self._code_holds(user):
            user_login_failed.send(
                sender=__name__, credentials={"username": given["username"]}, request=self.request
            )
            raise self.get_invalid_login_error()
        self.user_cache = user
        return given

    def _code_holds(self, user: User) -> bool:
        otp = self.cleaned_data["otp"].replace(" ", "")
        return check_code(user=user, otp=otp, purpose=Purpose.MASKED_SIGN_IN, at=real_now())
