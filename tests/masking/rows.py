"""What lies in a play's database, as whoever steals it reads it: every row of every table."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from trialsite.deployment.grants import TABLES

_COLUMNS = """
    SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' GROUP BY 1 ORDER BY 1
"""
_OF_THE_TRIAL = re.compile(r"audit_entry|outbox_|randomization_(?!trialversion)|supply_")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")


def columns(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Return the columns of every table."""
    return {table: list(names) for table, names in connection.execute(_COLUMNS).fetchall()}


def column(connection: psycopg.Connection, table: str, name: str) -> list[str]:
    """
    Return one column as text, "" for null, in the order in which the rows lie on disk.

    A table whose rows are only ever inserted keeps the order of insertion. Where rows are updated,
    their places depend on when PostgreSQL tidied up: there the order is that of the first column.
    """
    query = sql.SQL("SELECT coalesce(t.{}::text, '') FROM {} t ORDER BY {}").format(
        sql.Identifier(name),
        sql.Identifier(table),
        sql.SQL("t.ctid") if _is_final(table) else sql.SQL("t::text"),
    )
    return [row[0] for row in connection.execute(query).fetchall()]


def differing(tables: Mapping[str, Sequence[str]], *connections: psycopg.Connection) -> set[str]:
    """Return the columns, as ``table.column``, that are not the same in all of the databases."""
    first, *others = connections
    return {
        f"{table}.{name}"
        for table, names in tables.items()
        for name in names
        if any(column(other, table, name) != column(first, table, name) for other in others)
    }


def readings(value: str) -> Iterator[bytes]:
    """Return what a value says: as it stands, and with its hexadecimal and base64 read."""
    yield value.encode()
    if value.startswith("\\x"):
        yield bytes.fromhex(value[2:])
        yield from _unwrapped(bytes.fromhex(value[2:]).decode("latin-1"))
    yield from _unwrapped(value)


def _unwrapped(text: str) -> Iterator[bytes]:
    for found in _BASE64.findall(text):
        try:
            yield base64.b64decode(found)
        except binascii.Error:
            continue


def _is_final(table: str) -> bool:
    """Say whether no process may change a row of the table; it follows from the grants."""
    privileges = " ".join(TABLES[table].privileges().values())
    return bool(_OF_THE_TRIAL.match(table)) and "UPDATE" not in privileges and "DELETE" not in privileges
