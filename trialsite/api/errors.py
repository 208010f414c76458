"""
Every refusal as RFC 9457 ``application/problem+json``: ``type, title, status, detail, code``.

A problem never repeats a value that was sent, never carries a traceback, and for one code has
always the same words: what was wrong, not with what.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from drf_standardized_errors.formatter import flatten_errors
from rest_framework import exceptions
from rest_framework.response import Response

from trialsite.errors import FieldsInvalid, Refused

CONTENT_TYPE = "application/problem+json"
NON_FIELD = "non_field_errors"
log = logging.getLogger(__name__)

# Words of ours where the libraries' own would repeat what was sent.
_FIELD_DETAIL = {
    "invalid_choice": "This is not one of the allowed values.",
    "does_not_exist": "There is no such object.",
    "incorrect_type": "This has the wrong type.",
    "unknown_field": "This field is not known here.",
    "unknown_parameter": "This query parameter is not known here.",
    "wrong_type": "This has the wrong type.",
    "not_a_time": "Write a time with its offset, like 2026-11-22T10:00:00+08:00.",
}
_DETAIL = {
    400: "The request is malformed.",
    401: "A valid token is needed: Authorization: Bearer TOKEN.",
    403: "Your roles do not allow this.",
    404: "There is no such thing here.",
    405: "This method is not known here.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    415: "Send application/json.",
    429: "Too many attempts. Wait some minutes.",
    500: "The server failed. Nothing of this request was kept.",
    503: "The database cannot be reached. Try again with the same Idempotency-Key.",
}
_CODE = {
    400: "malformed",
    401: "not_authenticated",
    403: "not_permitted",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "too_many_attempts",
    500: "internal_error",
    503: "database_unavailable",
}
# RequestDataTooBig is a SuspiciousOperation, so it stands first.
_OTHERS: tuple[tuple[type[Exception], int], ...] = (
    (Http404, 404),
    (PermissionDenied, 403),
    (RequestDataTooBig, 413),
    (SuspiciousOperation, 400),
)


def document(
    *, status: int, code: str = "", detail: str = "", errors: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """Return a problem document; code and detail default to those of the status."""
    code = code or _CODE.get(status, f"http_{status}")
    problem: dict[str, Any] = {
        "type": f"urn:trialsite:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail or _DETAIL.get(status, HTTPStatus(status).phrase),
        "code": code,
    }
    if errors:
        problem["errors"] = [dict(error) for error in errors]
    return problem


def problem_of(refusal: Refused) -> dict[str, Any]:
    """Return the problem document of a refusal without faults of fields."""
    return document(status=refusal.status, code=refusal.code, detail=str(refusal))


def http_response(*, status: int, code: str = "", detail: str = "") -> HttpResponse:
    """Return a problem from outside REST framework: middleware, lock-out."""
    body = json.dumps(document(status=status, code=code, detail=detail))
    return HttpResponse(body, status=status, content_type=CONTENT_TYPE)


def locked_out(request: HttpRequest, response: Any, credentials: Any) -> HttpResponse:  # noqa: ARG001
    """Answer a locked-out sign-in (``AXES_LOCKOUT_CALLABLE``)."""
    return http_response(status=429)


def field_error(pointer: str, code: str, detail: str = "") -> dict[str, str]:
    """Return one member of ``errors``."""
    return {"pointer": pointer, "code": code, "detail": detail or _FIELD_DETAIL[code]}


class InvalidFields(exceptions.APIException):
    """Some fields or query parameters are not acceptable; ``errors`` says which and why."""

    status_code = 400
    default_code = "invalid"

    def __init__(self, errors: Sequence[Mapping[str, str]]) -> None:
        super().__init__("Some fields are not acceptable.")
        self.errors = tuple(errors)


def pointers(error: exceptions.ValidationError, *, prefix: str = "#/") -> list[dict[str, str]]:
    """
    Return the field errors of a ``ValidationError``.

    ``pointer`` is a JSON pointer into the body as a URI fragment (RFC 6901 section 6), or with
    ``prefix="?"`` the name of a query parameter.
    """
    found = []
    for each in flatten_errors(error.detail):
        parts = [part for part in (each.attr or "").split(".") if part not in ("", NON_FIELD)]
        pointer = prefix + "/".join(parts) if parts else "#"
        found.append(field_error(pointer, each.code, _FIELD_DETAIL.get(each.code, each.detail)))
    return found


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:  # noqa: ARG001
    """
    Translate an exception of a view into a problem (``EXCEPTION_HANDLER``).

    None is for a bug: Django logs it, and ``middleware.ProblemResponses`` answers 500.
    """
    problem = _problem(error)
    if problem is None:
        return None
    response = Response(problem, status=problem["status"], content_type=CONTENT_TYPE)
    if isinstance(error, exceptions.APIException):
        # REST framework leaves these on the exception itself.
        if auth_header := getattr(error, "auth_header", None):
            response["WWW-Authenticate"] = auth_header
        if wait := getattr(error, "wait", None):
            response["Retry-After"] = str(int(wait))
    if problem["status"] == 503:
        response["Retry-After"] = "1"
    return response


def _problem(error: Exception) -> dict[str, Any] | None:
    if isinstance(error, FieldsInvalid):
        errors = [field_error(fault.pointer, fault.code, fault.detail) for fault in error.faults]
        return document(status=error.status, code=error.code, detail=str(error), errors=errors)
    if isinstance(error, Refused):
        return problem_of(error)
    if isinstance(error, exceptions.APIException):
        return _framework_problem(error)
    if isinstance(error, OperationalError | InterfaceError):
        # The message may hold the statement's values; the class and SQLSTATE say enough.
        log.error("Database: %s %s", type(error).__name__, getattr(error.__cause__, "sqlstate", None))
        return document(status=503)
    return next((document(status=status) for kind, status in _OTHERS if isinstance(error, kind)), None)


def _framework_problem(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, InvalidFields):
        return document(status=400, code="invalid", detail=str(error.detail), errors=error.errors)
    if isinstance(error, exceptions.ValidationError):
        return document(
            status=400, code="invalid", detail="Some fields are not acceptable.", errors=pointers(error)
        )
    if isinstance(error, exceptions.ParseError):
        return document(status=400, code="malformed_body", detail=str(error.detail))
    if type(error) is exceptions.APIException or error.status_code in _CODE:
        return document(status=error.status_code)
    return document(status=error.status_code, code=str(error.get_codes()), detail=str(error.detail))
