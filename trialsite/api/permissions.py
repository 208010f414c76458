"""May this person call this? Deny by default."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from trialsite.accounts.access import may
from trialsite.accounts.models import User


class DeclaredPermission(BasePermission):
    """
    A view says per method what it takes, in ``permissions``; what it does not say is refused.

    None stands for any signed-in person. Whether the person may do it *here* (site, object) is for
    the service and for site-scoped querysets; this is the first door only.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.user, User):
            return False
        method = "GET" if request.method == "HEAD" else request.method
        handler = str(request.method).lower()
        if handler not in view.http_method_names or not hasattr(view, handler):
            # No handler: let REST framework say 405.
            return True
        permissions = getattr(view, "permissions", {})
        if method not in permissions:
            return False
        wanted = permissions[method]
        return wanted is None or may(request.user, wanted)
