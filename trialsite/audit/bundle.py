"""
The trail's bundle as an untrusted file: what the verifier and the auditor's reader read it through.

A bundle is a zip of ``entries.jsonl``, ``checkpoints/*.note``, ``keys.txt``, ``commitment.note``,
``commitments/*.note`` and ``manifest.note``. Nothing is unpacked to disk and entries are read one at a
time, so that a large trail, or a hostile one, costs time and not memory. Standard library only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from trialsite.audit.strict_json import loads

ENTRIES = "entries.jsonl"
KEYS = "keys.txt"
COMMITMENT = "commitment.note"
MANIFEST = "manifest.note"

_CHECKPOINT = re.compile(r"checkpoints/[^/]+\.note")
_MANIFEST_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
# Far above what the service writes: a sealed event is under 10 kB, a note under 2 kB.
_LONGEST_LINE = 1 << 20
_LONGEST_FILE = 1 << 20
_CHUNK = 1 << 16


class Unreadable(Exception):
    """The bundle, or a file beside it, cannot be read; nothing is said of the trail."""


@dataclass(frozen=True)
class Line:
    """One line of ``entries.jsonl``."""

    seq: int
    body: bytes


@contextmanager
def _reading(what: str) -> Iterator[None]:
    # A damaged zip fails in all of these ways, and no other code runs inside.
    faults = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error)
    try:
        yield
    except faults as error:
        raise Unreadable(f"{what}: {type(error).__name__}") from None


class Bundle:
    """
    An open bundle; use it as a context manager.

    :raises Unreadable: on opening, if it is no zip, names a file twice, or lacks one that it must have.
    """

    def __init__(self, path: Path) -> None:
        """Open the zip at ``path``."""
        with _reading(str(path)):
            self._archive = zipfile.ZipFile(path)
        self.names = tuple(self._archive.namelist())
        self.checkpoints = tuple(sorted(name for name in self.names if _CHECKPOINT.fullmatch(name)))
        try:
            self._check_names()
        except Unreadable:
            self._archive.close()
            raise

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def _check_names(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise Unreadable("a file stands in the bundle twice")
        for name in (ENTRIES, KEYS, MANIFEST):
            if name not in self.names:
                raise Unreadable(f"{name} is missing")
        if not self.checkpoints:
            raise Unreadable("checkpoints/*.note is missing")

    def read(self, name: str) -> bytes:
        """
        Return a small file.

        :raises Unreadable: if it is damaged, not there, or larger than a megabyte.
        """
        if name not in self.names:
            raise Unreadable(f"{name} is missing")
        with _reading(name), self._archive.open(name) as file:
            content = file.read(_LONGEST_FILE + 1)
        if len(content) > _LONGEST_FILE:
            raise Unreadable(f"{name}: too large")
        return content

    def digest(self, name: str) -> str:
        """
        Return the SHA-256 of a file, in hex.

        :raises Unreadable: if it is damaged.
        """
        digest = hashlib.sha256()
        with _reading(name), self._archive.open(name) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def entries(self) -> Iterator[Line]:
        """
        Yield the events in the order of the file, whatever their numbers.

        :raises Unreadable: at the first line that is none, or if the file is damaged.
        """
        for number, line in enumerate(self._lines(ENTRIES), start=1):
            try:
                yield _parse_line(line)
            except (ValueError, RecursionError):
                raise Unreadable(f"{ENTRIES}: line {number} is not an entry") from None

    def _lines(self, name: str) -> Iterator[bytes]:
        with _reading(name):
            file = self._archive.open(name)
        with file:
            while True:
                with _reading(name):
                    line = file.readline(_LONGEST_LINE + 1)
                if not line:
                    return
                if len(line) > _LONGEST_LINE:
                    raise Unreadable(f"{name}: a line is too long")
                yield line


def _parse_line(line: bytes) -> Line:
    value = loads(line)
    if not isinstance(value, dict) or value.keys() != {"seq", "body"}:
        raise ValueError("not an entry")
    seq, encoded = value["seq"], value["body"]
    if type(seq) is not int or not isinstance(encoded, str):
        raise ValueError("not an entry")
    try:
        body = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError("malformed base64") from None
    if base64.b64encode(body).decode() != encoded:
        raise ValueError("base64 is not canonical")
    return Line(seq=seq, body=body)


def parse_manifest(text: str) -> dict[str, str]:
    """
    Return the SHA-256 (hex) of each path in a manifest: lines of ``<digest>  <path>``.

    :raises Unreadable: if it is anything else or names a path twice.
    """
    lines = text.removesuffix("\n").split("\n")
    matches = [match for line in lines if (match := _MANIFEST_LINE.fullmatch(line))]
    digests = {match[2]: match[1] for match in matches}
    if len(digests) != len(lines):
        raise Unreadable(f"{MANIFEST}: malformed")
    return digests
