"""Who may log in to the database, and with which privileges."""

from __future__ import annotations

import psycopg
import pytest
from django.db import ProgrammingError, connection

from trialsite.clock.models import TrialClock
from trialsite.deployment import grants
from trialsite.deployment.roles import APPLICATION_ROLES, LOGINS


@pytest.mark.django_db
def test_every_table_view_and_function_has_a_row_of_grants():
    assert grants.tables_without_a_row(connection) == []


@pytest.mark.django_db
def test_every_row_of_grants_names_something_in_the_database():
    assert grants.rows_without_a_table(connection) == []


@pytest.mark.django_db
def test_a_table_without_a_row_is_found_and_closed():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE forgotten (id int)")
        cursor.execute("GRANT SELECT ON forgotten TO irt_masked")

    grants.apply_grants(connection)

    assert "forgotten" in grants.tables_without_a_row(connection)
    assert not _may("irt_masked", "forgotten", "SELECT")


@pytest.mark.django_db
def test_applying_grants_takes_away_what_the_table_does_not_say():
    with connection.cursor() as cursor:
        cursor.execute("GRANT SELECT, UPDATE (envelope) ON randomization_sealedarm TO irt_masked, PUBLIC")

    grants.apply_grants(connection)

    assert not _may("irt_masked", "randomization_sealedarm", "SELECT")
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_any_column_privilege('irt_masked', 'randomization_sealedarm', 'UPDATE')")
        assert cursor.fetchone() == (False,)


@pytest.mark.django_db
@pytest.mark.parametrize("table", grants.TABLES)
def test_no_login_may_truncate_or_reference_or_set_triggers(table):
    for role in APPLICATION_ROLES:
        for privilege in ("TRUNCATE", "REFERENCES", "TRIGGER"):
            assert not _may(role, table, privilege)


@pytest.mark.django_db
def test_a_role_taken_on_in_a_test_has_its_own_privileges(as_role):
    with as_role("irt_masked"):
        assert TrialClock.objects.count() <= 1

    with pytest.raises(ProgrammingError, match="permission denied"), as_role("irt_masked"):
        connection.cursor().execute("SELECT 1 FROM randomization_sealedarm")

    assert connection.cursor().execute("SELECT session_user").fetchone() == ("postgres",)


@pytest.mark.parametrize("login", LOGINS)
def test_each_login_logs_in_keeps_its_commits_and_is_no_superuser(a_fresh_database, login):
    with psycopg.connect(a_fresh_database.url(login), autocommit=True) as session:
        assert session.execute("SELECT session_user").fetchone() == (login,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SET ROLE postgres")
        assert session.execute("SHOW synchronous_commit").fetchone() == ("on",)


@pytest.mark.parametrize("login", APPLICATION_ROLES)
def test_no_application_login_takes_on_another_or_makes_a_table(a_fresh_database, login):
    with psycopg.connect(a_fresh_database.url(login), autocommit=True) as session:
        for role in ("irt_owner", "irt_migrator", *set(APPLICATION_ROLES) - {login}):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("CREATE TABLE mine (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("CREATE TEMPORARY TABLE mine (id int)")


@pytest.mark.parametrize(
    ("login", "lock", "idle"),
    [("irt_masked", "10s", "10s"), ("irt_unmasked", "5s", "15s"), ("irt_worker", "10s", "10s")],
)
def test_no_application_login_waits_or_idles_for_ever(a_fresh_database, login, lock, idle):
    with psycopg.connect(a_fresh_database.url(login), autocommit=True) as session:
        assert session.execute("SHOW lock_timeout").fetchone() == (lock,)
        assert session.execute("SHOW idle_in_transaction_session_timeout").fetchone() == (idle,)


def test_connections_are_left_to_the_unmasked_side_however_many_the_others_open(a_fresh_database):
    with psycopg.connect(a_fresh_database.url(), autocommit=True) as session:
        limits = dict(session.execute("SELECT rolname, rolconnlimit FROM pg_roles").fetchall())
        (all_of_them,) = session.execute("SELECT current_setting('max_connections')::int").fetchone()

    assert {login: limits[login] for login in LOGINS} == {
        "irt_migrator": -1,
        "irt_masked": 60,
        "irt_unmasked": -1,
        "irt_worker": 20,
    }
    assert all_of_them - 60 - 20 >= 100


def test_the_owner_cannot_log_in(a_fresh_database):
    owner = a_fresh_database.url("irt_masked").replace("irt_masked", "irt_owner")

    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(owner)


def test_no_statement_or_value_reaches_the_servers_log(a_fresh_database):
    with psycopg.connect(a_fresh_database.url(), autocommit=True) as session:
        for setting, value in (
            ("log_min_error_statement", "panic"),
            ("log_parameter_max_length", "0"),
            ("log_parameter_max_length_on_error", "0"),
            ("log_error_verbosity", "terse"),
        ):
            assert session.execute(f"SHOW {setting}").fetchone() == (value,)


def _may(role, table, privilege):
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege(%s, %s, %s)", [role, table, privilege])
        return cursor.fetchone()[0]
