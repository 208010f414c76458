"""
A PostgreSQL cluster of our own, in a local folder: made, started, stopped, started again.

It listens on loopback only, asks everyone for a password (SCRAM-SHA-256), keeps checksums of its
pages, and flushes every commit. Nothing that was bound to a statement reaches its log.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from trialsite.deployment.os_user import OsUser, unprivileged_user
from trialsite.deployment.postgres_programs import Programs, find_programs, make_state_folder
from trialsite.deployment.processes import a_free_port, ends_with_parent

SUPERUSER = "postgres"
START_SECONDS = 60
STOP_SECONDS = 60
_POINTER = "postgres.elsewhere"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # What a person wrote or an arm's envelope must not reach a log through the server: neither a
    # statement, nor its parameters, nor the "Key (...)=(...)" of an error's detail.
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
}
THROW_AWAY = {"fsync": "off", "full_page_writes": "off"}


class PostgresFailed(RuntimeError):
    """PostgreSQL could not be made or started; the message says where its log is."""


class Postgres:
    """
    One cluster. ``folder`` is where its home is asked for.

    Run by root, the home stands in ``folder`` if the unprivileged user can reach it, else in a
    folder within that user's reach; a pointer file in ``folder`` finds it again.
    """

    def __init__(self, folder: Path, *, log: Path, throw_away: bool = False, only: str | None = None) -> None:
        self.user: OsUser = unprivileged_user()
        self.folder = folder.absolute()
        self.log = log
        self.port = 0
        self._settings = {**SETTINGS, **(THROW_AWAY if throw_away else {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.home = _home_of(self.folder, user=self.user)
        self.data = self.home / "data"
        made_with = self.data / "PG_VERSION"
        major = int(made_with.read_text()) if made_with.exists() else None
        # Data that exists is served by the version that made it, wherever that is found.
        self.programs: Programs = find_programs(user=self.user, major=major, only=None if major else only)

    @property
    def password(self) -> str:
        """The superuser's password, which stays with the cluster."""
        return (self.home / "superuser-password").read_text().strip()

    @property
    def elsewhere(self) -> Path | None:
        """Where the cluster stands, if that is not below the folder that was asked for."""
        return None if self.home.parent == self.folder else self.home

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def url(self, *, database: str, login: str = SUPERUSER, password: str | None = None) -> str:
        """Return the URL of a database for a login; default the superuser."""
        password = self.password if password is None else password
        return database_url(port=self.port, database=database, login=login, password=password)

    def start(self, *, port: int | None = None) -> None:
        """
        Make the cluster if it is new, start it, and return when it answers.

        :param port: the port to listen on; None for a free one.
        :raises PostgresFailed: when it does not answer.
        """
        if not (self.data / "PG_VERSION").exists():
            self._make()
        self._stop_what_is_left_over()
        # A free port may be taken between the look and the start: look again.
        for attempts_left in (0,) if port else (4, 3, 2, 1, 0):
            self.port = port or a_free_port()
            if self._launch():
                return
            if not attempts_left:
                message = f"PostgreSQL did not start on port {self.port}; see {self.log}."
                raise PostgresFailed(message)

    def stop(self) -> None:
        """Stop the cluster in fast mode: open transactions end, everything committed is kept."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(STOP_SECONDS)
        self._process = None

    def destroy(self) -> None:
        """Stop a throw-away cluster and delete it."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        (self.folder / _POINTER).unlink(missing_ok=True)

    def _make(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)  # what an interrupted initdb left
        password_file = self.home / "superuser-password"
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(32) + "\n")
        self.user.give(password_file)
        arguments = [
            "--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={password_file}",
            "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions",
        ]  # fmt: skip
        made = self.user.run([self.programs.path("initdb"), "-D", self.data, *arguments])
        if made.returncode != 0:
            self.log.write_text(made.stdout + made.stderr)
            shutil.rmtree(self.data, ignore_errors=True)
            message = f"initdb of PostgreSQL {self.programs.major} failed; see {self.log}."
            raise PostgresFailed(message)

    def _stop_what_is_left_over(self) -> None:
        """Stop the server of a supervisor that was killed before it could stop its own."""
        lock = self.data / "postmaster.pid"
        if not lock.exists():
            return
        pid = int(lock.read_text().splitlines()[0])
        deadline = time.monotonic() + STOP_SECONDS
        while _serves(pid, self.data) and time.monotonic() < deadline:
            os.kill(pid, signal.SIGINT)
            time.sleep(0.2)
        # After a restart of the machine the number may be another program's, and PostgreSQL would
        # take that for a running server. No server of this data is left: the lock is stale.
        lock.unlink(missing_ok=True)

    def _launch(self) -> bool:
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        program = str(self.programs.path("postgres"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-D", str(self.data), f"--port={self.port}", *settings],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C at a terminal goes to the supervisor, which stops PostgreSQL last.
                start_new_session=True,
                preexec_fn=ends_with_parent(signal.SIGINT),
                **self.user.switch(),
            )
        return self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < deadline:
            try:
                psycopg.connect(self.url(database="postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return True
        self.stop()
        return False


def database_url(*, port: int, database: str, login: str, password: str) -> str:
    """Return the URL of a database on loopback."""
    return f"postgresql://{quote(login)}:{quote(password, safe='')}@127.0.0.1:{port}/{quote(database)}"


def _serves(pid: int, data: Path) -> bool:
    """Whether the process ``pid`` is a PostgreSQL server of ``data``."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(data) in command


def _home_of(folder: Path, *, user: OsUser) -> Path:
    """Return the folder that holds the cluster, making it where ``user`` can reach it."""
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
        if user.name is not None:
            folder.chmod(0o711)  # a folder of our own: to pass through, not to read
    pointer, here = folder / _POINTER, folder / "postgres"
    if pointer.exists():
        return Path(pointer.read_text().strip())
    if not here.exists():
        here.mkdir(mode=0o700)
        user.give(here)
    if user.can_enter(here):
        return here
    here.rmdir()
    elsewhere = Path(tempfile.mkdtemp(dir=make_state_folder(), prefix="postgres-"))
    user.give(elsewhere)
    pointer.write_text(f"{elsewhere}\n")
    return elsewhere
