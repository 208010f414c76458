"""Every path of the masked face."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from trialsite.api import common
from trialsite.api.masked import audit_events, clock
from trialsite.urls import admin

api = [
    *common.urlpatterns,
    *audit_events.urlpatterns,
    *clock.urlpatterns,
]
urlpatterns: list[URLPattern | URLResolver] = [
    *common.health_urlpatterns,
    *admin.urlpatterns,
    path("api/v1/", include(api)),
]
