"""
What a trail may tell of the trial itself: its lists, its versions, and who may be enrolled where.

* An extension of the list comes after the list, and its note names the root of the list before it.
* The trial is activated once. An amendment was loaded, then approved by a statistician and a study manager
  who are two people, and amends the version in force.
* Enrolment moves as it may; where it is paused, suspended or closed, at a site or in the trial, nobody is
  randomized but on paper.
* Whoever is randomized was screened; on a live list they are eligible and of that stratum by what was last
  found. An entry from paper is one of an emergency list, and the other way round.

Pure; standard library only; a few bytes for each participant who is not randomized yet.
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
# From how enrolment stands (None: never opened) to what may follow; randomization.domain.enrolment.
ENROLMENT_MOVES: Final = {
    None: frozenset({"active"}),
    "active": frozenset({"paused", "suspended", "closed"}),
    "paused": frozenset({"active", "suspended", "closed"}),
    "suspended": frozenset({"active", "paused", "closed"}),
    "closed": frozenset({"active"}),
}
_APPROVERS: Final = ("statistician", "study_manager")
RESERVED: Final = "emergency="

Event = dict[str, Any]


class TrialStory:
    """Reads the events about the trial itself, in order."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self.extensions: list[dict[str, Any]] = []
        self._root: bytes | None = None
        self._activated = False
        self._version: str | None = None
        self._drafts: dict[str, str] = {}
        self._approvals: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._enrolment: dict[str | None, str] = {}
        # The stratum of each participant who waits for randomization; empty if they are not eligible.
        self._screened: dict[str, str] = {}
        self._strata: dict[str, str] = {}

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

    def loaded(self, event: Event) -> Iterator[str]:
        """Take in a version of the trial file; of an amendment, what it amends."""
        version, amends = event["about"].get("trial"), event["about"].get("amends")
        if isinstance(version, str) and isinstance(amends, str):
            self._drafts.setdefault(version, amends)
        yield from ()

    def activated(self, event: Event) -> Iterator[str]:
        """Take in the activation; yield that it is not the first."""
        if self._activated:
            yield "the trial is activated a second time"
            return
        self._activated = True
        self._version = event["about"].get("trial")

    def approved(self, event: Event) -> Iterator[str]:
        """Take in the approval of a version by a person."""
        person, role, version = event.get("act"), event.get("role"), event["about"].get("trial")
        if not (isinstance(person, str) and isinstance(role, str) and isinstance(version, str)):
            yield "an approval lacks its person, role or version"
        elif version not in self._drafts:
            yield f"version {version[:16]} is approved before it is loaded as an amendment"
        else:
            self._approvals[version, role].add(person)

    def amended(self, event: Event) -> Iterator[str]:
        """Take in an amendment; yield what is wrong with it."""
        version, before = event["about"].get("trial"), event["about"].get("amends")
        if not isinstance(version, str):
            yield "an amendment lacks its version"
            return
        given = [self._approvals[version, role] for role in _APPROVERS]
        if not all(given) or len(set().union(*given)) < len(given):
            yield f"the trial is amended to {version[:16]} without the approval of two people"
        if self._version is None or not before == self._version == self._drafts.get(version):
            yield f"the trial is amended to {version[:16]} from another version than the one in force"
        self._version = version

    def enrolment_changed(self, event: Event) -> Iterator[str]:
        """Take in how enrolment stands from now on, at a site or in the trial."""
        status, site = event["data"].get("status"), _site(event)
        if not isinstance(status, str) or status not in ENROLMENT_MOVES:
            yield "a change of enrolment does not say how it stands"
            return
        before = self._enrolment.get(site)
        if status not in ENROLMENT_MOVES[before]:
            yield f"enrolment {_at(site)} goes from {before or 'not open'} to {status}"
        self._enrolment[site] = status

    def screened(self, event: Event) -> Iterator[str]:
        """Take in what a screening found."""
        yield from self._found(event, event["data"], first=True)

    def screening_revised(self, event: Event) -> Iterator[str]:
        """Take in what is found instead of it."""
        yield from self._found(event, event["data"].get("new"), first=False)

    def _found(self, event: Event, verdict: Any, *, first: bool) -> Iterator[str]:
        participant = event["about"].get("participant")
        levels = verdict.get("stratum") if isinstance(verdict, dict) else None
        if not isinstance(participant, str) or not isinstance(levels, dict):
            yield "a screening lacks its participant or what it found"
            return
        if not first and participant not in self._screened:
            yield f"participant {participant}: a screening is revised that was not made, or was used already"
            return
        # In the order of their names: the trail does not keep that of the trial file.
        found = "|".join(sorted(f"{factor}={level}" for factor, level in levels.items()))
        found = found if verdict.get("status") == "eligible" else ""
        # One text for all participants of a stratum.
        self._screened[participant] = self._strata.setdefault(found, found)

    def randomized(self, event: Event, participant: str, stratum: str) -> Iterator[str]:
        """Yield what stood against somebody's first randomization; on paper most is a fact."""
        on_paper = stratum.startswith(RESERVED)
        if on_paper is not ("paper" in event["data"]):
            yield f"participant {participant}: entries from paper, and no others, are of emergency lists"
        found = self._screened.pop(participant, None)
        if found is None:
            yield f"participant {participant} is randomized and was not screened"
        elif not on_paper and found != "|".join(sorted(stratum.split("|"))):
            yield f"participant {participant} is randomized and was not found eligible in stratum {stratum}"
        if not on_paper:
            yield from self._shut(_site(event))

    def _shut(self, site: str | None) -> Iterator[str]:
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
