"""
The evaluation deployment: everything on one machine, started by one command.

PostgreSQL, both faces, the signer, and worker with beat. The first start makes keys, the sealed
list, accounts and an active trial; every later start on the same folder finds them again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import shlex
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from trialsite.deployment import bring_up
from trialsite.deployment.evaluation import BROKER, FACES, Evaluation, FolderUnusable, write_private
from trialsite.deployment.postgres import Postgres
from trialsite.deployment.processes import a_free_port, refuse_ports_in_use
from trialsite.deployment.supervisor import Child, Supervisor

READY_SECONDS = 60
PROCESSES = ("masked", "unmasked", "signer", "worker")
GUNICORN = ("-m", "gunicorn", "--config", "python:trialsite.deployment.web")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

logger = logging.getLogger(__name__)


class InUse(RuntimeError):
    """Another service runs on the same data folder."""


class NotReady(RuntimeError):
    """A face did not become ready; its log says why."""


class Stopped(BaseException):
    """The service was asked to stop."""


@dataclass(frozen=True)
class Options:
    """Where to serve and how: ``ports`` by face, each a free one unless given."""

    data: Path
    ready_file: Path
    trial_file: Path
    capacity: int = 60
    ports: dict[str, int | None] | None = None


def serve(options: Options) -> None:
    """
    Serve until SIGTERM, SIGINT or SIGHUP.

    :raises InUse: when the data folder is served already.
    :raises FolderUnusable: when a folder cannot be used, or the data folder holds something else.
    :raises trialsite.deployment.processes.PortUnusable: when a port that was given is not free.
    :raises trialsite.deployment.bring_up.BringUpFailed: when a step of the set-up fails.
    :raises NotReady: when a face does not answer.
    :raises trialsite.deployment.supervisor.DiesRepeatedly: when a process cannot be kept running.
    """
    evaluation = Evaluation(data=options.data, trial_file=options.trial_file.absolute())
    with _signals(), _only_one(evaluation):
        refuse_ports_in_use(options.ports or {})
        with _usable(options.ready_file.absolute().parent):
            options.ready_file.unlink(missing_ok=True)
            # Whether it can be written, before minutes are spent.
            tempfile.TemporaryFile(dir=options.ready_file.absolute().parent).close()
        supervisor = Supervisor(Postgres(evaluation.data, log=evaluation.log("postgres")))
        try:
            _start(evaluation, supervisor, options)
            supervisor.watch()
        except Stopped:
            logger.info("Stopping.")
        finally:
            _ignore_signals()
            options.ready_file.unlink(missing_ok=True)
            supervisor.stop()


def _start(evaluation: Evaluation, supervisor: Supervisor, options: Options) -> None:
    supervisor.postgres.start()
    programs = supervisor.postgres.programs
    logger.info("PostgreSQL %s (%s) is running.", programs.major, programs.origin)
    evaluation.ports["postgres"] = supervisor.postgres.port
    bring_up.prepare_database(evaluation, supervisor.postgres)
    bring_up.set_up_trial(evaluation, capacity=options.capacity)
    for face in FACES:
        evaluation.ports[face] = (options.ports or {}).get(face) or a_free_port()
    for name in PROCESSES:
        supervisor.start(_child(evaluation, name))
    _wait_until_ready(evaluation, supervisor)
    write_private(options.ready_file.absolute(), ready(evaluation))
    logger.info("Ready: masked %s, unmasked %s.", *(_address(evaluation, face) for face in FACES))
    logger.info("In a second terminal: READY=%s", shlex.quote(str(options.ready_file.absolute())))
    if supervisor.postgres.elsewhere:
        logger.info("PostgreSQL's own user cannot reach the data folder.")
        logger.info("PostgreSQL's data are in %s.", supervisor.postgres.elsewhere)


def _child(evaluation: Evaluation, name: str) -> Child:
    if name in FACES:
        arguments = [*GUNICORN, "--bind", f"127.0.0.1:{evaluation.ports[name]}"]
    else:
        arguments = ["manage.py", f"run_{name}"]
    return Child(name, arguments, evaluation.environment(name), evaluation.log(name))


def ready(evaluation: Evaluation) -> dict[str, Any]:
    """Return the content of the ready file, as docs/ and the contract with clients name it."""
    return {
        **{face: _address(evaluation, face) for face in FACES},
        "data": str(evaluation.data),
        "offline_keys": str(evaluation.offline),
        "logs": [str(evaluation.log(name)) for name in ("postgres", "set-up", *PROCESSES)],
        "database": {
            "owner": evaluation.database_url("irt_migrator"),
            **{name: evaluation.database_url(f"irt_{name}") for name in (*FACES, "worker")},
        },
        "broker": BROKER,
        "users": json.loads(evaluation.users.read_text()),
    }


def _address(evaluation: Evaluation, face: str) -> str:
    return f"http://127.0.0.1:{evaluation.ports[face]}"


def _wait_until_ready(evaluation: Evaluation, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while waiting := [face for face in FACES if not _is_ready(evaluation, supervisor, face)]:
        if time.monotonic() > deadline:
            message = f"{waiting[0]} is not ready after {READY_SECONDS} s; see {evaluation.log(waiting[0])}."
            raise NotReady(message)
        time.sleep(0.1)
        supervisor.look()


def _is_ready(evaluation: Evaluation, supervisor: Supervisor, face: str) -> bool:
    """Whether the face answers and its own process lives: somebody else's on the port is not it."""
    return _answers(f"{_address(evaluation, face)}/readyz") and supervisor.lives(face)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def _only_one(evaluation: Evaluation) -> Iterator[None]:
    """Hold the data folder's lock; two services on one folder would spoil it."""
    with contextlib.ExitStack() as held:
        with _usable(evaluation.data):
            evaluation.make_data_folder()
            lock = held.enter_context(evaluation.lock.open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"Another service runs on {evaluation.data}."
                raise InUse(message) from None
            evaluation.make_folders()
        yield


@contextlib.contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Say in words which folder cannot be used, and why."""
    try:
        yield
    except OSError as error:
        message = f"{folder} cannot be used: {error.strerror} ({error.filename})."
        raise FolderUnusable(message) from None


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        _ignore_signals()
        raise Stopped(signal.Signals(number).name)

    # What is ignored already stays so: a service under nohup outlives its terminal.
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    except Stopped:
        logger.info("Stopped before it was ready.")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    """A second Ctrl-C must not cut short what puts everything safely down."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
