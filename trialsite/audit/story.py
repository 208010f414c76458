"""
What a trail may tell, event by event, as far as it can be checked without a key.

* The first event is the genesis event, and there is one.
* The list is committed to before the first participant is randomized.
* In each stratum the slots are used in order, 0, 1, 2, …, and a participant gets one, once.
* A kit is released before it is dispensed and dispensed before it is infused.
* A sealed event shows nothing but its kind, time and id; its envelope is its own and has one size.

Pure: one ``Story`` reads one trail and holds a few bytes for each participant and kit.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from trialsite.audit.kinds import SEALED, Kind
from trialsite.audit.strict_json import NotCanonical, parse

EVENT_VERSION = 1

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_SEALED_FIELDS = {"v", "k", "t", "id", "sealed"}
_ENVELOPE_FIELDS = {"h", "w", "c"}


class Story:
    """Reads the events of a trail in order and names what cannot have happened."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self.kinds: Counter[Kind] = Counter()
        self.genesis: dict[str, Any] = {}
        self.commitment: dict[str, Any] = {}
        self._slots: Counter[str] = Counter()
        self._participants: set[str] = set()
        self._released: set[str] = set()
        self._dispensed: set[str] = set()
        self._envelopes: set[str] = set()
        self._sizes: dict[Kind, int] = {}
        self._rules: dict[Kind, Callable[[dict[str, Any]], Iterator[str]]] = {
            Kind.GENESIS: self._begun,
            Kind.LIST_COMMITTED: self._list_committed,
            Kind.PARTICIPANT_RANDOMIZED: self._randomized,
            Kind.KIT_RELEASED: self._kit_released,
            Kind.KIT_DISPENSED: self._kit_dispensed,
            Kind.INFUSION_STARTED: self._infusion_started,
        }

    def read(self, event: Any) -> Iterator[str]:
        """Take in the next event; yield a sentence for each thing that is wrong with it."""
        faults = list(_shape(event))
        if faults:
            yield from faults
            return
        kind = Kind(event["k"])
        if not self.kinds and kind is not Kind.GENESIS:
            yield "the trail does not begin with its genesis event"
        self.kinds[kind] += 1
        if kind in SEALED:
            yield from self._sealed(kind, event["id"], event["sealed"])
        elif "sealed" in event["data"]:
            yield from self._sealed(kind, event["data"].get("id"), event["data"]["sealed"])
        if kind in self._rules:
            yield from self._rules[kind](event)

    def _begun(self, event: dict[str, Any]) -> Iterator[str]:
        if self.kinds.total() > 1:
            yield "a genesis event after the first"
            return
        self.genesis = event["data"]

    def _list_committed(self, event: dict[str, Any]) -> Iterator[str]:
        self.commitment = event["data"]
        if self._participants:
            yield "the list is committed to after a participant was randomized"

    def _randomized(self, event: dict[str, Any]) -> Iterator[str]:
        participant, stratum = _text(event, "participant"), _text(event, "stratum")
        slot = event["data"].get("slot")
        if participant is None or stratum is None or type(slot) is not int:
            yield "an allocation lacks its participant, stratum or slot"
            return
        if not self.kinds[Kind.LIST_COMMITTED]:
            yield "a participant is randomized before the list is committed to"
        if slot != self._slots[stratum]:
            yield f"stratum {stratum} gives slot {slot} where slot {self._slots[stratum]} is next"
        # Go on from what was given, so that one fault is told once.
        self._slots[stratum] = slot + 1
        if participant in self._participants:
            yield f"participant {participant} is randomized a second time"
        self._participants.add(participant)

    def _kit_released(self, event: dict[str, Any]) -> Iterator[str]:
        yield from self._kit(event, before=None, after=self._released, fault="")

    def _kit_dispensed(self, event: dict[str, Any]) -> Iterator[str]:
        yield from self._kit(
            event, before=self._released, after=self._dispensed, fault="dispensed, not released"
        )

    def _infusion_started(self, event: dict[str, Any]) -> Iterator[str]:
        if event["data"].get("late") is True:
            # Written down afterwards, when the handing over may not have been: a fact is not refused.
            yield from self._kit(event, before=self._released, after=set(), fault="infused, not released")
            return
        yield from self._kit(event, before=self._dispensed, after=set(), fault="infused, not dispensed")

    def _kit(
        self, event: dict[str, Any], *, before: set[str] | None, after: set[str], fault: str
    ) -> Iterator[str]:
        kit = _text(event, "kit")
        if kit is None:
            yield f"{event['k']} does not name its kit"
            return
        if before is not None and kit not in before:
            yield f"kit {kit} is {fault}"
        after.add(kit)

    def _sealed(self, kind: Kind, event_id: Any, envelope: Any) -> Iterator[str]:
        if not _is_envelope(envelope):
            yield "the sealed body is malformed"
            return
        header = parse(envelope["h"].encode())
        if header["id"] != event_id:
            yield "the sealed body belongs to another event"
        if sorted(header["kids"]) != sorted(envelope["w"]):
            yield "the sealed body's readers are not those that its header names"
        if len(envelope["c"]) != self._sizes.setdefault(kind, len(envelope["c"])):
            yield "the sealed body has another size than those before it"
        # The nonce makes each different: the same one again is a copy.
        if envelope["c"] in self._envelopes:
            yield "the sealed body is a copy of an earlier one"
        self._envelopes.add(envelope["c"])


def _shape(event: Any) -> Iterator[str]:
    """Yield what keeps the body from being an event at all."""
    if not isinstance(event, dict) or type(event.get("v")) is not int or event["v"] != EVENT_VERSION:
        yield f"not an event of version {EVENT_VERSION}"
    elif event.get("k") not in list(Kind):
        yield "an event of unknown kind"
    elif moment(event) is None:
        yield "an event without its time"
    elif event["k"] in SEALED:
        if event.keys() != _SEALED_FIELDS:
            yield "a sealed event has other fields than kind, time, id and sealed body"
    elif not isinstance(event.get("about"), dict) or not isinstance(event.get("data"), dict):
        yield "an event without about and data"


def moment(event: Any) -> dt.datetime | None:
    """Return an event's real time, or None if it has none in UTC with milliseconds."""
    stamp = event.get("t") if isinstance(event, dict) else None
    if not isinstance(stamp, str) or not _TIME.fullmatch(stamp):
        return None
    try:
        return dt.datetime.fromisoformat(stamp)
    except ValueError:
        return None


def _text(event: dict[str, Any], name: str) -> str | None:
    value = event["about"].get(name)
    return value if isinstance(value, str) and value else None


def _is_envelope(envelope: Any) -> bool:
    if not isinstance(envelope, dict) or envelope.keys() != _ENVELOPE_FIELDS:
        return False
    header, wraps, ciphertext = envelope["h"], envelope["w"], envelope["c"]
    if not (isinstance(header, str) and isinstance(wraps, dict) and isinstance(ciphertext, str)):
        return False
    try:
        claims = parse(header.encode())
    except (NotCanonical, UnicodeError):
        return False
    if not isinstance(claims, dict) or not isinstance(claims.get("kids"), list):
        return False
    return "id" in claims and all(isinstance(kid, str) for kid in claims["kids"])
