"""May this person do this here? Asked by services, answered from the roles in force."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from django.db.models import Model, QuerySet

from trialsite.accounts.models import RoleGrant, User
from trialsite.accounts.roles import ROLE_PERMISSIONS, SITE_ROLES, Permission, Role
from trialsite.errors import Refused

Row = TypeVar("Row", bound=Model)


class NotPermitted(Refused):
    """The person's roles do not allow this."""

    code = "not_permitted"
    status = 403


def may(by: User, permission: Permission, *, site: str | None = None) -> bool:
    """
    Return whether ``by`` holds a role that allows ``permission``: at ``site`` when one is given.

    A role that belongs to the whole trial counts at every site.
    """
    return any(_allows(grant, permission, site) for grant in by.roles)


def acting_role(by: User, permission: Permission, *, site: str, or_at: Collection[str] = ()) -> str:
    """
    Return the role by which the person may do it there; the first in the alphabet of several.

    :param or_at: other sites at which it may be done, such as where a participant was before.
    """
    sites = {site, *or_at}
    return min(grant.role for grant in by.roles if any(_allows(grant, permission, one) for one in sites))


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


def at_sites(rows: QuerySet[Row], by: User, permission: Permission, *, site: str = "site") -> QuerySet[Row]:
    """
    Return those of the rows that are at a site where ``by`` holds ``permission``.

    :param site: the rows' field that holds the site.
    """
    sites = sites_of(by, permission)
    return rows if sites is None else rows.filter(**{f"{site}__in": sites})


def _allows(grant: RoleGrant, permission: Permission, site: str | None) -> bool:
    return permission in ROLE_PERMISSIONS[Role(grant.role)] and (
        site is None or grant.role not in SITE_ROLES or grant.site_id == site
    )
