"""May this person do this here? Asked by services, answered from the roles in force."""

from __future__ import annotations

from trialsite.accounts.models import User
from trialsite.accounts.roles import ROLE_PERMISSIONS, SITE_ROLES, Permission, Role
from trialsite.errors import Refused


class NotPermitted(Refused):
    """The person's roles do not allow this."""

    code = "not_permitted"
    status = 403


def may(by: User, permission: Permission, *, site: str | None = None) -> bool:
    """
    Return whether ``by`` holds a role that allows ``permission``: at ``site`` when one is given.

    A role that belongs to the whole trial counts at every site.
    """
    return any(
        permission in ROLE_PERMISSIONS[Role(grant.role)]
        and (site is None or grant.role not in SITE_ROLES or grant.site_id == site)
        for grant in by.roles
    )


def require(by: User, permission: Permission, *, site: str | None = None) -> None:
    """
    Return if ``by`` may do it.

    :raises NotPermitted: otherwise. Another site's object is to be looked up through
        ``sites_of`` first, so that it is not found rather than forbidden.
    """
    if not may(by, permission, site=site):
        raise NotPermitted("Your roles do not allow this.")


def sites_of(by: User, permission: Permission) -> list[str] | None:
    """Return the codes of the sites where ``by`` holds ``permission``; None means every site."""
    grants = [grant for grant in by.roles if permission in ROLE_PERMISSIONS[Role(grant.role)]]
    if any(grant.role not in SITE_ROLES for grant in grants):
        return None
    return sorted({grant.site_id for grant in grants if grant.site_id})
