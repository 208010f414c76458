"""Play the whole trial on a deployment of its own, and check its trail."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from trialsite.deployment.demo import PLANNED, Demo, DemoFailed
from trialsite.deployment.evaluation import ROOT

READY_SECONDS = 120
STOP_SECONDS = 60


class Command(BaseCommand):
    help = (
        f"Serve a fresh evaluation deployment, play the trial with {PLANNED} synthetic participants through "
        "its REST interface, break one code in an emergency, and verify the exported trail offline."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--keep",
            type=Path,
            help="Folder for the deployment, kept afterwards; by default a temporary one.",
        )

    def handle(self, *, keep: Path | None, **_options: Any) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # one line a call would hide the progress
        folder = keep or Path(tempfile.mkdtemp(prefix="trialsite-demo-"))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._served(folder) as ready:
                self._play(folder, ready)
        except DemoFailed as failure:
            raise CommandError(f"The demonstration failed: {failure}") from failure
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
        self.stdout.write(self.style.SUCCESS("All of it held."))

    def _play(self, folder: Path, ready: dict[str, Any]) -> None:
        demo = Demo(ready)
        demo.play()
        self.stdout.write(demo.summary())
        receipt = demo.unblind()["receipt"]
        self.stdout.write(
            f"Emergency unblinding of one participant; receipt: event {receipt['position']} of the trail, "
            f"leaf {receipt['leaf_hash']}"
        )
        bundle = folder / "trail.zip"
        bundle.write_bytes(demo.export())
        keys = folder / "auditor-keeps"
        keys.mkdir(exist_ok=True)
        public = json.loads((Path(ready["data"]) / "keys" / "public_keys.json").read_text())
        (keys / "keys.txt").write_text(f"{public['log']}\n")
        (keys / "receipt.note").write_text(receipt["checkpoint"])
        verdict = subprocess.run(
            [sys.executable, "-m", "trialsite.audit.verify", str(bundle), "--keys", str(keys)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.stdout.write(verdict.stdout)
        if verdict.returncode != 0:
            raise DemoFailed(f"the verifier ended with {verdict.returncode}: {verdict.stderr}")

    @contextlib.contextmanager
    def _served(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Serve on ``folder`` while inside; yield the content of the ready file."""
        ready_file = folder / "ready.json"
        service = subprocess.Popen(
            [
                sys.executable,
                "manage.py",
                "serve",
                "--data",
                str(folder / "data"),
                "--ready-file",
                str(ready_file),
            ],
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C reaches this process, which then stops the service in order
        )
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not ready_file.exists():
                if service.poll() is not None or time.monotonic() > deadline:
                    raise DemoFailed("the service did not become ready")
                time.sleep(0.1)
            yield json.loads(ready_file.read_text())
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(STOP_SECONDS)
