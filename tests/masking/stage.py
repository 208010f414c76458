"""
Where the day is played: keys, sealed lists, databases, and the processes with their own logins.

Each play has a database of its own, copied from one that the product's own set-up brought to an
active trial, and four processes: the masked and the unmasked face as ``irt_masked`` and
``irt_unmasked``, the signer and the worker, each with the keys of its face and no others.
"""

from __future__ import annotations

import datetime as dt
import itertools
import os
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from randomization.domain.numbers import draw_numbers
from randomization.domain.schedule import generate_arms, spec_of
from randomization.generator import bundle_of
from tests.cluster import ROOT, Cluster
from tests.masking import rows, wire
from tests.masking.compare import Seen
from tests.masking.nursery import Nursery
from trialsite import protocol as protocols
from trialsite.audit.notes import SigningKey
from trialsite.deployment import roles
from trialsite.deployment.evaluation import KEYS, PROCESSES
from trialsite.deployment.initkeys import make_keys
from trialsite.keyfiles import read_key_file
from trialsite.sealing import PublicKeys

TRIAL_FILE = ROOT / "trialsite/trials/NCT04293692.toml"
DEPLOYMENT = "masking.trialsite.local"
# 08:00 at the sites, a Monday.
START = dt.datetime(2020, 3, 2, 0, 0, tzinfo=dt.UTC)
# Slots of each stratum: few, so that a stratum ends within the day.
LENGTHS = (2, 2, 3, 3)
Arms = Mapping[str, Sequence[int]]

# PostgreSQL's own clock is seen by masked roles as the time of a transaction. In these databases
# the columns that show it are filled from a row that the play moves.
CLOCK = """
    CREATE SCHEMA masking_clock;
    CREATE TABLE masking_clock.moment (now timestamptz NOT NULL);
    INSERT INTO masking_clock.moment VALUES ('2020-03-01T00:00:00Z');
    CREATE FUNCTION masking_clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
        AS 'SELECT now FROM masking_clock.moment';
    GRANT USAGE ON SCHEMA masking_clock TO PUBLIC;
    GRANT SELECT ON masking_clock.moment TO PUBLIC;
    ALTER FUNCTION append_audit_event(text, bytea)
        SET search_path = masking_clock, pg_catalog, public, pg_temp;
    ALTER TABLE randomization_allocation
        ALTER recorded_at SET DEFAULT masking_clock.clock_timestamp();
    ALTER TABLE randomization_unblinding
        ALTER recorded_at SET DEFAULT masking_clock.clock_timestamp();
    ALTER TABLE randomization_spoiledslot
        ALTER recorded_at SET DEFAULT masking_clock.clock_timestamp();
    ALTER TABLE randomization_enrolmentchange
        ALTER recorded_at SET DEFAULT masking_clock.clock_timestamp();
    ALTER TABLE randomization_transfer
        ALTER recorded_at SET DEFAULT masking_clock.clock_timestamp();
"""


def arms_of(seed: bytes) -> dict[str, list[int]]:
    """Return arms as the generator makes them from a seed, cut to the day's few slots in each stratum."""
    spec = spec_of(protocols.load(TRIAL_FILE), length=max(LENGTHS))
    lengths = dict(zip(spec.strata, LENGTHS, strict=True))
    return {code: arms[: lengths.get(code)] for code, arms in generate_arms(spec, seed).items()}


def exchanged(arms: Arms) -> dict[str, list[int]]:
    """Return the same arms with every 0 a 1 and every 1 a 0."""
    return {stratum: [1 - arm for arm in sequence] for stratum, sequence in arms.items()}


def half_exchanged(arms: Arms) -> dict[str, list[int]]:
    """
    Return the arms with every second one exchanged: who is with whom in an arm is different too.

    A leak that tells two arms apart, and not which is which, would show here and not in ``exchanged``.
    """
    turn = itertools.cycle((False, True))
    return {
        stratum: [1 - arm if next(turn) else arm for arm in sequence] for stratum, sequence in arms.items()
    }


@dataclass(frozen=True)
class World:
    """A database with an active trial, the secrets of its people, and what nobody masked may know."""

    database: str
    people: Mapping[str, Any]
    arms: Mapping[str, int]


