"""An evaluation deployment run as its users run it: by ``manage.py serve``, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 120


@dataclass(frozen=True)
class Running:
    """A process as the kernel shows it; one that has ended has no children and an empty environment."""

    pid: int

    def children(self) -> list[Running]:
        found = []
        for thread in _lines(Path(f"/proc/{self.pid}/task"), "*/children"):
            found += [Running(int(pid)) for pid in thread.split()]
        return found

    @property
    def environment(self) -> dict[str, str]:
        content = "".join(_lines(Path(f"/proc/{self.pid}"), "environ"))
        pairs = (entry.partition("=") for entry in content.split("\0") if entry)
        return {name: value for name, _, value in pairs}

    @property
    def lives(self) -> bool:
        state = "".join(_lines(Path(f"/proc/{self.pid}"), "stat")).rpartition(") ")[2]
        return bool(state) and not state.startswith("Z")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _lines(folder: Path, pattern: str) -> list[str]:
    """The contents of the files that match and still exist."""
    contents = []
    for file in folder.glob(pattern):
        with suppress(OSError):
            contents.append(file.read_text())
    return contents


class Deployment:
    """One data folder, served or not."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.ready_file = folder / "ready.json"
        self.output = folder / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        where = ["--data", str(self.data), "--ready-file", str(self.ready_file)]
        return [sys.executable, "manage.py", "serve", *where, *arguments]

    def start(self, *arguments: str) -> None:
        """Start, and return when it says that it is ready."""
        self.ready_file.unlink(missing_ok=True)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command(*arguments), cwd=ROOT, env=an_environment(), stdout=output, stderr=output
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready_file.exists():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    @property
    def ready(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.ready_file.read_text())
        return content

    def children(self) -> dict[str, Running]:
        """The supervised processes by name."""
        assert self.process is not None
        found = {}
        for child in Running(self.process.pid).children():
            face = child.environment.get("TRIALSITE_FACE")
            found[face or "postgres"] = child
        return found

    def everything(self) -> list[Running]:
        """Every process under the supervisor, theirs included."""
        assert self.process is not None
        waiting, found = [Running(self.process.pid)], []
        while waiting:
            waiting += (children := waiting.pop().children())
            found += children
        return found

    def ask(self, face: str, path: str, *, user: str, **options: Any) -> httpx.Response:
        token = self.ready["users"][user]["token"]
        method = "POST" if "json" in options else "GET"
        return httpx.request(
            method,
            f"{self.ready[face]}/api/v1/{path}",
            headers={"Authorization": f"Bearer {token}", "Idempotency-Key": os.urandom(8).hex()},
            timeout=90,
            **options,
        )


def an_environment() -> dict[str, str]:
    """What a shell has: none of the settings of the tests' own process."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "TRIALSITE_POSTGRES")
    return {name: os.environ[name] for name in kept if name in os.environ}


@contextmanager
def a_deployment() -> Iterator[Deployment]:
    """A data folder of its own, in a place that PostgreSQL's user can pass through; deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="trialsite-served-"))
    folder.chmod(0o711)
    deployment = Deployment(folder)
    try:
        yield deployment
    finally:
        if deployment.process and deployment.process.poll() is None:
            deployment.stop()
        shutil.rmtree(folder)


def gone(processes: list[Running], *, within: float = 30) -> bool:
    """Whether all of these have ended in time."""
    deadline = time.monotonic() + within
    while any(each.lives for each in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(each.lives for each in processes)
