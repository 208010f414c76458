"""What every change of an account has in common: who may make it, and its event on the trail."""

from __future__ import annotations

import datetime as dt

from trialsite.accounts.access import require
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record


def require_manager(by: User | str) -> None:
    """
    Return if ``by`` may change accounts: an administrator, or the operator's own process (a str).

    :raises trialsite.accounts.access.NotPermitted: otherwise.
    """
    if isinstance(by, User):
        require(by, Permission.MANAGE_PEOPLE)


def account_changed(change: str, *, user: User, by: User | str, at: dt.datetime, **data: str) -> None:
    """Append the event. ``data`` says what changed and holds nothing secret."""
    record(
        kind=Kind.ACCOUNT_CHANGED, by=by, at=at, about={"user": str(user.id)}, data={"change": change, **data}
    )
