"""Signing in to the admin: who may, with what, and what is written while they do."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from argon2 import PasswordHasher
from axes.models import AccessAttempt
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.admin.scene import PASSWORD, Scene, a_browser, signed_in, text_of
from tests.admin.test_pages import pages_of
from trialsite.accounts.models import RoleGrant, User
from trialsite.accounts.roles import Role
from trialsite.admin.sign_in import NOT_SIGNED_IN, may_enter

LOGIN = "/admin/login/"


def is_signed_in(browser: Client) -> bool:
    return browser.get("/admin/").status_code == 200


def the_words(answer) -> str:
    """Return the page of a refused sign-in without its CSRF token."""
    token = answer.cookies.get("masked-csrf")
    page = text_of(answer)
    start = page.index('name="csrfmiddlewaretoken" value="')
    end = page.index('">', start)
    assert token is None or token.value
    return page[:start] + page[end:]


@pytest.mark.parametrize("person", ["administrator", "monitor", "study_manager", "superuser"])
def test_staff_sign_in_with_password_and_one_time_code(scene: Scene, person: str):
    browser = a_browser()

    answer = browser.post(LOGIN, scene.credentials(person))

    assert answer.status_code == 302
    assert answer["Location"] == "/admin/"
    assert is_signed_in(browser)


@pytest.mark.parametrize(
    "person",
    [
        "investigator",
        "pharmacist",
        "preparer",
        "preparing_superuser",
        "investigating_superuser",
        "once_unmasked_superuser",
    ],
)
def test_people_who_are_unmasked_or_not_staff_are_refused(scene: Scene, person: str):
    browser = a_browser()

    answer = browser.post(LOGIN, scene.credentials(person))

    assert answer.status_code == 200
    assert NOT_SIGNED_IN in text_of(answer)
    assert not is_signed_in(browser)
    assert not may_enter(scene.person(person)), "whatever the check of the code says"


def test_a_deactivated_person_is_refused(scene: Scene, as_role):
    with as_role("irt_migrator"):
        User.objects.filter(username="monitor").update(is_active=False)

    answer = a_browser().post(LOGIN, scene.credentials("monitor"))

    assert NOT_SIGNED_IN in text_of(answer)


def test_every_failure_has_the_same_page(scene: Scene):
    failures = [
        scene.credentials("monitor", password="a-wrong-password-of-them"),
        scene.credentials("monitor", otp="000000"),
        scene.credentials("monitor", otp=scene.code("administrator")),
        scene.credentials(
            "monitor", otp=scene.code("monitor", dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5))
        ),
        scene.credentials("preparer"),
        scene.credentials("investigator", otp="1"),
        {"username": "nobody", "password": PASSWORD, "otp": "123456"},
    ]

    answers = [a_browser().post(LOGIN, given) for given in failures]

    pages = {
        the_words(answer).replace(given["username"], "")
        for answer, given in zip(answers, failures, strict=True)
    }
    assert {answer.status_code for answer in answers} == {200}
    assert len(pages) == 1


@pytest.mark.parametrize("left_out", ["username", "password", "otp"])
def test_what_is_left_out_is_asked_for_before_anything_is_tried(scene: Scene, left_out: str):
    """Otherwise a form without a code would tell whether the password is right."""
    right = scene.credentials("monitor", **{left_out: ""})
    wrong = {**right, "password": right["password"] and "a-wrong-password-of-them"}

    answers = [a_browser().post(LOGIN, given) for given in (right, wrong)]

    assert the_words(answers[0]) == the_words(answers[1])
    assert not AccessAttempt.objects.exclude(username="mallory").exists()


def test_a_code_signs_in_once(scene: Scene):
    given = scene.credentials("monitor")

    first = a_browser().post(LOGIN, given)
    second = a_browser().post(LOGIN, given)

    assert (first.status_code, second.status_code) == (302, 200)


def test_a_wrong_password_does_not_use_up_the_code(scene: Scene):
    given = scene.credentials("monitor")
    browser = a_browser()

    browser.post(LOGIN, {**given, "password": "a-wrong-password-of-them"})

    assert browser.post(LOGIN, given).status_code == 302


@pytest.mark.parametrize("wrong", [{"password": "a-wrong-password-of-them"}, {"otp": "000000"}])
def test_five_failures_lock_out_for_minutes_and_not_for_good(scene: Scene, wrong: dict[str, str]):
    browser = a_browser()
    start = dt.datetime.now(dt.UTC)

    with time_machine.travel(start, tick=False) as clock:
        statuses = [browser.post(LOGIN, scene.credentials("monitor", **wrong)).status_code for _ in range(5)]
        locked = browser.post(LOGIN, scene.credentials("monitor"))
        elsewhere = a_browser().post(LOGIN, scene.credentials("monitor"))
        clock.shift(dt.timedelta(minutes=7))
        later = browser.post(LOGIN, scene.credentials("monitor", otp=scene.code("monitor")))

    assert statuses == [200, 200, 200, 200, 429]
    assert locked.status_code == 429
    assert NOT_SIGNED_IN in text_of(locked)
    assert elsewhere.status_code == 302, "a stranger cannot lock a person out at another address"
    assert later.status_code == 302


def test_neither_password_nor_code_is_kept_with_a_failed_attempt(scene: Scene):
    given = scene.credentials("monitor", password="a-wrong-password-of-them")

    a_browser().post(LOGIN, given)

    kept = AccessAttempt.objects.values_list("post_data", "get_data").get(username="monitor")
    assert all(secret not in str(kept) for secret in (given["password"], given["otp"]))


def test_the_session_has_a_new_key_after_sign_in(scene: Scene):
    browser = a_browser()
    session = browser.session
    session["planted"] = "by somebody else"
    session.save()
    planted = str(session.session_key)
    browser.cookies["masked-session"] = planted

    browser.post(LOGIN, scene.credentials("monitor"))

    assert browser.session.session_key != planted
    assert is_signed_in(browser)


def test_a_session_ends_when_it_is_left_alone_and_after_a_day_of_work(scene: Scene):
    start = dt.datetime.now(dt.UTC)
    with time_machine.travel(start, tick=False) as clock:
        browser = signed_in(scene, "monitor")
        clock.shift(dt.timedelta(minutes=29))
        in_use = is_signed_in(browser)
        clock.shift(dt.timedelta(minutes=31))
        left_alone = is_signed_in(browser)

    with time_machine.travel(start + dt.timedelta(hours=1, minutes=5), tick=False) as clock:
        browser = signed_in(scene, "monitor")
        held = []
        for _ in range(25):
            clock.shift(dt.timedelta(minutes=20))
            held.append(is_signed_in(browser))

    assert (in_use, left_alone) == (True, False)
    assert held == [True] * 23 + [False] * 2


def test_a_role_that_ends_or_is_added_acts_on_the_next_page(scene: Scene, as_role):
    losing, gaining = signed_in(scene, "monitor"), signed_in(scene, "superuser")

    with as_role("irt_migrator"):
        RoleGrant.objects.filter(user__username="monitor").update(ended_at=dt.datetime.now(dt.UTC))
        RoleGrant.objects.create(
            user=scene.person("superuser"), role=Role.PREPARER, site_id="PUREN",
            granted_at=dt.datetime.now(dt.UTC), granted_by="system", approved_by="system",
        )  # fmt: skip

    assert not is_signed_in(losing)
    assert not is_signed_in(gaining)


def test_a_new_password_ends_the_sessions(scene: Scene, as_role):
    browser = signed_in(scene, "monitor")

    with as_role("irt_migrator"):
        User.objects.filter(username="monitor").update(password=make_password("another-long-password"))

    assert not is_signed_in(browser)


def test_signing_out_ends_the_session_and_takes_a_post(scene: Scene):
    browser = signed_in(scene, "monitor")

    by_link = browser.get("/admin/logout/")
    still = is_signed_in(browser)
    by_button = browser.post("/admin/logout/")

    assert by_link.status_code == 405
    assert still
    assert by_button.status_code == 200
    assert "cache" in by_button["Clear-Site-Data"]
    assert not is_signed_in(browser)


def test_sign_in_and_sign_out_are_guarded_against_other_sites(scene: Scene):
    browser = Client(enforce_csrf_checks=True)

    assert browser.post(LOGIN, scene.credentials("monitor")).status_code == 403


def test_a_digest_of_older_parameters_is_not_rewritten(scene: Scene, as_role, settings):
    """The masked face may not write accounts: renewing the digest at sign-in would fail the sign-in."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
    weaker = "argon2" + PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    with as_role("irt_migrator"):
        User.objects.filter(username="monitor").update(password=weaker)

    signed_in(scene, "monitor")

    assert scene.person("monitor").password == weaker


def test_a_day_in_the_admin_writes_sessions_lock_out_and_used_codes_only(scene: Scene):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        a_browser().post(LOGIN, scene.credentials("administrator", otp="000000"))
        browser = signed_in(scene, "superuser")
        for address in pages_of(scene, "superuser"):
            browser.get(address)
        browser.get("/admin/randomization/participant/?arm=A")
        browser.post("/admin/logout/")

    writes = [
        each["sql"] for each in queries if each["sql"].split()[0].upper() in ("INSERT", "UPDATE", "DELETE")
    ]
    allowed = ("axes_accessattempt", "django_session", "accounts_usedcode")
    assert writes
    assert [sql for sql in writes if not any(table in sql for table in allowed)] == []
