"""Every path of the masked face."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from trialsite.api import common
from trialsite.api.masked import (
    accidental,
    audit_events,
    clock,
    consents,
    corrections,
    emergency,
    enrolment_changes,
    infusions,
    kits,
    participants,
    randomization_errors,
    reports,
    screening,
    transfers,
    trial,
)
from trialsite.urls import admin

api = [
    *common.urlpatterns,
    *trial.urlpatterns,
    *participants.urlpatterns,
    *consents.urlpatterns,
    *screening.urlpatterns,
    *transfers.urlpatterns,
    *emergency.urlpatterns,
    *enrolment_changes.urlpatterns,
    *corrections.urlpatterns,
    *randomization_errors.urlpatterns,
    *reports.urlpatterns,
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
