"""Role by route by method by site: the whole matrix, compared with the table written by hand."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from django.db import connection, transaction
from django.urls import URLPattern, URLResolver, clear_url_caches
from rest_framework.renderers import JSONRenderer

from randomization.models import Allocation, Stratum, Unblinding
from tests.people import a_person
from tests.permissions import expected
from tests.permissions.conftest import OTHER, OWN, SESSION, Place
from tests.world import screening_facts
from trialsite.accounts.models import User
from trialsite.accounts.roles import Role
from trialsite.accounts.services.people import RolesConflict, end_role, grant_role
from trialsite.clock import services as clock
from trialsite.clock.services import trial_now

FACES = {"masked": expected.MASKED, "unmasked": expected.UNMASKED}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
Table = dict[tuple[str, str], dict[str, str]]


def read(table: str) -> Table:
    """Read a table of the expected answers: (method, route) -> column -> cell."""
    header, *rows = table.strip().splitlines()
    columns = header.split()
    assert columns == list(expected.COLUMNS)
    return {
        (method, route): dict(zip(columns, cells, strict=True))
        for method, route, *cells in (row.split() for row in rows)
    }


def routes(face: str) -> dict[str, str]:
    """Return a face's routes as the table writes them, each with its path."""
    patterns = import_module(f"trialsite.urls.{face}").urlpatterns
    paths = [path for path in _paths(patterns) if not path.startswith(expected.NOT_REST)]
    return {re.sub(r"{\w+}", "{id}", f"/{path}".removeprefix("/api/v1/")): path for path in paths}


