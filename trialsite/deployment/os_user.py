"""
The operating-system user that PostgreSQL runs as.

PostgreSQL refuses to run as root. Root therefore runs it as an unprivileged user, and its files
stand where that user can reach them; the permissions of folders that exist already are never
widened. Anyone else runs it as themselves.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PREFERRED = ("postgres", "nobody")


@dataclass(frozen=True)
class OsUser:
    """A user to switch to, or (``name`` None) the user of this process."""

    name: str | None
    uid: int
    gid: int

    def switch(self) -> dict[str, Any]:
        """Return the arguments of ``subprocess.Popen`` that make a child run as this user."""
        if self.name is None:
            return {}
        home = {"HOME": "/", "USER": self.name, "LOGNAME": self.name}
        keep = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "TZ") if key in os.environ}
        return {"user": self.uid, "group": self.gid, "extra_groups": [], "env": {**keep, **home}}

    def run(self, command: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run ``command`` as this user and return what it said; the working folder is the root."""
        return subprocess.run(
            [str(part) for part in command],
            check=False,
            text=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            **self.switch(),
            **options,
        )

    def can_enter(self, folder: Path) -> bool:
        """Whether this user may traverse every folder down to ``folder`` and ``folder`` itself."""
        return self.name is None or self.run(["/bin/sh", "-c", 'cd "$1"', "sh", folder]).returncode == 0

    def give(self, path: Path) -> None:
        """Make this user the owner of ``path``, which this process has just made."""
        if self.name is not None:
            os.chown(path, self.uid, self.gid)


def unprivileged_user() -> OsUser:
    """
    Return the user to run PostgreSQL as.

    :raises LookupError: for root on a machine without any of the unprivileged users.
    """
    if os.geteuid() != 0:
        return OsUser(name=None, uid=os.geteuid(), gid=os.getegid())
    for name in _PREFERRED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return OsUser(name=name, uid=entry.pw_uid, gid=grp.getgrgid(entry.pw_gid).gr_gid)
    message = f"root cannot run PostgreSQL, and this machine has none of the users {', '.join(_PREFERRED)}."
    raise LookupError(message)
