"""The admin, with the pages of every app; for the masked face only."""

from __future__ import annotations

from django.urls import path

# Imported for the pages that they register.
import randomization.admin  # noqa: F401
import supply.admin  # noqa: F401
import trialsite.admin.people
import trialsite.admin.trail  # noqa: F401
from trialsite.admin.site import masked_site

urlpatterns = [path("admin/", masked_site.urls)]
