"""Files that only their owner may read, as they name what masked people must not know."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """
    Write a file of mode 0600, in place of any that was there.

    :raises OSError: if it cannot be written.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        os.fchmod(handle, 0o600)  # also if it was there before
        file.write(text)
