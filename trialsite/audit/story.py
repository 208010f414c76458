"""
What a trail may tell, event by event, as far as it can be checked without a key.

* The first event is the genesis event, there is one, and it names the log and the study.
* The list is committed to once, and it and the activation come before the first participant is randomized.
* In each stratum the slots are used in order, 0, 1, 2, …, and a participant gets one, once. Of a list
  that was reserved for the time when the system is down a slot may be spoiled instead.
* Of lists, versions, enrolment and screening: what ``story_trial`` says.
* A kit is released before it is dispensed and dispensed before it is infused, and infused once.
* A sealed event shows nothing but its kind, time and id; its envelope is its own, has one size and is for
  the same readers, two or more, as all of its kind.

Pure: one ``Story`` reads one trail and holds a few bytes for each participant and kit.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from trialsite.audit.kinds import SEALED, Kind
from trialsite.audit.story_trial import RESERVED, TrialStory
from trialsite.audit.strict_json import NotCanonical, parse

EVENT_VERSION = 1

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_NAMES = ("origin", "study")
_SEALED_FIELDS = {"v", "k", "t", "id", "sealed"}
_ENVELOPE_FIELDS = {"h", "w", "c"}
# docs/specs/sealed.md: HPKE adds 48 bytes to a data key of 32; a body of 2048 has a nonce and a tag.
_WRAP_BYTES: Final = 32 + 48
_SEALED_BYTES: Final = 12 + 2048 + 16
_FEWEST_BYTES: Final = 1001
_FEWEST_READERS: Final = 2


class Story:
    """Reads the events of a trail in order and names what cannot have happened."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self.kinds: Counter[Kind] = Counter()
        self.genesis: dict[str, Any] = {}
        self.commitment: dict[str, Any] = {}
        self.trial = TrialStory()
        self._slots: Counter[str] = Counter()
        self._participants: set[str] = set()
        self._released: set[str] = set()
        self._dispensed: set[str] = set()
        self._infused: set[str] = set()
        self._envelopes: set[str] = set()
        self._sizes: dict[Kind, int] = dict.fromkeys(SEALED, _SEALED_BYTES)
        self._readers: dict[Kind, set[str]] = {}
        self._rules: dict[Kind, Callable[[dict[str, Any]], Iterator[str]]] = {
            Kind.GENESIS: self._begun,
            Kind.LIST_COMMITTED: self._list_committed,
            Kind.LIST_EXTENDED: self.trial.extended,
            Kind.TRIAL_LOADED: self.trial.loaded,
            Kind.TRIAL_ACTIVATED: self.trial.activated,
            Kind.TRIAL_APPROVED: self.trial.approved,
            Kind.TRIAL_AMENDED: self.trial.amended,
            Kind.ENROLMENT_CHANGED: self.trial.enrolment_changed,
            Kind.PARTICIPANT_SCREENED: self.trial.screened,
            Kind.PARTICIPANT_SCREENING_REVISED: self.trial.screening_revised,
            Kind.PARTICIPANT_RANDOMIZED: self._randomized,
            Kind.SLOT_SPOILED: self._spoiled,
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
        if not all(isinstance(self.genesis.get(name), str) and self.genesis[name] for name in _NAMES):
            yield "the genesis event lacks its origin or study"

    def _list_committed(self, event: dict[str, Any]) -> Iterator[str]:
        if self.kinds[Kind.LIST_COMMITTED] > 1:
            yield "a list is committed to a second time"
            return
        self.commitment = event["data"]
        self.trial.committed(self.commitment)
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
        if not self.kinds[Kind.TRIAL_ACTIVATED]:
            yield "a participant is randomized before the trial is activated"
        yield from self._used(stratum, slot)
        if participant in self._participants:
            yield f"participant {participant} is randomized a second time"
        else:
            yield from self.trial.randomized(event, participant, stratum)
        self._participants.add(participant)

    def _spoiled(self, event: dict[str, Any]) -> Iterator[str]:
        stratum, slot = _text(event, "stratum"), event["data"].get("slot")
        if stratum is None or not stratum.startswith(RESERVED) or type(slot) is not int:
            yield "a slot is spoiled that is none of an emergency list"
            return
        yield from self._used(stratum, slot)

    def _used(self, stratum: str, slot: int) -> Iterator[str]:
        if slot != self._slots[stratum]:
            yield f"stratum {stratum} gives slot {slot} where slot {self._slots[stratum]} is next"
        # Go on from what was given, so that one fault is told once.
        self._slots[stratum] = slot + 1

    def _kit_released(self, event: dict[str, Any]) -> Iterator[str]:
        yield from self._kit(event, before=None, after=self._released, fault="")

    def _kit_dispensed(self, event: dict[str, Any]) -> Iterator[str]:
        yield from self._kit(
            event, before=self._released, after=self._dispensed, fault="dispensed, not released"
        )

    def _infusion_started(self, event: dict[str, Any]) -> Iterator[str]:
        # No infusion begins twice either, so that a kit is hung once whatever the event names beside it.
        kit = _text(event, "kit")
        if kit in self._infused:
            yield f"kit {kit} is infused a second time"
        before, fault = self._dispensed, "infused, not dispensed"
        if event["data"].get("late") is True:
            # Written down afterwards, when the handing over may not have been: a fact is not refused.
            before, fault = self._released, "infused, not released"
        yield from self._kit(event, before=before, after=self._infused, fault=fault)

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
        yield from self._same_as_all(kind, set(header["kids"]), len(_decoded(envelope["c"]) or b""))
        # The nonce makes each different: the same one again is a copy.
        if envelope["c"] in self._envelopes:
            yield "the sealed body is a copy of an earlier one"
        self._envelopes.add(envelope["c"])

    def _same_as_all(self, kind: Kind, readers: set[str], size: int) -> Iterator[str]:
        """Compare readers and size with those of every sealed body of the kind: no difference may tell."""
        if len(readers) < _FEWEST_READERS:
            yield f"the sealed body has fewer than {_FEWEST_READERS} readers"
        elif readers != self._readers.setdefault(kind, readers):
            yield "the sealed body has other readers than those before it"
        if size < _FEWEST_BYTES or size != self._sizes.setdefault(kind, size):
            yield "the sealed body has another size than that of its kind"


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
    if not isinstance(claims, dict) or not isinstance(claims.get("kids"), list) or "id" not in claims:
        return False
    if not all(isinstance(kid, str) for kid in claims["kids"]) or _decoded(ciphertext) is None:
        return False
    return all(len(_decoded(wrap) or b"") == _WRAP_BYTES for wrap in wraps.values())


def _decoded(text: Any) -> bytes | None:
    """Return the bytes of base64 in its one canonical spelling: another would hide a copy."""
    if not isinstance(text, str):
        return None
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if base64.b64encode(content).decode() == text else None
