"""
The floor of a randomization: the same locks, reads and rows as plain SQL, by the same login.

Ten statements between BEGIN and COMMIT, one round trip each, prepared: by pgbench where there is
one, else by threads of psycopg.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from benchmarks.load import Answers
from benchmarks.place import INVESTIGATOR, SITE, Place
from benchmarks.rows import Person

# A statement that ends in \gset gives its columns as variables to those that follow.
_TURN = r"""
SELECT participant, ordinal, code FROM bench_turn WHERE number = (SELECT nextval('{turns}')) \gset
BEGIN;
INSERT INTO api_idempotentrequest (user_id, face, key, fingerprint, resource, created_at)
    SELECT id, 'masked', :participant::text, repeat('0', 64), '', now()
    FROM accounts_user WHERE username = '{person}' ON CONFLICT DO NOTHING;
SELECT pg_advisory_xact_lock(7303, hashtext(:participant::text));
SELECT * FROM randomization_participant WHERE id = :participant::uuid;
SELECT pg_advisory_xact_lock(7301, :ordinal::int);
UPDATE randomization_stratum SET next_slot = next_slot + 1 WHERE code = :code::text
    RETURNING next_slot - 1 AS taken \gset
SELECT id AS slot, randomization_number AS drawn FROM randomization_slot
    WHERE stratum_id = :code::text AND position = :taken::int \gset
INSERT INTO randomization_allocation (participant_id, slot_id, stratum_id, position,
        randomization_number, randomized_at, randomized_by_id, paper_reason)
    SELECT :participant::uuid, :slot::uuid, :code::text, :taken::int, :drawn::text, now(), id, ''
    FROM accounts_user WHERE username = '{person}';
INSERT INTO supply_infusion (id, participant_id, site_id, number, day, opens_at, target_at, closes_at,
        status, outcome, reason, deviations)
    SELECT gen_random_uuid(), :participant::uuid, '{site}', number, 2 * number - 1,
        now() + number * interval '2 days', now() + number * interval '2 days',
        now() + number * interval '3 days', 'scheduled', '', '', '[]'
    FROM generate_series(1, 4) AS number;
SELECT append_audit_event('participant.randomized', convert_to(json_build_object('v', 1,
        'k', 'participant.randomized', 't', now(), 'at', now(), 'act', :participant::text,
        'role', 'investigator', 'about', json_build_object('participant', :participant::text,
        'stratum', :code::text, 'randomization_number', :drawn::text),
        'data', json_build_object('slot', :taken::int))::text, 'UTF8'));
UPDATE api_idempotentrequest SET status = 201, answer = repeat('0', 900)
    WHERE key = :participant::text AND face = 'masked'
        AND user_id = (SELECT id FROM accounts_user WHERE username = '{person}');
COMMIT;
"""


class Floor:
    """Turns to be taken, one for each person; each run takes those that come next."""

    def __init__(self, place: Place, name: str, people: list[Person]) -> None:
        self._place, self._turns = place, f"bench_turns_{name}"
        self._script = _TURN.format(turns=self._turns, person=INVESTIGATOR, site=SITE)
        _load_turns(place, people, turns=self._turns)

    def run(self, *, clients: int, seconds: float) -> Answers:
        """
        Take turns from so many connections for so long.

        :raises RuntimeError: if one fails.
        """
        pgbench = self._place.postgres.programs.path("pgbench")
        if pgbench.exists():
            return self._by_pgbench(pgbench, clients=clients, seconds=seconds)
        return self._by_psycopg(clients=clients, seconds=seconds)

    def _by_pgbench(self, pgbench: Path, *, clients: int, seconds: float) -> Answers:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "turn.sql"
            script.write_text(self._script)
            command = [
                str(pgbench), "--no-vacuum", "--protocol=prepared", f"--client={clients}",
                f"--jobs={min(clients, os.cpu_count() or 1)}", f"--time={max(round(seconds), 1)}",
                f"--file={script}", "--log", f"--log-prefix={folder}/log",
            ]  # fmt: skip
            ended = subprocess.run(
                command, env=_pgbench_environment(self._place), capture_output=True, text=True, check=False
            )
            if ended.returncode:
                raise RuntimeError(ended.stderr[-2000:])
            return _read_logs(Path(folder), seconds=max(round(seconds), 1))

    def _by_psycopg(self, *, clients: int, seconds: float) -> Answers:
        begin, answers = time.perf_counter(), Answers()

        def turn_after_turn() -> None:
            with psycopg.connect(self._place.url(), autocommit=True, row_factory=dict_row) as connection:
                connection.prepare_threshold = 0
                while (started := time.perf_counter()) - begin < seconds:
                    _one_turn(connection, self._script)
                    answers.seconds.append(time.perf_counter() - started)

        with ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(turn_after_turn) for _ in range(clients)]:
                done.result()
        answers.elapsed = time.perf_counter() - begin
        return answers


def _load_turns(place: Place, people: list[Person], *, turns: str) -> None:
    with place.superuser() as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS bench_turn"
            " (number bigint PRIMARY KEY, participant uuid, ordinal int, code text)"
        )
        (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM bench_turn").fetchone() or (0,)
        connection.execute(f"CREATE SEQUENCE {turns} START {last + 1}")
        connection.execute(f"GRANT SELECT ON bench_turn TO PUBLIC; GRANT USAGE ON {turns} TO PUBLIC")
        connection.execute(
            "INSERT INTO bench_turn SELECT %s + row_number() OVER (), participant.id, stratum.ordinal,"
            " stratum.code FROM unnest(%s::uuid[]) AS person(id)"
            " JOIN randomization_participant AS participant ON participant.id = person.id"
            " JOIN randomization_stratum AS stratum ON stratum.levels = participant.stratum_levels",
            [last, [person.id for person in people]],
        )


def _pgbench_environment(place: Place) -> dict[str, str]:
    parts = psycopg.conninfo.conninfo_to_dict(place.url())
    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER"}
    given = {variable: str(parts[name]) for name, variable in names.items()}
    return {"PATH": os.environ.get("PATH", ""), "PGPASSWORD": str(parts["password"]), **given}


def _read_logs(folder: Path, *, seconds: float) -> Answers:
    """Read the third column of pgbench's logs: microseconds of each transaction."""
    answers = Answers(elapsed=seconds)
    for log in folder.glob("log.*"):
        answers.seconds += [int(line.split()[2]) / 1e6 for line in log.read_text().splitlines()]
    return answers


def _statements(script: str) -> Iterator[tuple[str, bool]]:
    """Yield each statement as psycopg writes it, and whether its columns become variables."""
    for statement in re.findall(r".+?(?:;|\\gset)\s*$", script, re.DOTALL | re.MULTILINE):
        text = re.sub(r"(?<!:):([a-z]+)", r"%(\1)s", statement.strip())
        yield text.removesuffix(r"\gset").rstrip(";"), text.endswith(r"\gset")


def _one_turn(connection: psycopg.Connection[dict[str, object]], script: str) -> None:
    variables: dict[str, object] = {}
    for statement, keeps in _statements(script):
        cursor = connection.execute(statement, variables)
        if keeps:
            variables |= cursor.fetchone() or {}
