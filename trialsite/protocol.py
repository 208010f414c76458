"""
The trial as configuration: one versioned file, read into frozen records, checked and hashed.

``load`` reads a TOML file and refuses a wrong one with the place and the reason. What the server
keeps is ``Protocol.public_document()``, canonical JSON (RFC 8785) without the design and the
lists' lengths: sites must not be able to read them (ICH E9 2.3.2), so the server does not have them.
The content hash is over that public document for the same reason: a hash of the block sizes would
fall to a handful of guesses. They are bound, with the seed as salt, by the list's commitment.

Pure: no Django, no clock, no randomness.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import rfc8785

from trialsite.protocol_caps import Caps
from trialsite.protocol_reader import ProtocolError as ProtocolError  # part of this module's face
from trialsite.protocol_reader import plain, read
from trialsite.protocol_rules import faults
from trialsite.protocol_screening import Measurement

DEFAULT_TRIAL_FILE = Path(__file__).parent / "trials" / "NCT04293692.toml"

# What only the offline generator may know; so it is with ``slots`` of ``emergency``.
DESIGN_FIELDS = ("block_sizes", "design", "list_length")


@dataclasses.dataclass(frozen=True)
class Arm:
    """One arm: ``code`` is its letter, ``treatment`` the code of what it receives."""

    code: str
    treatment: str
    name: str


@dataclasses.dataclass(frozen=True)
class Factor:
    """
    A stratification factor and its levels, in the order that names a stratum.

    ``derived_from`` is ``birth_date`` where the level follows from the age (levels then read
    "18-59": first and last age in whole years), and None where the investigator states the level.
    """

    code: str
    levels: tuple[str, ...]
    derived_from: str | None = None


@dataclasses.dataclass(frozen=True)
class Criterion:
    """
    One eligibility criterion.

    Criteria of one group combine as ``combine`` says: ``all`` of them, or ``any`` of them, must be
    answered as expected. ``derived_from`` is ``birth_date`` for the age criterion. ``measurement`` is
    the value that the answer must agree with, where one is stated.
    """

    code: str
    kind: str
    group: str
    combine: str
    text: str
    derived_from: str | None = None
    measurement: Measurement | None = None

    @property
    def expected(self) -> bool:
        """The answer of an eligible person: yes to an inclusion, no to an exclusion."""
        return self.kind == "inclusion"


@dataclasses.dataclass(frozen=True)
class PlannedInfusion:
    """
    One planned infusion.

    ``day`` counts calendar days at the site; Day 1 is the day of randomization and there is no Day
    0. The window opens at 00:00 ``opens_days_before`` the day and closes at the end of the day
    ``closes_days_after`` it; ``target_time`` is a time of day at the site.
    """

    number: int
    day: int
    opens_days_before: int
    closes_days_after: int
    target_time: dt.time


@dataclasses.dataclass(frozen=True)
class Dose:
    """
    The dose rule: target cells = ``cells_per_kg`` x weight, rounded to ``cells_step``.

    ``volume_ml`` is infused in both arms. The volume drawn, target / (cells per mL x viability), is
    rounded to ``draw_step_ml``. Rounding is ``half_up`` for both. A weight older than
    ``weight_max_age_hours`` when the bag is needed, or outside the range in kg, is refused. Viable
    cells further from the target than ``delivered_tolerance_percent`` are a finding of quality.
    """

    cells_per_kg: Decimal
    cells_step: Decimal
    draw_step_ml: Decimal
    rounding: str
    volume_ml: Decimal
    bag_capacity_ml: Decimal
    min_viability_percent: Decimal
    delivered_tolerance_percent: Decimal
    weight_min_kg: Decimal
    weight_max_kg: Decimal
    weight_max_age_hours: int


@dataclasses.dataclass(frozen=True)
class ContentField:
    """
    One value that the preparer states about what is in the bag.

    ``kind`` is ``decimal`` or ``text``; ``not_applicable`` says whether the answer "not applicable"
    is allowed, because a bag without cells has no such value and none is invented.
    """

    code: str
    text: str
    kind: str
    not_applicable: bool
    unit: str | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None


@dataclasses.dataclass(frozen=True)
class Treatment:
    """What one arm receives: components that need a lot, contents to state, instructions. Unmasked."""

    name: str
    components: tuple[str, ...]
    contents: tuple[ContentField, ...]
    instructions: str


@dataclasses.dataclass(frozen=True)
class Site:
    """A site; ``investigator`` and ``telephone`` are printed on labels (EU Annex VI A.1 a and g)."""

    code: str
    name: str
    time_zone: str
    investigator: str
    telephone: str
    demonstration: bool = False

    @property
    def zone(self) -> ZoneInfo:
        """The site's time zone: windows and ages are reckoned in it."""
        return ZoneInfo(self.time_zone)