def _paths(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for pattern in patterns:
        path = before + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from _paths(pattern.url_patterns, path)
        else:
            yield path


@pytest.mark.parametrize("face", FACES)
@pytest.mark.requirement(58, 60)
def test_every_route_has_a_row_and_every_row_a_route(face):
    assert {route for _, route in read(FACES[face])} == set(routes(face))


@pytest.fixture(params=list(FACES))
def face(request: pytest.FixtureRequest, settings, monkeypatch) -> Iterator[str]:
    """This process is that face; the sweeps that a moved clock waits for are another process's."""
    settings.FACE = request.param
    settings.ROOT_URLCONF = f"trialsite.urls.{request.param}"
    settings.FACTOR_KEY_FILE, settings.MASKED_FACTOR_KEY_FILE = settings.MASKED_FACTOR_KEY_FILE, ""
    monkeypatch.setattr(clock, "wait_for_sweeps", lambda **_: None)
    clear_url_caches()
    yield request.param
    clear_url_caches()


@contextlib.contextmanager
def undone(login: str) -> Iterator[None]:
    """Inside, the database grants what it grants that login; afterwards nothing has happened."""
    before = transaction.savepoint()
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION AUTHORIZATION {login}")
        yield
    finally:
        transaction.savepoint_rollback(before)
        with connection.cursor() as cursor:
            cursor.execute("RESET SESSION AUTHORIZATION")


def ask(
    place: Place,
    face: str,
    method: str,
    route: str,
    sender: tuple[str, str],
    look: Callable[[], object] = lambda: None,
) -> str:
    """Send one request as one person and return the cell of its answer; ``look`` before it is undone."""
    column, site = sender
    credentials = {"HTTP_X_SESSION": f"{SESSION}-matrix-{column}-{site.lower()}"}
    if place.senders[sender]:
        credentials["HTTP_AUTHORIZATION"] = place.senders[sender]
    place.client.credentials(HTTP_IDEMPOTENCY_KEY="the-key", **credentials)
    path = "/" + routes(face)[route].format(**place.ids)
    with undone(f"irt_{face}"):
        if method == "GET":
            response = place.client.get(path)
        else:
            known = bodies(place.ids["participant_id"], place.ids["kit_number"], json.dumps(place.stratum))
            body = known.get(route.rpartition("/")[2], {})
            response = place.client.generic(method, path, JSONRenderer().render(body), "application/json")
        look()
        return the_cell(response)


REFUSALS = {
    (401, "not_authenticated"): "1",
    (403, "not_permitted"): "-",
    (403, "signature_rejected"): "s",
    (404, "not_found"): "4",
}


def the_cell(response: Any) -> str:
    refused = response.headers["Content-Type"] == "application/problem+json"
    problem = response.json() if refused else {}
    match response.status_code, problem.get("code"):
        case 302, _ if response.headers["Location"] == "/api/v1/docs":
            return "r"
        case refusal if refusal in REFUSALS:
            return REFUSALS[refusal]
        case 405, _:
            return "5"
        case ((200 | 201), _):
            empty = (
                response.headers["Content-Type"] == "application/json" and response.json().get("count") == 0
            )
            return "l" if empty else "y"
        case ((400 | 409 | 422), _):
            return "y"
    return f"?{response.status_code}{problem.get('code', '')}"


@cache
def bodies(participant: str, kit: str, stratum: str) -> dict[str, dict[str, Any]]:
    """Return a body that is well-formed for each route, so that the answer depends on who sends it."""
    now = trial_now()
    ended, soon = now - dt.timedelta(minutes=5), now + dt.timedelta(hours=2)
    wrong_signature = {"password": "not-the-password", "otp": "000000"}
    return {
        "participants": screening_facts(),
        "randomize": {"stratum": json.loads(stratum)},
        "randomized-on-paper": {
            "randomization_number": "R000000",
            "randomized_at": ended,
            "stratum": json.loads(stratum),
            "reason": "power cut",
        },
        "spoiled": {
            "site": OWN,
            "randomization_number": "R000000",
            "spoiled_at": ended,
            "reason": "torn",
        },
        "discontinue": {"scope": "treatment", "reason": "wish", "at": ended},
        "consents": {"at": ended},
        "withdraw-consent": {"scope": "treatment", "at": ended},
        "screening-revisions": {"eligibility": {"E5": True}, "reason": "late result"},
        "transfer": {"to_site": OTHER, "reason": "moved", "at": ended},
        "transfers": {
            "from_site": OWN,
            "to_site": OTHER,
            "participants": [participant],
            "reason": "moved",
            "at": ended,
        },
        **errors(participant, json.loads(stratum), known_at=ended),
        "enrolment-changes": {"site": OWN, "status": "paused", "reason": "audit"},
        "order": {"weight_kg": "61", "weighed_at": ended, "needed_at": soon, "ward": "ICU"},
        "cancel-order": {"reason": "not needed"},
        "dispense": {"kit_scan": kit},
        "start": {"kit_scan": kit, "participant_scan": "ID", "cover_intact": True, "started_at": ended},
        "stop": {"ended_at": ended, "volume_ml": "100", "outcome": "completed"},
        "miss": {"reason": "refused by the participant"},
        "waste": {"reason": "dropped", "at": ended},
        "accidental-unblindings": {
            "participant": participant,
            "occurred_at": ended,
            "what_happened": "cover torn",
        },
        "clock": {"advance_seconds": 60},
        "sessions": wrong_signature,
        "open": {},
        "complete": {"kit_scan": kit, "lot": "L-1", "prepared_at": ended, "contents": {}},
        "verify": {"kit_scan": kit, "contents_verified": True, "signature": {"password": "wrong"}},
        "cover": {"kit_scan": kit, "cover_applied": True},
        "reject": {"reason": "spilled"},
        "lots": {
            "site": OWN,
            "component": "cells",
            "number": "L-1",
            "expires_at": soon,
            "certificate": "COA-1",
        },
        "unblindings": {
            "participant": participant,
            "category": "emergency",
            "reason": "collapse",
            "signature": wrong_signature,
        },
    }


def errors(participant: str, stratum: dict[str, str], *, known_at: dt.datetime) -> dict[str, dict[str, Any]]:
    """Return the bodies that say what went wrong with the participant."""
    return {
        "corrections": {"pointer": "/sex", "value": "male", "reason": "mistyped"},
        "randomized-in-error": {"reason": "slip", "known_at": known_at},
        "wrong-stratum": {
            "stratum": {**stratum, "age_group": "60-75"},
            "reason": "mistyped",
            "known_at": known_at,
        },
        "ineligible": {"criteria": ["E5"], "reason": "late result", "known_at": known_at},
        "duplicate": {"duplicate_of": participant, "reason": "same person", "known_at": known_at},
    }


def the_answers(place: Place, face: str) -> Table:
    answers: Table = {}
    for method, route in read(FACES[face]):
        row = answers[method, route] = {}
        for column in expected.COLUMNS:
            sites = [site for site in (OWN, OTHER) if (column, site) in place.senders]
            if route.startswith("unblindings") and column == "inv":
                Unblinding.objects.update(requested_by=User.objects.get(username=f"matrix-inv-{OWN.lower()}"))
            row[column] = "".join(ask(place, face, method, route, (column, site)) for site in sites)
    return answers


@pytest.mark.requirement(54, 58, 60)
def test_each_role_gets_from_each_route_what_the_table_says(place, face):
    answers = the_answers(place, face)

    wrong = [
        f"{method} {route}: {column} is answered {answers[method, route][column]!r}, not {cell!r}"
        for (method, route), row in read(FACES[face]).items()
        for column, cell in row.items()
        if answers[method, route][column] != cell
    ]
    assert wrong == []


def test_what_no_row_names_is_no_method_of_the_route(place, face):
    rows = read(FACES[face])

    strange = [
        f"{method} {route}: {cell}"
        for route in routes(face)
        for method in METHODS
        for sender in (("inv", OWN), ("adm", OWN))
        if (method, route) not in rows
        if (cell := ask(place, face, method, route, sender)) != "5"
    ]
    assert strange == []


@pytest.mark.requirement(11, 12, 16)
def test_no_call_frees_moves_or_swaps_a_slot_that_is_taken(place, face):
    def taken() -> list[Any]:
        strata = Stratum.objects.order_by("ordinal").values("code", "levels", "next_slot")
        return [list(Allocation.objects.order_by("pk").values()), list(strata)]

    def moves_something(method: str, route: str, sender: tuple[str, str]) -> bool:
        then: list[Any] = []
        ask(place, face, method, route, sender, look=lambda: then.extend(taken()))
        return then != before

    before = taken()
    senders = [sender for sender in place.senders if sender[0] in expected.MAY_TRY_TO_UNDO]
    calls = [(*call, sender) for call in read(FACES[face]) if call[0] == "POST" for sender in senders]
    assert [call for call in calls if moves_something(*call)] == []


@pytest.mark.parametrize(("one", "other"), expected.NEVER_ONE_PERSON)
@pytest.mark.requirement(59, 60)
@pytest.mark.django_db
def test_roles_that_exclude_each_other_are_refused_in_either_order(one, other):
    for number, (first, second) in enumerate([(one, other), (other, one)]):
        person = a_person(f"person-{number}", Role(first))

        with pytest.raises(RolesConflict):
            also(person, second)

        assert [grant.role for grant in person.roles] == [first]


@pytest.mark.parametrize(("one", "other"), expected.MAY_BE_ONE_PERSON)
@pytest.mark.django_db
def test_roles_that_do_not_exclude_each_other_may_meet_in_one_person(one, other):
    person = a_person("person", Role(one))

    also(person, other)

    assert {grant.role for grant in person.roles} == {one, other}


@pytest.mark.parametrize("seen_arms_as", ["preparer", "statistician", "safety_officer", "dsmb_statistician"])
@pytest.mark.requirement(59)
@pytest.mark.django_db
def test_who_was_ever_unmasked_never_gets_a_masked_role(seen_arms_as):
    person = a_person("person", Role(seen_arms_as))
    grant = person.roles[0]
    end_role(user=person, role=Role(seen_arms_as), site=grant.site, by="system:tests", at=trial_now())

    with pytest.raises(RolesConflict):
        also(person, "investigator")


def also(person: User, role: str) -> None:
    """Grant one more role, at the first site where the role has one."""
    from tests.people import a_site
    from trialsite.accounts.roles import SITE_ROLES

    site = a_site() if Role(role) in SITE_ROLES else None
    who = {"by": "system:tests", "approved_by": "system:tests"}
    grant_role(user=person, role=Role(role), site=site, at=trial_now(), **who)
