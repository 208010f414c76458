"""Once, whole, or not at all: what the floor promises of every changing request."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client

from tests.people import a_client, a_person
from trialsite.api.models import IdempotentRequest
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.outbox.models import Message

pytestmark = pytest.mark.usefixtures("on_the_floor")
BODY = {"subject": "hello"}


def post(client: Client, path: str, body: Any = BODY, key: str | None = "key-1", **headers: str) -> Any:
    if key is not None:
        headers["Idempotency-Key"] = key
    return client.post(path, body, content_type="application/json", headers=headers)


@pytest.fixture
def client(db: None) -> Client:
    return a_client(a_person())


def test_the_same_key_and_body_answer_the_same_and_do_it_once(client: Client) -> None:
    first = post(client, "/kept")
    again = post(client, "/kept")

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert Message.objects.count() == 1


def test_a_repeat_with_another_body_is_refused(client: Client) -> None:
    post(client, "/kept")

    other = post(client, "/kept", {"subject": "other"})

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert Message.objects.count() == 1


def test_the_signature_is_no_part_of_the_comparison(client: Client) -> None:
    first = post(client, "/kept", {**BODY, "signature": {"otp": "111111"}})
    again = post(client, "/kept", {**BODY, "signature": {"otp": "222222"}})

    assert first.json() == again.json()


def test_keys_of_two_people_and_of_two_calls_are_apart(client: Client) -> None:
    post(client, "/kept")

    of_another = post(a_client(a_person("nora")), "/kept")
    of_another_call = post(client, "/made")

    assert of_another.status_code == 201
    assert of_another_call.status_code == 422


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "idempotency_key_missing"),
        ("", "idempotency_key_malformed"),
        (" ", "idempotency_key_malformed"),
        ("k" * 256, "idempotency_key_malformed"),
        ("tab\there", "idempotency_key_malformed"),
        ("schlüssel", "idempotency_key_malformed"),
    ],
)
def test_a_missing_or_malformed_key_is_refused_before_anything_is_done(
    client: Client, key: str | None, code: str
) -> None:
    answer = post(client, "/kept", key=key)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not Message.objects.exists()


def test_the_key_outlives_a_rotation_of_the_secret_key(client: Client, settings: LazySettings) -> None:
    first = post(client, "/kept")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new secret", [settings.SECRET_KEY]

    assert post(client, "/kept").json() == first.json()


def test_the_stored_fingerprint_is_keyed_and_the_body_is_not_stored(client: Client) -> None:
    post(client, "/kept")

    row = IdempotentRequest.objects.get()
    assert "hello" not in f"{row.fingerprint}{row.answer}{row.resource}"
    assert len(row.fingerprint) == 64


def test_an_answer_made_anew_leaves_no_body_behind(client: Client) -> None:
    first = post(client, "/made")
    again = post(client, "/made")

    row = IdempotentRequest.objects.get()
    assert first.json() == {"secret": "arm"}
    assert again.json() == {"again": row.resource}
    assert row.answer is None


def test_the_unmasked_face_refuses_to_keep_an_answer(client: Client, settings: LazySettings) -> None:
    settings.FACE = "unmasked"

    with pytest.raises(TypeError, match="keeps no answers"):
        post(client, "/kept")


def test_a_refusal_keeps_nothing_but_its_fact_and_that_once(client: Client) -> None:
    first = post(client, "/stopped")
    again = post(client, "/stopped")

    assert (first.status_code, first.json()["code"]) == (409, "state_forbids")
    assert again.json() == first.json()
    assert again["Content-Type"] == "application/problem+json"
    assert not Message.objects.exists()
    assert Entry.objects.filter(kind=Kind.BEDSIDE_STOPPED).count() == 1


def test_the_unmasked_face_keeps_no_refusal(client: Client, settings: LazySettings) -> None:
    settings.FACE = "unmasked"

    answers = [post(client, "/stopped-and-made"), post(client, "/stopped-and-made")]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert not IdempotentRequest.objects.exists()


def test_a_refused_signature_is_judged_anew_under_the_same_key(client: Client) -> None:
    signed = {**BODY, "signature": {"otp": "111111"}}

    post(client, "/stopped", signed)
    post(client, "/stopped", signed)

    assert not IdempotentRequest.objects.exists()
    assert Entry.objects.filter(kind=Kind.BEDSIDE_STOPPED).count() == 2


def test_a_deadlock_is_tried_again(client: Client) -> None:
    answer = post(client, "/deadlocked")

    assert answer.status_code == 200
    assert Message.objects.count() == 1


def test_an_unreachable_database_is_a_503_that_says_nothing_of_it(client: Client) -> None:
    answer = post(client, "/unreachable")

    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert b"10.0.0.7" not in answer.content


def test_a_crash_between_the_two_transactions_leaves_the_intent(client: Client) -> None:
    with pytest.raises(KeyboardInterrupt):
        post(client, "/in-two", {"subject": "crash"})

    intent = Message.objects.get(subject="intent")
    repeat = post(client, "/in-two", {"subject": "crash"})
    assert repeat.json() == {"id": str(intent.pk)}
    assert Message.objects.count() == 1


def test_of_two_transactions_no_body_is_kept(client: Client) -> None:
    first = post(client, "/in-two")
    again = post(client, "/in-two")

    assert first.json() == {"arm": "A"}
    assert list(again.json()) == ["id"]
    assert IdempotentRequest.objects.get().answer is None


@pytest.mark.usefixtures("a_fresh_database")
def test_eight_at_once_with_one_key_do_it_once() -> None:
    client = a_client(a_person())
    together = threading.Barrier(8)

    def send(_: int) -> str:
        together.wait()
        try:
            return str(post(client, "/kept").json()["id"])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(send, range(8)))

    assert len(answers) == 1
    assert Message.objects.count() == 1


def test_the_masked_login_can_do_all_that_the_floor_does(a_fresh_database) -> None:
    client = a_client(a_person())

    with a_fresh_database.logged_in_as("irt_masked"):
        answers = [post(client, "/kept").status_code, post(client, "/stopped", key="key-2").status_code]

    assert answers == [201, 409]
