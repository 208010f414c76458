"""
What a trail may tell of the trial itself: its lists, its versions, and who may be enrolled where.

* An extension of the list comes after the list, and its note names the root of the list before it.
* An amendment comes after the approvals of that version by two different people, and amends the one in force.
* Where enrolment is paused, suspended or closed, at a site or in the trial, nobody is randomized but on
  paper.

Pure; standard library only.
"""

from __future__ import annotations

import base64
import binascii
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

ROOT_BYTES: Final = 32
# The line of a commitment's text that has the root of the list which it extends.
_EXTENDS_LINE: Final = 9
_SHUT: Final = frozenset({"paused", "suspended", "closed"})
_APPROVALS: Final = 2

Event = dict[str, Any]


class TrialStory:
    """Reads the events about the trial itself, in order."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self.extensions: list[dict[str, Any]] = []
        self._root: bytes | None = None
        self._version: str | None = None
        self._approvals: defaultdict[str, set[str]] = defaultdict(set)
        self._enrolment: dict[str | None, str] = {}

    def committed(self, data: dict[str, Any]) -> None:
        """Take in the data of the list's commitment."""
        self._root = _decoded_root(data.get("root"))

    def extended(self, event: Event) -> Iterator[str]:
        """Take in an extension; yield what is wrong with it."""
        data = event["data"]
        self.extensions.append(data)
        if self._root is None:
            yield "the list is extended before it is committed to"
        elif not self._root or _decoded_root(_line(data.get("note"), _EXTENDS_LINE)) != self._root:
            yield "an extension does not name the root of the list before it"
        # Go on from what came, so that one fault is told once.
        self._root = _decoded_root(data.get("root"))

    def activated(self, event: Event) -> Iterator[str]:
        """Take in the activation."""
        self._version = event["about"].get("trial")
        yield from ()

    def approved(self, event: Event) -> Iterator[str]:
        """Take in the approval of a version by a person."""
        person, version = event.get("act"), event["about"].get("trial")
        if not isinstance(person, str) or not isinstance(version, str):
            yield "an approval lacks its person or version"
            return
        self._approvals[version].add(person)

    def amended(self, event: Event) -> Iterator[str]:
        """Take in an amendment; yield what is wrong with it."""
        version, before = event["about"].get("trial"), event["about"].get("amends")
        if not isinstance(version, str):
            yield "an amendment lacks its version"
            return
        if len(self._approvals[version]) < _APPROVALS:
            yield f"the trial is amended to {version[:16]} without the approval of two people"
        if self._version is None or before != self._version:
            yield f"the trial is amended to {version[:16]} from another version than the one in force"
        self._version = version

    def enrolment_changed(self, event: Event) -> Iterator[str]:
        """Take in how enrolment stands from now on, at a site or in the trial."""
        status, site = event["data"].get("status"), _site(event)
        if not isinstance(status, str):
            yield "a change of enrolment does not say how it stands"
            return
        self._enrolment[site] = status

    def randomized(self, event: Event) -> Iterator[str]:
        """Yield what stood against a randomization; on paper it is a fact."""
        if event["data"].get("paper"):
            return
        site = _site(event)
        for where, status in ((None, self._enrolment.get(None)), (site, self._enrolment.get(site))):
            if status in _SHUT:
                yield f"a participant is randomized while enrolment {_at(where)} is {status}"
                return


def _site(event: Event) -> str | None:
    site = event["about"].get("site")
    return site if isinstance(site, str) else None


def _at(site: str | None) -> str:
    return f"at {site}" if site else "in the trial"


def _line(note: Any, number: int) -> str:
    lines = note.split("\n") if isinstance(note, str) else []
    return lines[number] if number < len(lines) else ""


def _decoded_root(text: Any) -> bytes:
    """Return the 32 bytes that the text says in hex or base64; none if it says no root."""
    if not isinstance(text, str):
        return b""
    try:
        root = bytes.fromhex(text) if len(text) == 2 * ROOT_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""
    return root if len(root) == ROOT_BYTES else b""
