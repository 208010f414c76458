"""Admin pages of sites, people, their roles, and failed sign-ins."""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt
from django.contrib.admin import register
from django.db.models import QuerySet
from django.http import HttpRequest

from trialsite.accounts.models import RoleGrant, Site, User
from trialsite.accounts.roles import Role
from trialsite.admin.events import about, visible_events
from trialsite.admin.pages import MaskedModelAdmin
from trialsite.admin.site import masked_site
from trialsite.audit.models import VisibleEvent


@register(Site, site=masked_site)
class SiteAdmin(MaskedModelAdmin):
    fields = ("code", "name", "time_zone")
    list_display = ("code", "name", "time_zone")
    search_fields = ("code", "name")


@register(User, site=masked_site)
class UserAdmin(MaskedModelAdmin):
    """People; never a password's digest, which is not even read."""

    fields = ("id", "username", "full_name", "email", "is_active", "is_superuser", "created_at")
    list_display = ("username", "full_name", "email", "is_active", "is_superuser", "created_at")
    list_filter = ("is_active", "is_superuser")
    search_fields = ("username", "full_name", "email")
    date_hierarchy = "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).only(*self.fields)


@register(RoleGrant, site=masked_site)
class RoleGrantAdmin(MaskedModelAdmin):
    fields = ("user", "role", "site", "granted_at", "granted_by", "approved_by", "ended_at")
    list_display = ("user", "role", "site", "granted_at", "ended_at")
    list_filter = ("role", "site")
    search_fields = ("user__username", "user__full_name")
    date_hierarchy = "granted_at"
    list_select_related = ("user", "site")

    def events_of(self, record: RoleGrant) -> QuerySet[VisibleEvent]:
        return visible_events().filter(about(str(record.user_id))).order_by("position")


@register(AccessAttempt, site=masked_site)
class AccessAttemptAdmin(MaskedModelAdmin):
    """
    Failed sign-ins, for administrators: whose, from where, how often.

    What was sent is not shown, and other staff do not see the list: people type passwords into
    the field of the user name.
    """

    fields = ("username", "ip_address", "user_agent", "attempt_time", "failures_since_start")
    list_display = ("attempt_time", "username", "ip_address", "failures_since_start")
    search_fields = ("username", "ip_address")
    date_hierarchy = "attempt_time"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessAttempt]:
        attempts: QuerySet[AccessAttempt] = super().get_queryset(request).only("id", *self.fields)
        return attempts

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user = request.user
        administers = isinstance(user, User) and (
            user.is_superuser or any(grant.role == Role.ADMINISTRATOR for grant in user.roles)
        )
        return administers and super().has_view_permission(request, obj)

    def events_of(self, record: AccessAttempt) -> QuerySet[VisibleEvent]:  # noqa: ARG002
        return visible_events().none()