@dataclass
class Play:
    """
    One play in progress: its servers, its moment, and what masked roles have seen so far.

    What others were sent, preparers and whoever breaks a code, is kept apart.
    """

    world: World
    database: str
    ports: Mapping[str, int]
    clock: psycopg.Connection
    step: int = 0
    seen: list[Seen] = field(default_factory=list)
    unmasked: list[Seen] = field(default_factory=list)

    @property
    def now(self) -> dt.datetime:
        """The moment of the next request, real time."""
        return START + dt.timedelta(seconds=self.step + 1)

    def ask(
        self, face: str, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> wire.Answer:
        moment = self.now
        self.step += 1
        self.clock.execute("UPDATE masking_clock.moment SET now = %s", [moment])
        injected = {"X-Masking-Moment": moment.isoformat(), "X-Masking-Step": str(self.step)}
        return wire.ask(self.ports[face], method, target, {**headers, **injected}, body)

    def sweep(self) -> None:
        """Let the signer and then the worker do what is due."""
        for face in ("signer", "worker"):
            answer = self.ask(face, "POST", "/", {})
            assert answer.status == 204, f"{face}: {answer.raw.decode()}"

    def generation(self) -> int:
        row = self.clock.execute("SELECT generation FROM clock_trialclock").fetchone()
        return int(row[0]) if row else 0


class Stage:
    """The keys and processes of all plays; a context."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.keys, self.offline = folder / "keys", folder / "offline"
        study = protocols.load(TRIAL_FILE).protocol
        make_keys(keys=self.keys, offline=self.offline, origin=f"{DEPLOYMENT}/{study}", at=START)
        self._databases: list[str] = []
        self._stack = ExitStack()

    def __enter__(self) -> Stage:
        self._nurseries = {face: Nursery(face, self._environment(face)) for face in PROCESSES}
        for nursery in self._nurseries.values():
            self._stack.callback(nursery.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for database in self._databases:
            self.cluster.drop(database)

    def _environment(self, face: str) -> dict[str, str]:
        """Return the whole environment of a process of that face: its own keys only."""
        keys = {name: str(self.keys / face / file) for name, file in KEYS.get(face, {}).items()}
        if face == "migrator":
            keys["FACTOR_KEY_FILE"] = str(self.keys / "unmasked/factor-unmasked-1.key")
            keys["MASKED_FACTOR_KEY_FILE"] = str(self.keys / "masked/factor-masked-1.key")
        if face == "worker":
            keys |= {"BROKER_URL": "memory://", "MAIL_DIR": str(self.folder)}
        return {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "trialsite.settings",
            "TRIALSITE_FACE": face,
            "TRIALSITE_EVALUATION": "1",
            "TRIALSITE_DEPLOYMENT": DEPLOYMENT,
            "SECRET_KEY": f"a-secret-of-the-{face}-process-which-opens-nothing-anywhere",
            "PUBLIC_KEYS_FILE": str(self.keys / "public_keys.json"),
            **keys,
        }

    def world(self, arms: Arms, seed: bytes) -> World:
        """Bring a new database to an active trial with these arms; all else follows from the seed."""
        list_folder = self._seal(arms, seed)
        database = self._new_database()
        with self._connected(database) as connection:
            connection.execute(CLOCK)
            rows.number_rows(connection)
            with self._serving(database, ["migrator"]) as ports:
                play = Play(World(database, {}, {}), database, ports, connection)
                answer = play.ask("migrator", "POST", "/", {"X-List": str(list_folder)})
        assert answer.status == 200, (self.folder / f"{database}-migrator.log").read_text()
        return World(database, answer.json(), self._numbered(arms, seed))

    def _seal(self, arms: Arms, seed: bytes) -> Path:
        folder = self.folder / f"list-{uuid.uuid4().hex}"
        public_keys = PublicKeys.load(self.keys / "public_keys.json")
        protocol = protocols.load(TRIAL_FILE)
        secret = read_key_file(self.offline / "statistician-1.key").secret
        name = f"{DEPLOYMENT}/{protocol.protocol}/statistician"
        bundle_of(
            spec_of(protocol, length=max(LENGTHS)),
            arms,
            seed,
            public_keys=public_keys,
            statistician=SigningKey(name, secret),
            below=random.Random(seed).randrange,
        ).write(folder)
        return folder

    def _numbered(self, arms: Arms, seed: bytes) -> dict[str, int]:
        """Return the arm behind each randomization number."""
        flat = [arm for sequence in arms.values() for arm in sequence]
        return dict(zip(draw_numbers(len(flat), below=random.Random(seed).randrange), flat, strict=True))

    @contextmanager
    def play(self, world: World, *, leaks: Sequence[str] = ()) -> Iterator[Play]:
        """Serve a copy of the world; what the processes leave behind is seen when it ends."""
        database = self._new_database(template=world.database)
        with self._connected(database) as connection:
            faces = ["masked", "unmasked", "signer", "worker"]
            with self._serving(database, faces, leaks=leaks, arms=world.arms) as ports:
                play = Play(world, database, ports, connection)
                yield play
        for name in ("masked.log", "worker.log", "mail/sent"):
            play.seen.append(Seen(f"file {name}", self._left_behind(database, name)))

    def _left_behind(self, database: str, name: str) -> bytes:
        path = self.folder / f"{database}-{name}"
        return path.read_bytes() if path.exists() else b""

    def _new_database(self, template: str = "") -> str:
        name = f"masking_{uuid.uuid4().hex[:12]}"
        self._databases.append(name)
        if template:
            with psycopg.connect(self.cluster.url("postgres"), autocommit=True) as connection:
                roles.create_database(connection, name=name, template=template)
        else:
            self.cluster.create(name)
        return name

    @contextmanager
    def _connected(self, database: str) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.cluster.url(database), autocommit=True) as connection:
            yield connection

    @contextmanager
    def _serving(
        self,
        database: str,
        faces: Sequence[str],
        *,
        leaks: Sequence[str] = (),
        arms: Mapping[str, int] | None = None,
    ) -> Iterator[dict[str, int]]:
        mail = self.folder / f"{database}-mail"
        mail.mkdir()
        started = {}
        with ExitStack() as stack:
            for face in faces:
                nursery = self._nurseries[face]
                started[face] = server = nursery.order(
                    database=self.cluster.django_settings(database, PROCESSES[face]),
                    log=str(self.folder / f"{database}-{face}.log"),
                    checkpoint=str(self.folder / f"{database}-checkpoint.note"),
                    mail=str(mail),
                    leaks=list(leaks),
                    arms=dict(arms or {}),
                )
                stack.callback(nursery.order, stop=server["pid"])
            yield {face: server["port"] for face, server in started.items()}
