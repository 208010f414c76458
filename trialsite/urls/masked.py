"""Every path of the masked face."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from trialsite.api import common
from trialsite.api.masked import accidental, audit_events, clock, infusions, kits, participants, trial
from trialsite.urls import admin

api = [
    *common.urlpatterns,
    *trial.urlpatterns,
    *participants.urlpatterns,
    *infusions.urlpatterns,
    *kits.urlpatterns,
    *accidental.urlpatterns,
    *audit_events.urlpatterns,
    *clock.urlpatterns,
]
urlpatterns: list[URLPattern | URLResolver] = [
    *common.health_urlpatterns,
    *common.home_urlpatterns,
    *admin.urlpatterns,
    path("api/v1/", include(api)),
]
