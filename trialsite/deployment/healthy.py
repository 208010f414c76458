"""
Health check of a container: exit 0 if the process is well.

HEALTH_URL is asked, where the process serves HTTP; else HEARTBEAT_FILE must have been touched
lately. Given by the environment, so that the check is a command without arguments.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

STALE_SECONDS = 60


def well() -> bool:
    """Whether the process that this environment names is well."""
    url = os.environ.get("HEALTH_URL")
    if url:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - from our own compose file
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
    try:
        touched = Path(os.environ["HEARTBEAT_FILE"]).stat().st_mtime
    except OSError:
        return False
    return time.time() - touched < STALE_SECONDS


if __name__ == "__main__":
    sys.exit(0 if well() else 1)
