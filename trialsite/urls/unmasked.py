"""Every path of the unmasked face."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from trialsite.api import common
from trialsite.api.unmasked import audit_trail, emergency, lots, preparations, reveals, sessions, unblindings

api = [
    *common.urlpatterns,
    *sessions.urlpatterns,
    *preparations.urlpatterns,
    *lots.urlpatterns,
    *emergency.urlpatterns,
    *unblindings.urlpatterns,
    *reveals.urlpatterns,
    *audit_trail.urlpatterns,
]
urlpatterns: list[URLPattern | URLResolver] = [
    *common.health_urlpatterns,
    *common.home_urlpatterns,
    path("api/v1/", include(api)),
]
