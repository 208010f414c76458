"""
A process of the day that is played to test the masking, whose clock and chance are given.

Started once for each face, it imports what the face imports, then waits on standard input and
makes one server for each play by forking: the product's own web server and application, with a
database, a log and a mail folder of that play. Nothing in product code knows of this. For the time
of one request the operating system's clock stands at the moment that the request names, and the
operating system's randomness is a stream that follows from the request's number, so that two plays
in which the same is asked differ in nothing but what the arms make different.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import random
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import time_machine

from trialsite.deployment.processes import ends_with_parent

MOMENT, STEP = "HTTP_X_MASKING_MOMENT", "HTTP_X_MASKING_STEP"
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_urandom = os.urandom


class Chance:
    """Stands for ``os.urandom``: bytes that follow from a name."""

    def __init__(self, name: str) -> None:
        self._name, self._drawn = name.encode(), 0

    def __call__(self, size: int) -> bytes:
        blocks = b""
        while len(blocks) < size:
            blocks += hashlib.sha256(self._name + self._drawn.to_bytes(8)).digest()
            self._drawn += 1
        return blocks[:size]


class Injected:
    """A WSGI application under the clock and the chance that each request names."""

    def __init__(self, application: Application, *, face: str) -> None:
        self.application, self.face = application, face

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        moment, step = dt.datetime.fromisoformat(environ.pop(MOMENT)), environ.pop(STEP)
        return Held(lambda: self.application(environ, start_response), moment, Chance(f"{self.face} {step}"))


class Held:
    """The answer of one request; clock and chance stand still until the server closes it."""

    def __init__(self, answer: Callable[[], Iterable[bytes]], moment: dt.datetime, chance: Chance) -> None:
        self._clock = time_machine.travel(moment, tick=False)
        self._clock.start()
        # ``secrets`` and ``uuid`` draw through one of these two names.
        os.urandom = random._urandom = chance  # type: ignore[attr-defined]
        try:
            self._answer = answer()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        close = getattr(getattr(self, "_answer", None), "close", None)
        try:
            if close:
                close()
        finally:
            os.urandom = random._urandom = _urandom  # type: ignore[attr-defined]
            self._clock.stop()


def sweeping(face: str) -> Application:
    """Return an application that does one round of the signer's or the worker's work when asked."""
    from supply.services import schedule
    from trialsite import celery
    from trialsite.clock import services as clock
    from trialsite.deployment.management.commands import run_signer

    celery.app.loader.import_default_modules()  # the tasks, as a worker does when it starts

    def work() -> None:
        if face == "signer":
            run_signer.Command()._tick(0)
            return
        generation = clock.pending_sweep(swept="worker_swept")
        schedule.run_all(at=clock.trial_now())
        if generation is not None:
            clock.report_swept(swept="worker_swept", generation=generation)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        work()
        start_response("204 No Content", [])
        return []

    return application


def setting_up() -> Application:
    """Return an application that brings an empty database to an active trial; it answers the people."""
    from django.conf import settings
    from django.core.management import call_command

    from supply.services.activation import activate_trial
    from trialsite.accounts.models import User
    from trialsite.accounts.services.evaluation import create_users
    from trialsite.clock.services import trial_now

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        for command in (["record_genesis", "--by", "Masking"], ["load_trial"]):
            call_command(*command, stdout=sys.stderr)
        call_command("install_list", environ["HTTP_X_LIST"], stdout=sys.stderr)
        factor_keys = [settings.FACTOR_KEY_FILE, settings.MASKED_FACTOR_KEY_FILE]
        people = create_users(at=trial_now(), key_files=factor_keys)
        activate_trial(by=User.objects.get(username="statistician"), at=trial_now())
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(people).encode()]

    return application


def the_application(face: str) -> Application:
    """Return what a process of that face does, everything imported."""
    import django

    django.setup()
    import knox.crypto
    from django.contrib.auth.hashers import Argon2PasswordHasher

    # As slow as a password hash must be, a day would take minutes; how slow it is shows nothing here.
    Argon2PasswordHasher.time_cost, Argon2PasswordHasher.memory_cost = 1, 8
    Argon2PasswordHasher.parallelism = 1
    # Knox took the function under a name of its own.
    knox.crypto.generate_bytes = lambda size: os.urandom(size)
    if face in ("masked", "unmasked"):
        from django.urls import get_resolver

        from trialsite.wsgi import application

        get_resolver().url_patterns  # noqa: B018 - imported before the fork, once
        return application
    return setting_up() if face == "migrator" else sweeping(face)


def serve(application: Application, play: dict[str, Any], listener: socket.socket) -> None:
    """Serve one play's requests in this process, as the product does, until it is killed."""
    from django.conf import settings
    from django.core.mail.backends.filebased import EmailBackend
    from django.db import connections
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

    log = os.open(play["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    connections.settings["default"].update(play["database"])
    settings.CHECKPOINT_FILE = play["checkpoint"]
    settings.EMAIL_FILE_PATH = play["mail"]
    # One file, in the order of sending: the names that Django gives hold addresses of memory.
    mock.patch.object(EmailBackend, "_get_filename", return_value=str(Path(play["mail"]) / "sent")).start()
    if play["leaks"]:
        from tests.masking import leaks

        leaks.plant(play["leaks"], arms=play["arms"], face=settings.FACE)

    class Served(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
        def load_config(self) -> None:
            for name, value in {
                "bind": f"fd://{listener.fileno()}",
                "workers": 1,
                "loglevel": "warning",
                "accesslog": None,
                "control_socket_disable": True,
            }.items():
                self.cfg.set(name, value)

        def load(self) -> Application:
            return application

    Served().run()


def main(face: str) -> None:
    """Make a server for each line of standard input, and end those that a line names."""
    application = Injected(the_application(face), face=face)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        if "stop" in order:
            os.killpg(order["stop"], signal.SIGKILL)
            os.waitpid(order["stop"], 0)
            answer: dict[str, Any] = {}
        else:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                pid = os.fork()
                if not pid:
                    os.setsid()
                    ends_with_parent(signal.SIGKILL)()
                    serve(application, order, listener)
                answer = {"pid": pid, "port": listener.getsockname()[1]}
        print(json.dumps(answer), file=answers, flush=True)


def one_time_code(secret: str, moment: dt.datetime) -> str:
    """Return what the person's authenticator shows at that moment (RFC 6238)."""
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(int(moment.timestamp())).decode()  # noqa: S303


if __name__ == "__main__":
    main(sys.argv[1])
