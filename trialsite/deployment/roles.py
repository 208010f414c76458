"""
Database roles: who logs in, and what the owner of everything may not do.

Made once per cluster by its superuser. ``irt_owner`` owns the tables and cannot log in;
``irt_migrator`` logs in for migrations and takes the owner's role; each process has a login of its
own, whose privileges are the table in ``trialsite.deployment.grants``.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

OWNER = "irt_owner"
MIGRATOR = "irt_migrator"
APPLICATION_ROLES = ("irt_masked", "irt_unmasked", "irt_worker")
LOGINS = (MIGRATOR, *APPLICATION_ROLES)

# Nobody waits for ever: an emergency least of all, and what a stuck process holds is let go.
TIMEOUTS = {
    "irt_masked": {"lock_timeout": "10s", "idle_in_transaction_session_timeout": "10s"},
    "irt_unmasked": {"lock_timeout": "5s", "idle_in_transaction_session_timeout": "15s"},
    "irt_worker": {"lock_timeout": "10s", "idle_in_transaction_session_timeout": "10s"},
}
# Of the cluster's 200 connections: however many the masked side asks for, some are left to
# preparation and unblinding.
CONNECTION_LIMITS = {"irt_masked": 60, "irt_worker": 20}


def create_roles(connection: psycopg.Connection, *, passwords: Mapping[str, str]) -> None:
    """
    Make the roles, or bring roles that exist to what they should be. Idempotent.

    :param connection: the cluster's superuser, autocommit.
    """
    _create(connection, OWNER, "NOLOGIN NOINHERIT NOCREATEDB")
    for login in LOGINS:
        _create(connection, login, "LOGIN")
        attributes = "LOGIN NOSUPERUSER NOCREATEROLE NOBYPASSRLS NOREPLICATION "
        attributes += "CREATEDB" if login == MIGRATOR else "NOCREATEDB"
        attributes += f" CONNECTION LIMIT {CONNECTION_LIMITS.get(login, -1)}"
        connection.execute(
            sql.SQL("ALTER ROLE {} {} PASSWORD {}").format(
                sql.Identifier(login), sql.SQL(attributes), _verifier(connection, login, passwords[login])
            )
        )
        # What is acknowledged is on disk, whatever the cluster's own default is.
        for name, value in {"synchronous_commit": "on", **TIMEOUTS.get(login, {})}.items():
            connection.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    sql.Identifier(login), sql.Identifier(name), sql.Literal(value)
                )
            )
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(OWNER), sql.Identifier(MIGRATOR)))


def _create(connection: psycopg.Connection, role: str, attributes: str) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    if not known:
        connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role), sql.SQL(attributes)))


def _verifier(connection: psycopg.Connection, login: str, password: str) -> sql.Literal:
    """Return the SCRAM verifier of a password, so that the password itself is never in a statement."""
    made = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
    return sql.Literal(made.decode())


def create_database(connection: psycopg.Connection, *, name: str, template: str = "template0") -> None:
    """
    Make a database that the owner role owns, and close it to everyone but the logins.

    A copy of a template carries the template's tables and their grants, and none of the
    privileges on the database itself.

    :param connection: the cluster's superuser, autocommit.
    """
    known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    if not known:
        how = "ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE" if template == "template0" else "TEMPLATE"
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} {} {}").format(
                sql.Identifier(name), sql.Identifier(OWNER), sql.SQL(how), sql.Identifier(template)
            )
        )
    # No temporary tables either: a function of ours must never find a table of the caller's.
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    for login in LOGINS:
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(name), sql.Identifier(login))
        )


def close_schema(connection: psycopg.Connection) -> None:
    """
    Let nobody but the owner make anything in the schema of this connection's database.

    :param connection: the cluster's superuser in that database.
    """
    connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER)))
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for login in APPLICATION_ROLES:
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(login)))
