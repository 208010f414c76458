"""
One face as a process of its own that ends itself with SIGKILL at a named point of a request.

    python -m tests.faults.mortal_server --dies "POINT" [--witness FILE] [--opens-first]

The product knows nothing of it: functions are wrapped here, in the child. ``--witness`` names a file
that gets one line whenever an arm has been opened; a line written survives the process.
``--opens-first`` breaks the order of an unblinding, to show that the tests would notice.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

NEVER = "never"


class Quiet(WSGIRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Keep the test's output clean."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(
    owner: Any,
    name: str,
    *,
    before: Callable[[], None] | None = None,
    after: Callable[[], None] | None = None,
) -> None:
    """Let something happen before or after a function."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before:
            before()
        result = original(*args, **kwargs)
        if after:
            after()
        return result

    setattr(owner, name, wrapped)


class Commits:
    """Counts commits, so that the process may die before or after the first of a request."""

    def __init__(self, dies: str) -> None:
        self.dies = dies
        self.count = 0

    def before(self) -> None:
        self.count += 1
        if self.dies == f"before commit {self.count}":
            die()

    def after(self) -> None:
        if self.dies == f"after commit {self.count}":
            die()


def set_points(dies: str, witness: Path | None) -> None:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from randomization.services import assignment, unblinding, unblinding_requests
    from supply.services import enrolment
    from trialsite.api.masked import participants
    from trialsite.api.unmasked import unblindings

    commits = Commits(dies)
    wrap(BaseDatabaseWrapper, "commit", before=commits.before, after=commits.after)
    points: dict[str, tuple[Any, str, str]] = {
        "before the lock": (assignment, "locked_stratum", "before"),
        "after the lock": (assignment, "locked_stratum", "after"),
        "after the slot is taken": (enrolment, "take_next_slot", "after"),
        "after everything is written": (enrolment, "record", "after"),
        "before the reply": (participants, "perform", "after"),
        "before the request is recorded": (unblinding_requests, "record_act", "before"),
        "after the request is recorded": (unblinding_requests, "record_act", "after"),
        "before the checkpoint": (unblinding, "sign_checkpoint", "before"),
        "after the checkpoint": (unblinding, "sign_checkpoint", "after"),
        "after the reveal is recorded": (unblinding, "record_reveal", "after"),
        "before the answer": (unblindings, "perform_in_two", "after"),
    }
    if dies in points:
        owner, name, when = points[dies]
        wrap(owner, name, **{when: die})

    def opened() -> None:
        if witness:
            with witness.open("a") as file:
                file.write("opened\n")
        if dies == "after the envelope is opened":
            die()

    wrap(unblinding, "open_slot", after=opened)


def open_first() -> None:
    """Swap the order: the envelope is opened before the request is on the trail."""
    from django.conf import settings

    from randomization.services import unblinding, unblinding_requests
    from trialsite.opening import FileKeys

    original = unblinding_requests.request_unblinding

    def opening_first(**given: Any) -> Any:
        unblinding.open_arm(given["participant_id"], keys=FileKeys([settings.CODE_BREAK_KEY_FILE]))
        return original(**given)

    unblinding_requests.request_unblinding = opening_first


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dies", default=NEVER)
    parser.add_argument("--witness", type=Path)
    parser.add_argument("--opens-first", action="store_true")
    options = parser.parse_args()
    from trialsite.wsgi import application

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        set_points(options.dies, options.witness)
        if options.opens_first:
            open_first()
        print(server.server_port, flush=True)  # noqa: T201 - the test reads the port here
        server.serve_forever()


if __name__ == "__main__":
    main()
