"""Who may call at all: tokens, roles, sessions and the lock-out."""

from __future__ import annotations

import datetime as dt
import hashlib

import pytest
import time_machine
from django.conf import LazySettings
from django.test import Client
from knox.models import AuthToken

from tests.people import NOON, PASSWORD, a_client, a_code, a_factor, a_person
from trialsite.accounts.models import User, WorkSession
from trialsite.accounts.roles import Role
from trialsite.accounts.services import people, sessions, tokens
from trialsite.accounts.services.sessions import WorkSessionRequired

pytestmark = pytest.mark.django_db


def test_me_names_the_person_and_their_roles() -> None:
    answer = a_client(a_person("ines", Role.INVESTIGATOR)).get("/api/v1/me")

    assert answer.json()["username"] == "ines"
    assert answer.json()["roles"] == [{"role": "investigator", "site": "PUREN"}]
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer x", "Bearer a b", "Token x", "Bearer \xff", "Bearer " + "x" * 999],
)
def test_without_a_known_token_nobody_is_let_in(authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = Client(headers=headers).get("/api/v1/me")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer["Content-Type"] == "application/problem+json"


def test_a_deactivated_person_is_refused_on_the_next_request() -> None:
    user = a_person()
    client = a_client(user)
    assert client.get("/api/v1/me").status_code == 200

    people.deactivate_user(user=user, by="system:tests", at=NOON)

    assert client.get("/api/v1/me").status_code == 401


def test_an_ended_role_is_gone_on_the_next_request() -> None:
    user = a_person("mona", Role.MONITOR)
    client = a_client(user)
    assert client.get("/api/v1/audit-events").status_code == 200

    people.end_role(user=user, role=Role.MONITOR, site=None, by="system:tests", at=NOON)

    assert client.get("/api/v1/audit-events").status_code == 403


def test_revoked_tokens_are_refused() -> None:
    user = a_person()
    client = a_client(user)

    revoked = tokens.revoke_tokens(user=user, by="system:tests", at=NOON)

    assert revoked == 1
    assert client.get("/api/v1/me").status_code == 401


def test_a_token_is_stored_as_a_digest_only() -> None:
    token = tokens.issue_token(user=a_person(), by="system:tests", at=NOON)

    stored = AuthToken.objects.get()
    assert token.startswith("irt_")
    assert token not in str(stored.__dict__)


@pytest.fixture
def preparer(factor_keys: dict[str, str], unmasked_face: None) -> User:
    return a_person("pavel", Role.PREPARER)


def open_session(client: Client, otp: str, password: str = PASSWORD) -> tuple[int, dict[str, str]]:
    answer = client.post(
        "/api/v1/sessions", {"password": password, "otp": otp}, content_type="application/json"
    )
    return answer.status_code, answer.json()


def test_a_work_session_lives_eight_hours_and_for_its_person_only(preparer: User) -> None:
    secret, now = a_factor(preparer), dt.datetime.now(dt.UTC)
    other = a_person("petra", Role.PREPARER)

    status, opened = open_session(a_client(preparer), a_code(secret, now))

    session = opened["session"]
    sessions.require_session(user=preparer, session=session, at=now + dt.timedelta(hours=7, minutes=59))
    for user, at in (
        (preparer, now + dt.timedelta(hours=8, minutes=1)),
        (other, now + dt.timedelta(minutes=1)),
    ):
        with pytest.raises(WorkSessionRequired):
            sessions.require_session(user=user, session=session, at=at)
    assert status == 201
    assert session.encode() not in bytes(WorkSession.objects.get().digest)


def a_stored_session(user: User, digest: bytes, *, expires_at: dt.datetime) -> None:
    WorkSession.objects.create(user=user, digest=digest, opened_at=NOON, expires_at=expires_at)


def test_a_session_written_into_the_database_opens_nothing(preparer: User) -> None:
    token, end = "irts_forged", NOON + dt.timedelta(hours=8)
    digests = [
        hashlib.sha256(token.encode()).digest(),
        sessions.keyed_digest(token, user=preparer, expires_at=end, secret="another secret"),
    ]

    for digest in digests:
        a_stored_session(preparer, digest, expires_at=end)

    with pytest.raises(WorkSessionRequired):
        sessions.require_session(user=preparer, session=token, at=NOON)


def test_a_session_is_neither_lengthened_nor_handed_over_in_the_database(preparer: User) -> None:
    other, end = a_person("petra", Role.PREPARER), NOON + dt.timedelta(hours=8)
    a_stored_session(preparer, sessions.keyed_digest("irts_1", user=preparer, expires_at=end), expires_at=end)

    sessions.require_session(user=preparer, session="irts_1", at=NOON)
    WorkSession.objects.update(user=other)
    with pytest.raises(WorkSessionRequired):
        sessions.require_session(user=other, session="irts_1", at=NOON)
    WorkSession.objects.update(user=preparer, expires_at=end + dt.timedelta(hours=1))
    with pytest.raises(WorkSessionRequired):
        sessions.require_session(user=preparer, session="irts_1", at=NOON)


def test_a_session_outlives_a_rotation_of_the_secret_key(preparer: User, settings: LazySettings) -> None:
    end = NOON + dt.timedelta(hours=8)
    a_stored_session(preparer, sessions.keyed_digest("irts_1", user=preparer, expires_at=end), expires_at=end)

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new secret", [settings.SECRET_KEY]

    sessions.require_session(user=preparer, session="irts_1", at=NOON)


@pytest.mark.parametrize("session", ["", "irts_x", "\x00"])
def test_a_session_that_was_never_opened_is_refused(preparer: User, session: str) -> None:
    with pytest.raises(WorkSessionRequired):
        sessions.require_session(user=preparer, session=session, at=NOON)


def test_five_wrong_sessions_lock_the_door_for_minutes_in_the_same_words(preparer: User) -> None:
    secret, client = a_factor(preparer), a_client(preparer)
    with time_machine.travel(dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC), tick=False) as clock:
        wrong = [open_session(client, "000000") for _ in range(2)]
        wrong += [open_session(client, a_code(secret, clock_now()), "wrong") for _ in range(3)]
        locked = open_session(client, a_code(secret, clock_now()))
        clock.shift(7 * 60)
        later = open_session(client, a_code(secret, clock_now()))

    assert {body["code"] for _, body in wrong[:4]} == {"signature_rejected"}
    assert wrong[0] == wrong[3]
    assert (locked[0], locked[1]["code"]) == (429, "too_many_attempts")
    assert later[0] == 201


def clock_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
