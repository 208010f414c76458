"""
The place of a run: a throw-away deployment, made as ``manage.py serve`` makes an evaluation.

Its PostgreSQL flushes every commit. Its trial is the packaged one with one factor more, so that there
are a hundred strata. Each database beside the first is a copy of it, with a masked server of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg

from trialsite import protocol
from trialsite.deployment import bring_up, roles
from trialsite.deployment.evaluation import DATABASE, Evaluation
from trialsite.deployment.postgres import Postgres
from trialsite.deployment.processes import a_free_port
from trialsite.deployment.serve import GUNICORN
from trialsite.deployment.supervisor import Child

MASKED = "irt_masked"
INVESTIGATOR, SITE = "investigator", "PUREN"
# Of the real ceremony; the rest of a stratum's slots are rows that ``benchmarks.rows`` adds.
CAPACITY = 8
WARDS = 25
READY_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Server:
    """The masked face, serving one database on one port."""

    port: int
    database: str


class Place:
    """One deployment and what belongs to it; everything is gone after ``with a_place()``."""

    def __init__(self, folder: Path) -> None:
        self.evaluation = Evaluation(data=folder / "data", trial_file=folder / "trial.toml")
        self.evaluation.trial_file.write_text(_trial_file())
        self.evaluation.make_data_folder()
        self.evaluation.make_folders()
        self.postgres = Postgres(self.evaluation.data, log=self.evaluation.log("postgres"))
        self._children: list[Child] = []

    def start(self) -> None:
        """Start PostgreSQL and bring the trial up to its activation."""
        self.postgres.start()
        self.evaluation.ports["postgres"] = self.postgres.port
        bring_up.prepare_database(self.evaluation, self.postgres)
        bring_up.set_up_trial(self.evaluation, capacity=CAPACITY)

    def stop(self) -> None:
        """Stop the servers, then PostgreSQL, and delete its data."""
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            child.wait()
        self.postgres.destroy()

    @property
    def token(self) -> str:
        """The investigator's token."""
        return str(json.loads(self.evaluation.users.read_text())[INVESTIGATOR]["token"])

    @property
    def strata(self) -> list[Mapping[str, str]]:
        """The levels of every stratum."""
        factors = protocol.load(self.evaluation.trial_file).factors
        levels = itertools.product(*(factor.levels for factor in factors))
        codes = [factor.code for factor in factors]
        return [dict(zip(codes, each, strict=True)) for each in levels]

    def copy(self, name: str) -> None:
        """Copy the first database, to which nothing may be connected."""
        with self.superuser("postgres") as connection:
            roles.create_database(connection, name=name, template=DATABASE)

    def superuser(self, database: str = DATABASE) -> psycopg.Connection:
        """Return a connection that may load rows in bulk; it commits each statement."""
        return psycopg.connect(self.postgres.url(database=database), autocommit=True)

    def url(self, database: str = DATABASE) -> str:
        """Return the address of a database for the masked face's login."""
        password = self.evaluation.secrets["passwords"][MASKED]
        return self.postgres.url(database=database, login=MASKED, password=password)

    def environment(self, database: str = DATABASE) -> dict[str, str]:
        """Return the environment of a masked process on a database, with the empty calls beside."""
        given = self.evaluation.environment("masked")
        return given | {"DATABASE_URL": self.url(database), "DJANGO_SETTINGS_MODULE": "benchmarks.settings"}

    def serve(self, database: str = DATABASE, **settings: str) -> Server:
        """
        Start the masked face as ``manage.py serve`` starts it, and return when it answers.

        :param settings: more of its environment, such as ``WEB_WORKERS``.
        :raises RuntimeError: if it does not answer.
        """
        port = a_free_port()
        child = Child(
            f"masked-{database}",
            [*GUNICORN, "--bind", f"127.0.0.1:{port}"],
            self.environment(database) | settings,
            self.evaluation.log(f"masked-{database}"),
        )
        child.start()
        self._children.append(child)
        _wait_until_ready(port, child)
        return Server(port, database)


@contextlib.contextmanager
def a_place() -> Iterator[Place]:
    """Make a deployment in a temporary folder; stop and delete it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="trialsite-benchmarks-"))
    folder.chmod(0o711)  # PostgreSQL's own user passes through it
    place = Place(folder)
    try:
        place.start()
        yield place
    finally:
        place.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _trial_file() -> str:
    """Return the packaged trial with a factor of WARDS levels more."""
    wards = ", ".join(f'"ward-{number:02d}"' for number in range(1, WARDS + 1))
    factor = f'\n[[factors]]\ncode = "ward"\nlevels = [{wards}]\n'
    return protocol.DEFAULT_TRIAL_FILE.read_text() + factor


def _wait_until_ready(port: int, child: Child) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and child.lives:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    message = f"{child.name} does not answer; its log ends: {child.log.read_text()[-2000:]}"
    raise RuntimeError(message)
