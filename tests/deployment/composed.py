"""The services of docker-compose.yml, read as Compose reads them and run as plain processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.deployment.serving import ROOT

FILE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")


def the_file(**variables: str) -> dict[str, Any]:
    """Return docker-compose.yml with its variables replaced."""
    text = _VARIABLE.sub(lambda found: variables.get(found[1], found[2] or ""), FILE.read_text())
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@dataclass(frozen=True)
class Place:
    """Where things are that a container would find at fixed paths, when there is no container."""

    compose: Mapping[str, Any]
    folder: Path
    ports: Mapping[str, int]

    def command(self, service: str, command: list[str]) -> list[str]:
        return [self._replaced(service, part) for part in command]

    def environment(self, service: str) -> dict[str, str]:
        given = self.compose["services"][service]["environment"]
        return {
            # The image puts the programs of its environment first on the path.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DJANGO_SETTINGS_MODULE": "trialsite.settings",
            # Compose replaces variables after it has read the file: an empty one is "", not nothing.
            **{name: self._replaced(service, str(value or "")) for name, value in given.items()},
        }

    def _replaced(self, service: str, text: str) -> str:
        for name in self.compose["services"][service].get("secrets", ()):
            text = re.sub(rf"/run/secrets/{name}\b", self.compose["secrets"][name]["file"], text)
        own = self.folder / service
        own.mkdir(exist_ok=True)
        text = text.replace("/var/lib/trialsite/checkpoints", str(self.folder / "checkpoints"))
        text = text.replace("/tmp/heartbeat", str(own / "heartbeat"))
        port = self.ports.get(service, 0)
        return text.replace("0.0.0.0:8000", f"127.0.0.1:{port}").replace(
            "127.0.0.1:8000", f"127.0.0.1:{port}"
        )

    def run_once(self, service: str) -> subprocess.CompletedProcess[str]:
        command = self.command(service, self.compose["services"][service]["command"])
        return subprocess.run(
            command, cwd=ROOT, env=self.environment(service), check=False, capture_output=True, text=True
        )

    @contextmanager
    def running(self, service: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a service's own command in its own environment; end it as Compose does."""
        command = self.command(service, self.compose["services"][service]["command"])
        with (self.folder / f"{service}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment(service),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def is_healthy(self, service: str) -> bool:
        """Run the service's own health check once."""
        how, *command = self.compose["services"][service]["healthcheck"]["test"]
        assert how == "CMD"
        checked = subprocess.run(command, cwd=ROOT, env=self.environment(service), check=False, timeout=20)
        return checked.returncode == 0

    def becomes_healthy(self, service: str, process: subprocess.Popen[bytes], *, within: float = 60) -> bool:
        deadline = time.monotonic() + within
        while process.poll() is None and time.monotonic() < deadline:
            if self.is_healthy(service):
                return True
            time.sleep(0.5)
        return False

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text()
