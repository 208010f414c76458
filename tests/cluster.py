"""
The tests' own PostgreSQL: one throw-away cluster for a run, shared by its workers.

Run as a program, this keeps the cluster: it starts PostgreSQL, makes the roles, and fills a
template database by the product's own migrations and grants. It ends, and leaves nothing behind,
when the test run that asked for it ends, however that happens.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from trialsite.deployment import roles
from trialsite.deployment.postgres import SUPERUSER, Postgres, database_url

__all__ = ["SUPERUSER", "Cluster", "the_cluster"]

TEMPLATE = "template_trialsite"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Cluster:
    """Where the cluster listens, and everybody's password."""

    port: int
    passwords: dict[str, str]

    def url(self, database: str, login: str = SUPERUSER) -> str:
        return database_url(port=self.port, database=database, login=login, password=self.passwords[login])

    def django_settings(self, database: str, login: str = SUPERUSER) -> dict[str, Any]:
        return {
            "HOST": "127.0.0.1",
            "PORT": self.port,
            "NAME": database,
            "USER": login,
            "PASSWORD": self.passwords[login],
        }

    def create(self, database: str) -> None:
        """Make a database with the template's tables, rows and grants."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            roles.create_database(connection, name=database, template=TEMPLATE)

    def drop(self, database: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


def the_cluster(folder: Path, *, owner: int) -> Cluster:
    """Return the run's cluster, started by whoever asks first."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "keeper.pid").exists():
            _start_keeper(folder, owner=owner)
        deadline = time.monotonic() + 180
        while not (folder / "cluster.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    kept = json.loads((folder / "cluster.json").read_text())
    if "error" in kept:
        raise RuntimeError(f"The template database could not be made.\n{kept['error']}")
    return Cluster(**kept)


def _start_keeper(folder: Path, *, owner: int) -> None:
    command = [sys.executable, "-m", "tests.cluster", "--folder", str(folder), "--owner", str(owner)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with (folder / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    # It outlives the worker that started it; whoever ends the run ends it by this number.
    keeper.returncode = 0
    (folder / "keeper.pid").write_text(str(keeper.pid))


def stop(folder: Path) -> None:
    """End the run's cluster, if it has one, and delete the run's folder."""
    pid_file = folder / "keeper.pid"
    if pid_file.exists():
        pid = int(pid_file.read_text())
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            pass
        else:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            select.select([handle], [], [], 60)
            os.close(handle)
    shutil.rmtree(folder, ignore_errors=True)


def keep(folder: Path, *, owner: int) -> None:
    """Hold a cluster for the process ``owner`` until that ends or this is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    postgres = Postgres(folder / "cluster", log=folder / "postgres.log", throw_away=True)
    try:
        try:
            answer = _fill(postgres)
        except BaseException:
            answer = {"error": traceback.format_exc()}
        unfinished = folder / "cluster.json.unfinished"
        unfinished.write_text(json.dumps(answer))
        unfinished.rename(folder / "cluster.json")
        select.select([os.pidfd_open(owner)], [], [])
    finally:
        postgres.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def _fill(postgres: Postgres) -> dict[str, Any]:
    postgres.start()
    passwords = {login: secrets.token_urlsafe(32) for login in roles.LOGINS}
    with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as connection:
        roles.create_roles(connection, passwords=passwords)
        roles.create_database(connection, name=TEMPLATE)
    with psycopg.connect(postgres.url(database=TEMPLATE), autocommit=True) as connection:
        roles.close_schema(connection)
    passwords[SUPERUSER] = postgres.password
    cluster = Cluster(port=postgres.port, passwords=passwords)
    migrated = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TRIALSITE_FACE": "migrator",
            "DATABASE_URL": cluster.url(TEMPLATE, roles.MIGRATOR),
        },
    )
    if migrated.returncode != 0:
        return {"error": migrated.stdout + migrated.stderr}
    with psycopg.connect(postgres.url(database=TEMPLATE), autocommit=True) as connection:
        # Most tests write the trail without taking on a role; those of privileges log in as one.
        connection.execute(
            "INSERT INTO audit_writer (kind, login, masked_visible)"
            " SELECT DISTINCT kind, current_user, masked_visible FROM audit_writer"
        )
    return {"port": cluster.port, "passwords": cluster.passwords}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--owner", type=int, required=True)
    arguments = parser.parse_args()
    keep(arguments.folder, owner=arguments.owner)
