"""
What an auditor brings to the verifier: a folder of keys and notes that came another way than the bundle.

Read are ``*.vkey`` and ``keys.txt`` (a verifier key on each line), ``public_keys.json`` (its ``log`` and
``statistician``) and ``*.note`` (checkpoints kept from before, the commitment as it was published).
Standard library and ``cryptography`` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trialsite.audit.bundle import KEYS, Unreadable
from trialsite.audit.notes import ED25519, VerifierKey
from trialsite.audit.strict_json import loads

PUBLIC_KEYS: Final = "public_keys.json"
FILES_READ: Final = (
    f"read are *.vkey and {KEYS} (a verifier key on each line), "
    f'{PUBLIC_KEYS} (its "log" and "statistician") and *.note'
)
_STATISTICIAN: Final = "/statistician"


@dataclass(frozen=True)
class Brought:
    """Whom to trust for what, the notes to compare with by file name, and the files that were not read."""

    log: tuple[VerifierKey, ...] = ()
    statistician: tuple[VerifierKey, ...] = ()
    notes: tuple[tuple[str, bytes], ...] = ()
    ignored: tuple[str, ...] = ()


def bring(folder: Path | None) -> Brought:
    """
    Read the auditor's folder; None is an auditor who brought nothing.

    :raises Unreadable: if the folder or a file in it cannot be read, or no key in it can be a log's.
    """
    if folder is None:
        return Brought()
    keys: list[VerifierKey] = []
    statistician: list[VerifierKey] = []
    notes, ignored = [], []
    for path in _listed(folder):
        if path.name.endswith(".vkey") or path.name == KEYS:
            keys += vkeys(_content(path), str(path))
        elif path.name == PUBLIC_KEYS:
            keys += _public_keys(path, "log")
            statistician += _public_keys(path, "statistician")
        elif path.name.endswith(".note"):
            notes.append((path.name, _content(path)))
        else:
            ignored.append(path.name)
    statistician += [key for key in keys if key.name.endswith(_STATISTICIAN)]
    log = tuple(key for key in log_keys(keys) if key not in statistician)
    if not log:
        raise Unreadable(f"{folder}: no verifier key of a log; {FILES_READ}")
    signing = (key for key in statistician if key.kind == ED25519)
    return Brought(log=log, statistician=tuple(signing), notes=tuple(notes), ignored=tuple(ignored))


def log_keys(keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return those that may speak for a log: no witness's, and no statistician's under whatever origin."""
    return tuple(key for key in keys if key.kind == ED25519 and not key.name.endswith(_STATISTICIAN))


def vkeys(content: bytes, where: str) -> tuple[VerifierKey, ...]:
    """
    Return the verifier keys of a file: one on each line, between empty lines and remarks after ``#``.

    :raises Unreadable: if a line is anything else.
    """
    try:
        lines = [line.strip() for line in content.decode("utf-8").splitlines()]
        return tuple(VerifierKey.parse(line) for line in lines if line and not line.startswith("#"))
    except ValueError as error:
        raise Unreadable(f"{where}: {error}") from None


def _listed(folder: Path) -> list[Path]:
    # Path.glob passes over a folder that may not be read; listing it does not.
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise Unreadable(f"{folder}: {error.strerror}; {FILES_READ}") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None


def _public_keys(path: Path, name: str) -> Iterator[VerifierKey]:
    """Yield one key of a deployment's file of public keys, if it has it."""
    try:
        document = loads(_content(path))
    except (ValueError, RecursionError):
        raise Unreadable(f"{path}: not a file of public keys") from None
    if not isinstance(document, dict) or not isinstance(document.get(name, ""), str):
        raise Unreadable(f"{path}: not a file of public keys")
    if name in document:
        yield from vkeys(document[name].encode("utf-8", "replace"), f"{path}: {name}")
