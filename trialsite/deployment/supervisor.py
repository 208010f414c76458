"""Keeps a deployment's processes running, starts again one that died, and stops PostgreSQL last."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trialsite.deployment.evaluation import ROOT
from trialsite.deployment.postgres import Postgres, PostgresFailed
from trialsite.deployment.processes import ends_with_parent

LOOK_SECONDS = 0.2
STOP_SECONDS = 20
DEATHS = 5
DEATHS_WITHIN_SECONDS = 60

logger = logging.getLogger(__name__)


class DiesRepeatedly(RuntimeError):
    """A process died again and again: starting it once more would hide what is wrong."""


@dataclass
class Child:
    """One process: its command (arguments of Python), its own environment and log."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=DEATHS))

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C at a terminal goes to the supervisor, which stops PostgreSQL last.
                start_new_session=True,
                preexec_fn=ends_with_parent(signal.SIGTERM),
            )

    def ask_to_stop(self) -> None:
        if self.process is not None and self.lives:
            self.process.terminate()

    def wait(self) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not stop in %s s and was killed.", self.name, STOP_SECONDS)
            self.process.kill()
            self.process.wait()

    @property
    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def died(self) -> bool:
        return self.process is not None and self.process.poll() is not None


class Supervisor:
    """PostgreSQL and the processes that need it."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.children: list[Child] = []
        self._postgres_deaths: deque[float] = deque(maxlen=DEATHS)

    def start(self, child: Child) -> None:
        self.children.append(child)
        child.start()

    def look(self) -> None:
        """
        Start again what has died.

        :raises DiesRepeatedly: when it has died DEATHS times within DEATHS_WITHIN_SECONDS.
        """
        if not self.postgres.running:
            _count(self._postgres_deaths, "postgres", "its server is gone", self.postgres.log)
            try:
                self.postgres.start(port=self.postgres.port)
            except PostgresFailed as error:
                logger.warning("%s", error)
        for child in self.children:
            if child.died() and child.process is not None:
                _count(child.deaths, child.name, f"exit status {child.process.returncode}", child.log)
                child.start()

    def lives(self, name: str) -> bool:
        """Whether the process of that name runs at this moment."""
        return any(child.name == name and child.lives for child in self.children)

    def watch(self) -> None:
        """Look after the processes until interrupted by an exception of a signal's handler."""
        while True:
            self.look()
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Stop everything: the processes together, then PostgreSQL, which all of them use."""
        for child in self.children:
            child.ask_to_stop()
        for child in self.children:
            child.wait()
        self.postgres.stop()


def _count(deaths: deque[float], name: str, how: str, log: Path) -> None:
    now = time.monotonic()
    deaths.append(now)
    if len(deaths) == DEATHS and now - deaths[0] < DEATHS_WITHIN_SECONDS:
        message = f"{name} died {DEATHS} times within {DEATHS_WITHIN_SECONDS} s ({how}); see {log}."
        raise DiesRepeatedly(message)
    logger.warning("%s died (%s) and is started again; see %s.", name, how, log)
