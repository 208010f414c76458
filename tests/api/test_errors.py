"""Whatever goes wrong is said as a problem (RFC 9457), and says nothing that was not asked."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.test import Client

from tests.people import a_client, a_person
from trialsite.accounts.roles import Role

SECURITY_HEADERS = (
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
    "Content-Security-Policy",
)


def assert_problem(answer: Any, status: int, code: str) -> None:
    problem = json.loads(answer.content)
    assert answer["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert {"type", "title", "detail"} <= set(problem)
    assert "Traceback" not in problem["detail"]
    for name in SECURITY_HEADERS:
        assert answer[name]
    assert answer["Cache-Control"] == "no-store"


@pytest.fixture
def client(db: None) -> Client:
    return a_client(a_person("alma", Role.ADMINISTRATOR))


def test_a_path_that_is_not_there_is_a_problem() -> None:
    assert_problem(Client().get("/nowhere"), 404, "not_found")
    assert_problem(Client().get("/api/v1/nowhere"), 404, "not_found")
    assert_problem(Client().get("/api/v1/me%00"), 404, "not_found")


def test_a_method_that_is_not_there_is_a_problem(client: Client) -> None:
    assert_problem(client.put("/api/v1/me"), 405, "method_not_allowed")
    assert_problem(client.options("/api/v1/me"), 405, "method_not_allowed")
    assert_problem(Client().generic("TRACE", "/api/v1/me"), 405, "method_not_allowed")
    assert_problem(Client().generic("TRACE", "/static/api/docs.js"), 405, "method_not_allowed")


def test_another_media_type_is_a_problem(client: Client) -> None:
    answer = client.post("/api/v1/evaluation/clock", "advance_seconds=1", content_type="text/csv")

    assert_problem(answer, 415, "unsupported_media_type")
    assert b"csv" not in answer.content


def test_a_host_that_is_not_ours_is_a_problem() -> None:
    assert_problem(Client(headers={"Host": "evil.example"}).get("/admin/"), 400, "malformed")


def test_a_forged_form_is_a_problem(db: None) -> None:
    forged = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"})

    assert_problem(forged, 403, "not_permitted")


@pytest.mark.usefixtures("on_the_floor")
def test_a_bug_is_a_problem_without_its_traceback(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.raise_request_exception = False

    with caplog.at_level(logging.CRITICAL, "django.request"):
        answer = client.get("/failing")

    assert_problem(answer, 500, "internal_error")
    assert b"secret of the traceback" not in answer.content


@pytest.mark.usefixtures("on_the_floor")
def test_a_view_that_declares_nothing_is_closed(client: Client) -> None:
    assert_problem(client.get("/undeclared"), 403, "not_permitted")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": "\\u0000"}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
@pytest.mark.usefixtures("on_the_floor")
def test_what_is_not_one_strict_json_object_is_malformed(client: Client, body: bytes) -> None:
    answer = client.post("/kept", body, content_type="application/json", headers={"Idempotency-Key": "k"})

    assert answer.status_code == 400
    if body:
        assert_problem(answer, 400, "malformed_body")


@pytest.mark.usefixtures("on_the_floor")
def test_a_body_of_half_a_megabyte_is_too_large(client: Client) -> None:
    answer = client.post("/kept", b'{"a": "' + b"x" * 500_000 + b'"}', content_type="application/json")

    assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "#/subject", "required"),
        ({"subject": "x", "arm": "A"}, "#/arm", "unknown_field"),
        ({"subject": 5}, "#/subject", "wrong_type"),
        ({"subject": "x", "weight_kg": True}, "#/weight_kg", "wrong_type"),
        ({"subject": "x", "weight_kg": "heavy-secret"}, "#/weight_kg", "invalid"),
        ({"subject": "x", "weight_kg": "1e99999999"}, "#/weight_kg", "max_digits"),
        ({"subject": "x", "at": "2026-03-02T04:00:00"}, "#/at", "not_a_time"),
        ({"subject": "x", "at": "2026-03-02"}, "#/at", "not_a_time"),
    ],
)
@pytest.mark.usefixtures("on_the_floor")
def test_a_field_that_is_not_acceptable_is_pointed_at(
    client: Client, body: dict[str, object], pointer: str, code: str
) -> None:
    answer = client.post("/kept", body, content_type="application/json", headers={"Idempotency-Key": "k"})

    assert_problem(answer, 400, "invalid")
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)
    assert b"heavy-secret" not in answer.content


@pytest.mark.usefixtures("on_the_floor")
def test_a_number_with_a_fraction_is_read_exactly_as_written(client: Client) -> None:
    body = b'{"subject": "x", "weight_kg": 70.10}'

    answer = client.post("/kept", body, content_type="application/json", headers={"Idempotency-Key": "k"})

    assert answer.json()["weight_kg"] == "70.10"


@pytest.mark.parametrize(
    "query",
    [
        "?arm=A",
        "?kind=a&kind=b",
        "?page=0",
        "?page=x",
        "?page_size=-1",
        "?since=yesterday",
        "?since=2026-03-02T04:00:00",
    ],
)
def test_a_query_parameter_that_is_not_known_or_not_readable_is_refused(db: None, query: str) -> None:
    answer = a_client(a_person("mona", Role.MONITOR)).get(f"/api/v1/audit-events{query}")

    assert_problem(answer, 400, "invalid")
    assert answer.json()["errors"][0]["pointer"] == query.partition("=")[0]


def test_query_parameters_of_a_post_are_refused(client: Client) -> None:
    answer = client.post(
        "/api/v1/evaluation/clock?advance_seconds=1", {"advance_seconds": 0}, content_type="application/json"
    )

    assert_problem(answer, 400, "invalid")
