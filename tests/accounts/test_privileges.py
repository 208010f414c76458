"""A masked identity cannot become an unmasked one: tried by SQL as the masked login."""

from __future__ import annotations

import datetime as dt

import pytest
from django.conf import LazySettings
from django.db import ProgrammingError, connection
from knox.models import AuthToken

from tests.people import NOON, PASSWORD, a_client, a_code, a_factor, a_person
from trialsite.accounts.roles import Role
from trialsite.accounts.services.factors import Purpose, check_code
from trialsite.api.models import IdempotentRequest

DENIED = "permission denied|row-level security|must be owner"


def test_an_expired_token_is_refused_and_not_deleted_by_the_masked_login(a_fresh_database) -> None:
    user = a_person()
    clients = [a_client(user), a_client(user)]
    AuthToken.objects.filter(user=user).update(expiry=NOON)
    living = a_client(user)

    with a_fresh_database.logged_in_as("irt_masked"):
        answers = [client.get("/api/v1/me").status_code for client in [*clients, living]]

    assert answers == [401, 401, 200]
    assert AuthToken.objects.count() == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_user SET password = 'x' WHERE username = 'ines'",
        "UPDATE accounts_user SET is_active = true, is_superuser = true",
        "INSERT INTO accounts_user (id, username, full_name, email, password, is_active, is_superuser,"
        " created_at) VALUES (gen_random_uuid(), 'm', 'm', '', '', true, true, now())",
        "INSERT INTO accounts_rolegrant (id, user_id, role, granted_at, granted_by, approved_by)"
        " SELECT gen_random_uuid(), id, 'auditor', now(), 'm', 'm' FROM accounts_user",
        "UPDATE accounts_rolegrant SET role = 'investigator', site_id = 'PUREN'",
        "UPDATE accounts_secondfactor SET sealed_secret = ''",
        "DELETE FROM accounts_secondfactor",
        "INSERT INTO knox_authtoken (digest, token_key, user_id, created)"
        " SELECT 'd', 'k', id, now() FROM accounts_user",
        "UPDATE knox_authtoken SET user_id = user_id",
        "DELETE FROM knox_authtoken",
        "UPDATE accounts_site SET name = 'x'",
        "SELECT * FROM accounts_worksession",
        "INSERT INTO accounts_usedcode (user_id, purpose, step)"
        " SELECT id, 'unblinding', 1 FROM accounts_user",
        "DELETE FROM accounts_usedcode",
        "INSERT INTO api_idempotentrequest (user_id, face, key, fingerprint, resource, created_at)"
        " SELECT id, 'unmasked', 'k', 'f', '', now() FROM accounts_user",
        "ALTER TABLE api_idempotentrequest DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE accounts_usedcode DISABLE ROW LEVEL SECURITY",
    ],
)
def test_no_statement_of_the_masked_login_changes_who_people_are(a_fresh_database, statement: str) -> None:
    a_client(a_person("ines", Role.INVESTIGATOR))

    with (
        a_fresh_database.logged_in_as("irt_masked"),
        connection.cursor() as cursor,
        pytest.raises(ProgrammingError, match=DENIED),
    ):
        cursor.execute(statement)


def test_a_face_sees_and_changes_no_answer_of_the_other(a_fresh_database) -> None:
    user = a_person("ines", Role.INVESTIGATOR)
    IdempotentRequest.objects.create(
        user=user, face="unmasked", key="k", fingerprint="f", resource="r", created_at=NOON
    )

    with a_fresh_database.logged_in_as("irt_masked"):
        seen = IdempotentRequest.objects.count()
        changed = IdempotentRequest.objects.update(resource="another")

    assert (seen, changed) == (0, 0)
    assert IdempotentRequest.objects.get().resource == "r"


def test_the_masked_login_uses_up_codes_of_its_own_sign_in_only(a_fresh_database, factor_keys) -> None:
    manager = a_person("mona", Role.STUDY_MANAGER)
    at = dt.datetime.now(dt.UTC)
    otp = a_code(a_factor(manager), at)

    with a_fresh_database.logged_in_as("irt_masked"):
        tries = [check_code(user=manager, otp=otp, purpose=Purpose.MASKED_SIGN_IN, at=at) for _ in range(2)]

    assert tries == [True, False]


def test_checking_a_password_with_an_older_hash_writes_nothing(
    a_fresh_database, settings: LazySettings
) -> None:
    user = a_person()
    before = user.password
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]

    with a_fresh_database.logged_in_as("irt_masked"):
        right = user.check_password(PASSWORD)

    user.refresh_from_db()
    assert right
    assert user.password == before