@dataclasses.dataclass(frozen=True)
class Kits:
    """How kits come to be, and the two constants that every label of the trial carries."""

    mode: str
    gtin: str
    lot: str


@dataclasses.dataclass(frozen=True)
class Label:
    """Texts of a label, the same for both arms (EU 536/2014 Annex VI A.1)."""

    sponsor: str
    sponsor_address: str
    sponsor_telephone: str
    emergency_contact: str
    product: str
    form_and_route: str
    directions: str
    storage: str
    statement: str


@dataclasses.dataclass(frozen=True)
class Design:
    """A design other than permuted blocks: ``kind`` is ``big_stick``, ``mti`` the imbalance it tolerates."""

    kind: str
    mti: int


@dataclasses.dataclass(frozen=True)
class Emergency:
    """
    Each site has a list of its own, reserved for the time when the system is down.

    ``slots`` is the least length of each, and None in what was read from a public document.
    """

    slots: int | None = None


@dataclasses.dataclass(frozen=True)
class Protocol:
    """
    One trial. ``ratio`` is in the order of ``arms``; arm 0 is the first.

    ``block_sizes`` is empty, ``design`` and ``list_length`` are None in whatever was read from a
    public document: on the server, always.
    """

    protocol: str
    version: str
    title: str
    planned: int
    arms: tuple[Arm, ...]
    ratio: tuple[int, ...]
    factors: tuple[Factor, ...]
    age_min: int
    age_max: int
    eligibility: tuple[Criterion, ...]
    infusions: tuple[PlannedInfusion, ...]
    min_interval_hours: int
    stability_minutes: int
    infusion_minutes: int
    dispatch_minutes: tuple[int, ...]
    dose: Dose
    treatments: Mapping[str, Treatment]
    sites: tuple[Site, ...]
    kits: Kits
    label: Label
    consent_version: str = "1.0"
    consent_versions_accepted: tuple[str, ...] = ()
    caps: Caps | None = None
    emergency: Emergency | None = None
    block_sizes: tuple[int, ...] = ()
    design: Design | None = None
    list_length: int | None = None

    def public_document(self) -> str:
        """Return canonical JSON of everything but the design and the lengths of lists."""
        document = plain(self)
        for name in DESIGN_FIELDS:
            del document[name]
        if document["emergency"]:
            del document["emergency"]["slots"]
        return rfc8785.dumps(document).decode()

    @property
    def content_hash(self) -> str:
        """SHA-256 of the public document, in hex; the same before and after it was stored."""
        return hashlib.sha256(self.public_document().encode()).hexdigest()

    def treatment(self, arm: int) -> Treatment:
        """Return what the arm of that number receives."""
        return self.treatments[self.arms[arm].treatment]

    def site(self, code: str) -> Site:
        """
        Return the site of that code.

        :raises KeyError: if the trial has no such site.
        """
        for site in self.sites:
            if site.code == code:
                return site
        raise KeyError(code)


def load(source: Path | str | bytes) -> Protocol:
    """
    Read a trial file, given by its path or as its bytes, with its design.

    :raises ProtocolError: if it is wrong anywhere.
    :raises OSError: if the file cannot be read.
    """
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError("(file)", f"is not TOML: {error}") from error
    if "list_length" not in document:
        raise ProtocolError("list_length", "is missing")
    if ("block_sizes" in document) == ("design" in document):
        raise ProtocolError("block_sizes", "or design must be there, and not both")
    if "emergency" in document and document["emergency"] == {}:
        raise ProtocolError("emergency.slots", "is missing")
    return _checked(document)


def from_document(document: str | bytes | Mapping[str, Any]) -> Protocol:
    """
    Return the protocol that a public document describes, without its design.

    :raises ProtocolError: if it is wrong anywhere, or holds a design.
    """
    try:
        parsed = json.loads(document) if isinstance(document, str | bytes) else document
    except ValueError as error:
        raise ProtocolError("(file)", f"is not JSON: {error}") from error
    for name in DESIGN_FIELDS:
        if isinstance(parsed, Mapping) and name in parsed:
            raise ProtocolError(name, "has no place in a public document")
    protocol = _checked(parsed)
    if protocol.emergency and protocol.emergency.slots is not None:
        raise ProtocolError("emergency.slots", "has no place in a public document")
    return protocol


def _checked(document: Mapping[str, Any]) -> Protocol:
    protocol: Protocol = read(Protocol, document)
    for place, reason in faults(protocol):
        raise ProtocolError(place, reason)
    return protocol
