"""The admin, with the pages of every app; for the masked face only."""

from __future__ import annotations

from django.urls import path

import randomization.admin
import supply.admin
import trialsite.admin.people
import trialsite.admin.trail  # noqa: F401 - these modules register their pages
from trialsite.admin.site import masked_site

urlpatterns = [path("admin/", masked_site.urls)]
