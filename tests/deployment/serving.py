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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 120


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

    def children(self) -> dict[str, psutil.Process]:
        """The supervised processes by name."""
        assert self.process is not None
        found = {}
        for child in psutil.Process(self.process.pid).children():
            face = child.environ().get("TRIALSITE_FACE")
            found[face or "postgres"] = child
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


def gone(processes: list[psutil.Process], *, within: float = 30) -> bool:
    """Whether all of these have ended in time."""
    _, alive = psutil.wait_procs(processes, timeout=within)
    return not [each for each in alive if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
