"""What lies in a play's database, as whoever steals it reads it: every row of every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg import sql

Rows = Sequence[tuple[str, ...]]

_COLUMNS = """
    SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' GROUP BY 1 ORDER BY 1
"""
_UPDATED = "SELECT relname FROM pg_stat_user_tables WHERE n_tup_upd + n_tup_del > 0"


def columns(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Return the columns of every table."""
    return {table: list(names) for table, names in connection.execute(_COLUMNS).fetchall()}


def column(connection: psycopg.Connection, table: str, name: str) -> list[str | None]:
    """
    Return one column as text, in the order in which the rows lie on disk.

    A table whose rows are only ever inserted keeps the order of insertion. Where rows were updated,
    their places depend on when PostgreSQL tidied up: there the order is that of the values.
    """
    updated = {row[0] for row in connection.execute(_UPDATED).fetchall()}
    query = sql.SQL("SELECT t.{}::text FROM {} t ORDER BY {}").format(
        sql.Identifier(name),
        sql.Identifier(table),
        sql.SQL("t::text") if table in updated else sql.SQL("t.ctid"),
    )
    return [row[0] for row in connection.execute(query).fetchall()]


def differing(tables: Mapping[str, Sequence[str]], *connections: psycopg.Connection) -> set[str]:
    """Return the columns, as ``table.column``, that are not the same in all of the databases."""
    return {
        f"{table}.{name}"
        for table, names in tables.items()
        for name in names
        if any(
            column(connection, table, name) != column(connections[0], table, name)
            for connection in connections[1:]
        )
    }
