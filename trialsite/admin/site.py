"""
The admin of the masked face: for looking, by masked staff.

It is a site of its own. What Django and libraries register by being installed (tokens, groups,
password pages, bulk deletion, lookups for forms) is not here, because it is never asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.admin.models import LogEntry
from django.contrib.auth import logout as end_session
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.utils import timezone

from trialsite.accounts.models import Site
from trialsite.admin import queries
from trialsite.admin.sign_in import SignInForm, may_enter
from trialsite.clock.services import real_now
from trialsite.errors import Refused

READING = ("GET", "HEAD")
IDLE_SECONDS = 30 * 60
# How stale the memory of the last page may get before the session is written again.
NOTE_SECONDS = 60
SIGNED_IN, SEEN = "signed_in_at", "seen_at"

View = Callable[..., HttpResponseBase]


class MaskedAdminSite(AdminSite):
    site_url = None
    index_title = "Records of the trial"
    login_form = SignInForm
    enable_nav_sidebar = True

    def __init__(self) -> None:
        super().__init__(name="admin")
        self.disable_action("delete_selected")
        # Set by the app that knows the trial.
        self.trial_name: Callable[[], str] = lambda: "trialsite"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Return the index, signing in and out, and the pages of each model."""
        pages: list[URLPattern | URLResolver] = [
            path("", self.admin_view(self.index), name="index"),
            path("login/", self.login, name="login"),
            path("logout/", self.admin_view(self.logout), name="logout"),
        ]
        for model, model_admin in self._registry.items():
            where = f"{model._meta.app_label}/{model._meta.model_name}/"
            pages.append(path(where, include(model_admin.urls)))
        labels = "|".join(sorted({model._meta.app_label for model in self._registry}))
        return [
            *pages,
            re_path(rf"^(?P<app_label>{labels})/$", self.admin_view(self.app_index), name="app_list"),
            re_path(r"(?P<url>.*)$", self.admin_view(self.catch_all_view)),
        ]

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user) and _in_time(request.session)

    def admin_view(self, view: View, cacheable: bool = False) -> View:  # type: ignore[override]  # noqa: ARG002
        """Return ``view`` for people who are signed in, for reading only, never stored by a browser."""
        posts = view == self.logout

        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method not in READING and not posts:
                return HttpResponseNotAllowed(READING)
            _note_use(request.session)
            with timezone.override(_zone_of_all_sites()):
                response = self._answer(view, request, *args, **kwargs)
                _finish(response)
                return response

        return super().admin_view(update_wrapper(page, view))

    def _answer(self, view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except Refused as refusal:
            context = {**self.each_context(request), "title": "Not offered", "detail": str(refusal)}
            return TemplateResponse(request, "admin/refused.html", context, status=refusal.status)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        name = self.trial_name()
        return {
            **super().each_context(request),
            "site_header": name,
            "site_title": name,
            "evaluation": settings.EVALUATION,
        }

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        queries.check_query(request.GET, allowed={})
        return super().index(request, extra_context)

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        queries.check_query(request.GET, allowed={})
        return super().app_index(request, app_label, extra_context)

    def get_log_entries(self, request: HttpRequest) -> QuerySet[LogEntry]:  # noqa: ARG002 - Django's signature
        return LogEntry.objects.none()

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the sign-in form, or sign a person in and begin a session under a new key."""
        if request.user.is_authenticated and not self.has_permission(request):
            end_session(request)
        response = super().login(request, extra_context)
        if getattr(request, "axes_locked_out", False):
            # Said in the form's one sentence; axes' middleware would put its own page here.
            request.axes_locked_out = False  # type: ignore[attr-defined]
            response.status_code = 429
        if request.method == "POST" and response.status_code == 302:
            _begin(request.session)
        _finish(response)
        return response

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        response = super().logout(request, extra_context)
        response["Clear-Site-Data"] = '"cache", "storage"'
        return response


def _begin(session: SessionBase) -> None:
    session.cycle_key()
    session[SIGNED_IN] = session[SEEN] = real_now().timestamp()


def _in_time(session: SessionBase) -> bool:
    """Say whether a session is neither too old (SESSION_COOKIE_AGE) nor left alone for too long."""
    now = real_now().timestamp()
    begun, seen = session.get(SIGNED_IN), session.get(SEEN)
    if begun is None or seen is None:
        return False
    return bool(now - begun < settings.SESSION_COOKIE_AGE and now - seen < IDLE_SECONDS)


def _note_use(session: SessionBase) -> None:
    now = real_now().timestamp()
    if now - session.get(SEEN, now) >= NOTE_SECONDS:
        session[SEEN] = now


def _zone_of_all_sites() -> ZoneInfo:
    """Return the zone in which days begin: the sites' when they share one, else UTC."""
    zones = list(Site.objects.order_by().values_list("time_zone", flat=True).distinct()[:2])
    return ZoneInfo(zones[0]) if len(zones) == 1 else ZoneInfo("UTC")


def _finish(response: HttpResponseBase) -> None:
    """Render a page here, inside the zone and the guard."""
    if isinstance(response, SimpleTemplateResponse):
        response.render()
        # The middleware lets a page pass and makes every other error a problem document.
        response.shown_to_a_person = True  # type: ignore[attr-defined]


masked_site = MaskedAdminSite()
