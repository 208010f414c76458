"""
A database that is stolen without keys tells no arm.

The databases of the three plays (arms as listed, exchanged, and half exchanged) are compared column
by column, ids, times and the order of rows included. What is sealed differs, as it must, and has one
size. Everything else is the same, so nothing else can tell who is in which arm, or with whom.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests.masking import rows
from tests.masking.conftest import Played, Plays
from tests.masking.stage import TRIAL_FILE
from trialsite import protocol as protocols
from trialsite.deployment.os_user import unprivileged_user
from trialsite.deployment.postgres_programs import find_programs
from trialsite.opening import FileKeys, open_body

# Every column that may differ between the plays, and why. Each has the same sizes in all of them.
SEALED = {
    "randomization_sealedarm.envelope": "the arm itself, sealed under the code-break key",
    "randomization_sealedarm.leaf_hash": "over the arm and its secret salt",
    "randomization_randomizationlist.root": "over the leaves; published",
    "randomization_randomizationlist.commitment_note": "holds the root; published",
    "randomization_randomizationlist.sealed_seed": "holds the root, and the seed sealed to the officers",
    "randomization_accidentalunblinding.sealed_account": "sealed to the auditor and the safety desk",
    "supply_preparation.sealed_contents": "sealed to the auditor, the safety desk and the unmasked face",
    "api_idempotentrequest.fingerprint": "a keyed hash of what was asked: preparers state what is in a bag",
    "audit_entry.body": "sealed bodies, and the root in list.committed and trial.activated",
    "audit_entry.leaf": "over the body",
    "audit_head.frontier": "over the leaves",
    "audit_checkpoint.note": "the root of the trail, signed",
}
# Where the names of treatments stand: the public trial file, and the stock of the pharmacy, whose
# rows belong to no participant.
NAMED_IN = {"randomization_trialversion.document", "supply_lot.component", "audit_entry.body"}
ROOT_IN = ("list.committed", "trial.activated")

pytestmark = pytest.mark.xdist_group("masking")


@pytest.fixture
def databases(plays: Plays) -> Iterator[list[psycopg.Connection]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(psycopg.connect(plays.stage.cluster.url(play.database)))
            for play in plays.sound
        ]


@pytest.mark.requirement(21, 55)
def test_no_column_but_the_sealed_ones_depends_on_the_arms(databases: list[psycopg.Connection]) -> None:
    tables = rows.columns(databases[0])

    differing = rows.differing(tables, *databases)

    assert differing == set(SEALED)


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("UPDATE supply_kit SET expires_at = expires_at + interval '1 minute'", "supply_kit.expires_at"),
        ("UPDATE accounts_usedcode SET id = id + 1000", "accounts_usedcode.id"),
        # One row moves to the end of its table.
        (
            "WITH moved AS (DELETE FROM randomization_slot WHERE position = 0 RETURNING *)"
            " INSERT INTO randomization_slot SELECT * FROM moved",
            "randomization_slot.randomization_number",
        ),
        (
            "WITH moved AS (DELETE FROM audit_entry WHERE position = 99 RETURNING *)"
            " INSERT INTO audit_entry SELECT * FROM moved",
            "audit_entry.position",
        ),
    ],
)
def test_a_difference_planted_in_one_database_is_found(
    planted: str, found: str, databases: list[psycopg.Connection]
) -> None:
    other = databases[1]
    other.execute("SET LOCAL session_replication_role = replica")
    other.execute(planted)

    table = found.partition(".")[0]
    differing = rows.differing({table: rows.columns(other)[table]}, *databases)

    other.rollback()
    assert found in differing


@pytest.mark.requirement(55, 56)
@pytest.mark.parametrize("sealed", SEALED)
def test_what_is_sealed_has_the_same_sizes_whatever_the_arms(
    sealed: str, databases: list[psycopg.Connection]
) -> None:
    table, _, name = sealed.partition(".")

    sizes = [rows.sizes(database, table, name) for database in databases]

    assert sizes[0]
    assert sizes[0] == sizes[1] == sizes[2]


@pytest.mark.requirement(55, 56)
def test_every_bag_and_every_slot_is_sealed_in_one_size(databases: list[psycopg.Connection]) -> None:
    for database in databases:
        bags = [value for value in rows.column(database, "supply_preparation", "sealed_contents") if value]
        arms = rows.column(database, "randomization_sealedarm", "envelope")

        assert len(bags) == 10
        assert len({len(bag) for bag in bags}) == 1
        assert {len(arm) for arm in arms} == {2 + 2 * 96}
        assert len(set(arms)) == len(arms)


@pytest.mark.requirement(53, 55)
def test_no_answer_or_refusal_of_the_unmasked_face_is_kept(databases: list[psycopg.Connection]) -> None:
    kept = "SELECT count(*), count(answer) FROM api_idempotentrequest WHERE face = 'unmasked'"

    for database in databases:
        ((requests, answers),) = database.execute(kept).fetchall()
        assert requests
        assert not answers


@pytest.mark.requirement(53, 55, 78)
def test_events_in_clear_are_the_same_and_sealed_ones_have_one_size(
    databases: list[psycopg.Connection],
) -> None:
    trails = [_events(database) for database in databases]

    for same in zip(*trails, strict=True):
        if "sealed" not in same[0] and same[0]["k"] not in ROOT_IN:
            assert same[0] == same[1] == same[2]
    for kind in ("preparation", "unblinding"):
        sealed = [event for trail in trails for event in trail if event["k"] == kind]
        assert sealed
        assert len({len(json.dumps(event)) for event in sealed}) == 1


@pytest.mark.requirement(53, 55)
def test_no_treatment_is_named_but_in_public_documents_and_stock(
    databases: list[psycopg.Connection],
) -> None:
    for database in databases:
        named = {
            f"{table}.{name}"
            for table, names in rows.columns(database).items()
            for name in names
            for value in rows.column(database, table, name)
            if any(_names_a_treatment(reading) for reading in rows.readings(value))
        }

        assert named == NAMED_IN
        naming = {event["k"] for event in _events(database) if _names_a_treatment(json.dumps(event).encode())}
        assert naming == {"lot.received"}


@pytest.mark.requirement(55)
def test_a_dump_names_no_treatment_but_in_public_documents_and_stock(plays: Plays) -> None:
    pg_dump = find_programs(user=unprivileged_user()).path("pg_dump")
    if not pg_dump.exists():
        pytest.skip("These PostgreSQL programs have no pg_dump; the tables themselves were read.")

    for play in plays.sound:
        url = plays.stage.cluster.url(play.database)
        public = ("randomization_trialversion", "supply_lot")
        without = [f"--exclude-table-data={table}" for table in public]
        dump = subprocess.run([pg_dump, *without, url], check=True, capture_output=True, text=True).stdout

        assert "COPY public.supply_preparation" in dump
        assert not _names_a_treatment(dump.encode())


@pytest.mark.requirement(53, 61)
def test_no_log_of_any_process_names_a_treatment(plays: Plays) -> None:
    logs = list(plays.stage.folder.glob("*.log"))

    assert any(log.stat().st_size for log in logs)
    for log in logs:
        assert not _names_a_treatment(log.read_bytes()), log.name


def test_what_was_sealed_is_what_the_arms_were(plays: Plays, databases: list[psycopg.Connection]) -> None:
    """The databases would be the same too if the bags had been: they were not."""
    treatments = [
        _treatments(plays, database, play) for database, play in zip(databases, plays.sound, strict=True)
    ]

    assert treatments[0].keys() == treatments[1].keys()
    assert all(treatments[1][bag] != treatment for bag, treatment in treatments[0].items())
    assert treatments[2] not in treatments[:2]


def _treatments(plays: Plays, database: psycopg.Connection, play: Played) -> dict[str, str]:
    """Return what the auditor reads of each bag."""
    keys = FileKeys([str(plays.stage.offline / "auditor-1.key")])
    made = database.execute(
        "SELECT id, sealed_contents FROM supply_preparation WHERE sealed_contents IS NOT NULL"
    ).fetchall()
    study = protocols.load(TRIAL_FILE).protocol
    return {
        str(key): open_body(keys, "auditor-1", sealed, event_id=key, study=study)["treatment_code"]
        for key, sealed in made
    }


def _events(database: psycopg.Connection) -> list[dict[str, object]]:
    query = "SELECT convert_from(body, 'UTF8')::jsonb FROM audit_entry ORDER BY position"
    return [row[0] for row in database.execute(query).fetchall()]


def _names_a_treatment(content: bytes) -> bool:
    return bool(_WORDS.search(content))


def _words() -> re.Pattern[bytes]:
    """Return what finds the name, code, component or instruction of either treatment."""
    protocol = protocols.load(TRIAL_FILE)
    words = [arm.treatment for arm in protocol.arms]
    for treatment in protocol.treatments.values():
        words += [treatment.name, treatment.instructions, *treatment.components]
    return re.compile("|".join(re.escape(word) for word in words).encode(), re.IGNORECASE)


_WORDS = _words()
