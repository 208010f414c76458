"""Faces as processes of their own, logged in with their own database role, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from randomization.models import Allocation, Stratum
from supply.models import Infusion
from tests.world import World
from trialsite.api.models import IdempotentRequest
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry

ROOT = Path(__file__).resolve().parents[2]
NOTHING, ALL = "nothing", "all"


def an_environment(world: World, face: str, database_url: str) -> dict[str, str]:
    return world.environment(face) | {
        "DATABASE_URL": database_url,
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "LOG_LEVEL": "CRITICAL",
    }


@contextlib.contextmanager
def a_server(
    world: World, database, face: str, *arguments: str, database_url: str = ""
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a face as one process that can be told where to die; give its address."""
    environment = an_environment(world, face, database_url or database.url(f"irt_{face}"))
    command = [sys.executable, "-m", "tests.faults.mortal_server", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield f"http://127.0.0.1:{child.stdout.readline().strip()}/api/v1", child
        finally:
            child.kill()


@contextlib.contextmanager
def the_masked_web(world: World, database) -> Iterator[str]:
    """Run the masked face as it is run in a trial, with several processes and threads; give its address."""
    environment = an_environment(world, "masked", database.url("irt_masked"))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        command = [
            *(sys.executable, "-m", "gunicorn", "--config", "python:trialsite.deployment.web"),
            *("--bind", f"fd://{listener.fileno()}", "--log-level", "critical"),
        ]
        with subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[listener.fileno()]) as server:
            try:
                address = f"http://127.0.0.1:{listener.getsockname()[1]}"
                assert httpx.get(f"{address}/livez", timeout=30).status_code == 200
                yield f"{address}/api/v1"
            finally:
                server.send_signal(signal.SIGQUIT)  # gunicorn's quick end, workers and all
                server.wait(timeout=30)


def headers(world: World, *, by: str = "investigator", key: str = "one") -> dict[str, str]:
    return {"Authorization": f"Bearer {world.users[by]['token']}", "Idempotency-Key": key}


def sent(
    world: World, address: str, path: str, body: dict[str, Any], *, by: str = "investigator"
) -> httpx.Response | None:
    """Send a request that a server may not live to answer."""
    try:
        return httpx.post(f"{address}{path}", json=body, headers=headers(world, by=by), timeout=60)
    except httpx.TransportError:
        return None


def kept() -> str:
    """Say how much of one randomization the database holds, and that it is not a part of it."""
    parts = (
        Allocation.objects.count(),
        Infusion.objects.count() / 4,
        Stratum.objects.get(ordinal=1).next_slot,
        Entry.objects.filter(kind=Kind.PARTICIPANT_RANDOMIZED).count(),
        IdempotentRequest.objects.filter(status=201).count(),
    )
    assert set(parts) in ({0}, {1}), f"a part of a randomization was kept: {parts}"
    return ALL if parts[0] else NOTHING
