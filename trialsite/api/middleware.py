"""The outermost layer: no answer leaves without its security headers, and no error as HTML."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from trialsite.api import errors

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Pages get the policy of the settings from django-csp; what it did not touch loads nothing.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
}


class ProblemResponses:
    """
    Makes every error a problem (RFC 9457): Django's own 404, 405 and 500, CSRF, bad hosts.

    Nothing but static files may be stored by a browser or proxy.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._answer(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if not request.path_info.startswith(settings.STATIC_URL) or response.status_code >= 400:
            response.headers["Cache-Control"] = "no-store"
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        if request.method not in METHODS:
            return errors.http_response(status=405)
        if "\0" in request.path_info:
            return errors.http_response(status=404)
        response = self.get_response(request)
        if response.status_code < 400 or response.headers.get("Content-Type") == errors.CONTENT_TYPE:
            return response
        if getattr(response, "shown_to_a_person", False):  # a page of the admin, in words of its own
            return response
        return _as_problem(response)


def _as_problem(response: HttpResponseBase) -> HttpResponse:
    problem = errors.http_response(status=response.status_code)
    for name, value in response.items():
        if name not in ("Content-Type", "Content-Length", "Content-Encoding"):
            problem.headers[name] = value
    problem.cookies = response.cookies
    return problem
