"""
Rows in bulk, loaded by the superuser with the triggers off: people to be randomized, and a long past.

Every row is a copy of one that the product wrote, but for what must differ: a new column of the
product's needs nothing here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg

# Screening numbers of the people that are loaded here, who are nobody's screening.
LOADED = "LOADED-"


@dataclass(frozen=True)
class Person:
    """Somebody who may be randomized: the participant's id, and the stratum's levels."""

    id: str
    levels: Mapping[str, str]


def copied(table: str, *, which: str, how_many: str, changed: str) -> str:
    """
    Return an INSERT of copies of the rows ``which`` of a table.

    :param how_many: an SQL table expression; the copies are made for each of its rows.
    :param changed: arguments of ``jsonb_build_object``: what differs in each copy.
    """
    return (
        f"INSERT INTO {table} SELECT made.* FROM {how_many}, {table} AS pattern,"
        f" LATERAL jsonb_populate_record(pattern, jsonb_build_object({changed})) AS made"
        f" WHERE {which}"
    )


def add_people(
    connection: psycopg.Connection, *, pattern: str, strata: Sequence[Mapping[str, str]], count: int
) -> list[Person]:
    """
    Load people like the participant ``pattern`` into the strata in turn.

    :param connection: the superuser's.
    """
    insert = copied(
        "randomization_participant",
        which="pattern.id = %(pattern)s",
        how_many="(SELECT gen_random_uuid() AS id, (%(levels)s::jsonb[])[1 + number %% %(strata)s] AS levels"
        " FROM generate_series(1, %(count)s) AS number) AS person",
        changed=f"'id', person.id, 'screening_number', '{LOADED}' || left(person.id::text, 23),"
        " 'identity_hash', md5(person.id::text), 'stratum_levels', person.levels",
    )
    given = {
        "pattern": pattern,
        "levels": [json.dumps(levels) for levels in strata],
        "strata": len(strata),
        "count": count,
    }
    with triggers_off(connection):
        rows = connection.execute(f"{insert} RETURNING id, stratum_levels", given).fetchall()
    return [Person(str(id_), levels) for id_, levels in rows]


def add_slots(connection: psycopg.Connection, *, levels: Mapping[str, str], more: int) -> None:
    """Lengthen the stratum of the levels; what its new slots hold is never asked, so nothing is sealed."""
    insert = copied(
        "randomization_slot",
        which="pattern.stratum_id = place.code AND pattern.position = 0",
        how_many="(SELECT code, ordinal, generate_series(length, length + %(more)s - 1) AS position"
        " FROM randomization_stratum WHERE levels = %(levels)s::jsonb) AS place",
        changed="'id', gen_random_uuid(), 'position', place.position, 'randomization_number',"
        " 'R' || lpad((1000000 + place.ordinal * 2000000::bigint + place.position)::text, 9, '0')",
    )
    given = {"levels": json.dumps(levels), "more": more}
    with triggers_off(connection):
        connection.execute(insert, given)
        connection.execute(
            "UPDATE randomization_stratum SET length = length + %(more)s WHERE levels = %(levels)s::jsonb",
            given,
        )


def add_past(connection: psycopg.Connection, *, pattern: str, levels: Mapping[str, str], used: int) -> None:
    """
    Load ``used`` randomizations like that of the participant ``pattern`` into the next slots of a stratum.

    Each has all its rows: participant, allocation, infusions, kept answer and event on the trail. The
    tree's head gets the size and the shape that it then has; its hashes are nobody's.
    """
    connection.execute(
        "CREATE TEMPORARY TABLE past AS SELECT gen_random_uuid() AS id, slot.id AS slot, stratum.code,"
        " slot.position, slot.randomization_number AS number, row_number() OVER () AS place"
        " FROM randomization_slot AS slot JOIN randomization_stratum AS stratum ON stratum.code = stratum_id"
        " WHERE levels = %s::jsonb AND position BETWEEN next_slot AND next_slot + %s - 1",
        [json.dumps(levels), used],
    )
    with triggers_off(connection):
        for insert in _past():
            connection.execute(insert, {"pattern": pattern})
        connection.execute(
            "UPDATE randomization_stratum SET next_slot = next_slot + %s WHERE levels = %s::jsonb",
            [used, json.dumps(levels)],
        )
        connection.execute(
            "UPDATE audit_head SET size = grown.size, frontier = array_fill(sha256('nobody''s'),"
            " ARRAY[length(replace(grown.size::bit(64)::text, '0', ''))])"
            " FROM (SELECT max(position) + 1 AS size FROM audit_entry) AS grown"
        )
    connection.execute("DROP TABLE past")


def settle(connection: psycopg.Connection) -> None:
    """Do now what PostgreSQL would do in its own time after a bulk load."""
    connection.execute("VACUUM (ANALYZE)")
    connection.execute("CHECKPOINT")


def _past() -> list[str]:
    return [
        copied(
            "randomization_participant",
            which="pattern.id = %(pattern)s",
            how_many="past",
            changed=f"'id', past.id, 'screening_number', '{LOADED}' || left(past.id::text, 23),"
            " 'identity_hash', md5(past.id::text)",
        ),
        copied(
            "randomization_allocation",
            which="pattern.participant_id = %(pattern)s",
            how_many="past",
            changed="'participant_id', past.id, 'slot_id', past.slot, 'stratum_id', past.code,"
            " 'position', past.position, 'randomization_number', past.number",
        ),
        copied(
            "supply_infusion",
            which="pattern.participant_id = %(pattern)s",
            how_many="past",
            changed="'id', gen_random_uuid(), 'participant_id', past.id",
        ),
        copied(
            "api_idempotentrequest",
            which="pattern.key = %(pattern)s::text",
            how_many="past",
            changed="'id', nextval(pg_get_serial_sequence('api_idempotentrequest', 'id')), 'key', past.id",
        ),
        copied(
            "audit_entry",
            which="pattern.position = (SELECT max(position) FROM audit_entry)",
            how_many="past",
            changed="'position', pattern.position + past.place",
        ),
    ]


@contextlib.contextmanager
def triggers_off(connection: psycopg.Connection) -> Iterator[None]:
    """Inside, this connection's rows pass no trigger and no foreign key: what it loads is only a past."""
    connection.execute("SET session_replication_role = replica")
    try:
        yield
    finally:
        connection.execute("SET session_replication_role = origin")
