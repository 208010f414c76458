"""
What lies in a play's database, as whoever steals it reads it: every row of every table.

PostgreSQL puts a row wherever it knows of room, which is not always at the end: where it looks
depends on when autovacuum came by and on what other databases did meanwhile, so on how busy the
machine is. What a play itself decides is the order in which rows come and how large they are. So
the plays number the rows of the tables that only grow as these are inserted, and that order is
compared; and so are the sizes in which PostgreSQL stores what is sealed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
# The column that ``number_rows`` adds: one count for all tables, which is compared with the rest.
_TURN = "masking_turn"
_TAKE_TURNS = f"""
    CREATE SEQUENCE masking_clock.turn;
    GRANT USAGE ON SEQUENCE masking_clock.turn TO PUBLIC;
    CREATE FUNCTION masking_clock.take_turn() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.{_TURN} := nextval('masking_clock.turn');
        RETURN NEW;
    END $$;
"""
# NOT NULL: no row escapes it. ALWAYS: nor does one that a test plants with triggers off.
_TAKES_TURNS = """
    ALTER TABLE {table} ADD COLUMN {turn} bigint NOT NULL;
    CREATE TRIGGER {turn} BEFORE INSERT ON {table}
        FOR EACH ROW EXECUTE FUNCTION masking_clock.take_turn();
    ALTER TABLE {table} ENABLE ALWAYS TRIGGER {turn};
"""


def number_rows(connection: psycopg.Connection) -> None:
    """Have the rows of every table that only grows numbered from now on, in the order of insertion."""
    connection.execute(_TAKE_TURNS)
    for table in filter(_is_final, columns(connection)):
        names = {"table": sql.Identifier(table), "turn": sql.Identifier(_TURN)}
        connection.execute(sql.SQL(_TAKES_TURNS).format(**names))


def columns(connection: psycopg.Connection) -> dict[str, list[str]]:
    """Return the columns of every table."""
    return {table: list(names) for table, names in connection.execute(_COLUMNS).fetchall()}


def column(connection: psycopg.Connection, table: str, name: str) -> list[str]:
    """
    Return one column as text, "" for null.

    A table whose rows are only ever inserted is in the order of insertion; where rows are updated,
    the order is that of the first column.
    """
    value = sql.SQL("coalesce(t.{}::text, '')").format(sql.Identifier(name))
    return [row[0] for row in _in_order(connection, table, value)]


def sizes(connection: psycopg.Connection, table: str, name: str) -> list[tuple[int, int]]:
    """Return how long each value of a column is as text, and as PostgreSQL stores it."""
    value = sql.SQL("coalesce(length(t.{0}::text), 0), coalesce(pg_column_size(t.{0}), 0)")
    return _in_order(connection, table, value.format(sql.Identifier(name)))


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


def _in_order(connection: psycopg.Connection, table: str, values: sql.Composed) -> list[Any]:
    order = sql.Identifier("t", _TURN) if _is_final(table) else sql.SQL("t::text")
    query = sql.SQL("SELECT {} FROM {} t ORDER BY {}").format(values, sql.Identifier(table), order)
    return connection.execute(query).fetchall()


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
