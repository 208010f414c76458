"""The list as a folder of files: it appears whole or not at all, and none is ever replaced."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trialsite.audit import notes

SLOTS = "slots.jsonl"
NOTE = "commitment.note"
SEED = "seed.json"
EMERGENCY = "emergency"


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """
    Give a folder to fill, beside ``folder``, that gets its name at the end; gone if anything fails.

    :raises FileExistsError: if there is something under that name, but for an empty folder.
    """
    refuse_existing(folder)
    partial = folder.with_name(f".{folder.name}.partial-{secrets.token_hex(4)}")
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in (*partial.rglob("*"), partial):
            _sync(path)
        partial.rename(folder)
        _sync(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def refuse_existing(folder: Path) -> None:
    """:raises FileExistsError: if there is something under that name, but for an empty folder."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists already")


def write_new(path: Path, text: str, *, mode: int = 0o666) -> None:
    """
    Write a new file and bring it to the disk; gone if anything fails.

    :raises FileExistsError: if there is one of that name.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def as_text(document: Mapping[str, Any]) -> str:
    """Return a document as a file for people's eyes too."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """
    Read a JSON object.

    :raises ValueError: if the file holds anything else.
    :raises OSError: if it cannot be read.
    """
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: not JSON") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path}: not a JSON object")
    return document


def read_note(place: Path) -> str:
    """
    Return the note of a list, given by its folder or as its file.

    :raises ValueError: if it is no UTF-8, or too long for a note.
    :raises OSError: if it cannot be read.
    """
    path = place / NOTE if place.is_dir() else place
    if path.stat().st_size > notes.LONGEST_NOTE:
        raise ValueError(f"{path}: too long for a note")
    return path.read_text(encoding="utf-8")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
