"""
The list before it is sealed: specification, arms, salts and the commitment to them, ``irt-schedule/v1``.

Pure functions of a specification and a seed: the same two give the same list for ever, byte for
byte, in whatever program. Golden values are in tests/vectors/schedule.json.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from randomization.domain.blocks import stratum_stream
from randomization.domain.designs import Design, Imported, design_of, read_design
from randomization.domain.strata import all_strata, emergency_stratum
from trialsite.audit import merkle
from trialsite.audit.canonical import canonical
from trialsite.protocol import Protocol
from trialsite.sealing import slot_leaf

# The arms of each stratum in the order of its slots.
Arms = Mapping[str, Sequence[int]]


@dataclasses.dataclass(frozen=True)
class Reserve:
    """Lists reserved for the time when the system is down: a stratum for each site, of ``length`` slots."""

    strata: tuple[str, ...]
    length: int


@dataclasses.dataclass(frozen=True)
class Spec:
    """
    What the list is made from, besides the seed.

    ``length`` is the least number of slots of each stratum (None where the list was made elsewhere),
    ``arms`` are the treatment codes in the order of their numbers, ``trial`` is the content hash of
    the trial file. In an extension ``first`` is the position of a stratum's first slot.
    """

    study: str
    trial: str
    strata: tuple[str, ...]
    length: int | None
    design: Design
    arms: tuple[str, ...]
    ratio: tuple[int, ...]
    first: Mapping[str, int] = dataclasses.field(default_factory=dict)
    emergency: Reserve | None = None

    @property
    def every_stratum(self) -> tuple[str, ...]:
        """Return the strata in the order of the leaves: the emergency lists come last."""
        return self.strata + (self.emergency.strata if self.emergency else ())

    def length_of(self, stratum: str) -> int | None:
        """Return the least number of slots of a stratum."""
        if self.emergency and stratum in self.emergency.strata:
            return self.emergency.length
        return self.length

    def document(self) -> dict[str, Any]:
        """Return the specification as it stands inside the commitment. Secret: it has the design."""
        document = {
            "study": self.study,
            "trial": self.trial,
            "strata": list(self.strata),
            "arms": list(self.arms),
            "ratio": list(self.ratio),
            **self.design.members(),
        }
        if self.length is not None:
            document["length"] = self.length
        if self.first:
            document["first"] = dict(self.first)
        if self.emergency:
            document["emergency"] = {"strata": list(self.emergency.strata), "length": self.emergency.length}
        return document

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Spec:
        """
        Read what ``document`` returns.

        :raises ValueError: if it is anything else.
        """
        try:
            reserve = document.get("emergency")
            spec = cls(
                study=document["study"],
                trial=document["trial"],
                strata=tuple(document["strata"]),
                length=document.get("length"),
                design=read_design(document),
                arms=tuple(document["arms"]),
                ratio=tuple(document["ratio"]),
                first=dict(document.get("first", {})),
                emergency=Reserve(tuple(reserve["strata"]), reserve["length"]) if reserve else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a specification is malformed: {error}") from None
        if spec.document() != document:
            raise ValueError("a specification has other members than it should")
        return spec


def spec_of(
    protocol: Protocol,
    *,
    length: int | None = None,
    strata: Sequence[str] | None = None,
    sites: Sequence[str] | None = None,
    first: Mapping[str, int] | None = None,
    imported: bool = False,
) -> Spec:
    """
    Return the specification of the protocol's list, of the file's length unless one is given.

    Strata and sites come in the order of the trial file.

    :param strata: those to make; all of the trial file unless given.
    :param sites: those to reserve an emergency list for; all of the trial file unless given, where
        the file reserves any.
    :param first: stratum code -> position of its first slot, in an extension; of other strata ignored.
    :param imported: the list was made elsewhere.
    :raises ValueError: if the protocol has no design, lacks a stratum or site, or ``length`` is
        less than 1.
    """
    length = protocol.list_length if length is None else length
    design = design_of(protocol)
    if length is None or length < 1:
        raise ValueError("length must be at least 1")
    spec = Spec(
        study=protocol.protocol,
        trial=protocol.content_hash,
        strata=_chosen(strata, of=all_strata(protocol), what="a stratum"),
        length=None if imported else length,
        design=Imported() if imported else design,
        arms=tuple(arm.treatment for arm in protocol.arms),
        ratio=protocol.ratio,
        emergency=_reserve(protocol, sites),
    )
    if not spec.every_stratum:
        raise ValueError("there is no stratum to make")
    made = {code: position for code, position in (first or {}).items() if code in spec.every_stratum}
    return dataclasses.replace(spec, first={code: position for code, position in made.items() if position})


def _reserve(protocol: Protocol, sites: Sequence[str] | None) -> Reserve | None:
    known = [site.code for site in protocol.sites]
    reserved = protocol.emergency.slots if protocol.emergency else None
    if reserved is None:
        if sites:
            raise ValueError("the trial file reserves no emergency lists")
        return None
    chosen = _chosen(sites, of=known, what="a site")
    return Reserve(tuple(emergency_stratum(site) for site in chosen), reserved) if chosen else None


def _chosen(asked: Sequence[str] | None, *, of: Sequence[str], what: str) -> tuple[str, ...]:
    """Return those that were asked for, or all, in the order of the trial file."""
    unknown = set(asked or ()) - set(of)
    if unknown:
        raise ValueError(f"not {what} of the trial file: {', '.join(sorted(unknown))}")
    return tuple(code for code in of if asked is None or code in asked)


def stratum_arms(spec: Spec, seed: bytes, stratum: str) -> list[int]:
    """Return the arms of one stratum in order; of whole blocks, so ``length`` slots or more."""
    draws = stratum_stream(seed=seed, study=spec.study, stratum=stratum)
    return spec.design.sequence(draws=draws, ratio=spec.ratio, length=spec.length_of(stratum) or 0)


def generate_arms(spec: Spec, seed: bytes) -> dict[str, list[int]]:
    """Return the arms of every stratum."""
    return {stratum: stratum_arms(spec, seed, stratum) for stratum in spec.every_stratum}


class Schedule(Mapping[str, Sequence[int]]):
    """What ``generate_arms`` returns, but each stratum is made anew whenever it is asked for."""

    def __init__(self, spec: Spec, seed: bytes) -> None:
        self._spec, self._seed = spec, seed

    def __getitem__(self, stratum: str) -> bytes:
        if stratum not in self:
            raise KeyError(stratum)
        return bytes(stratum_arms(self._spec, self._seed, stratum))

    def __contains__(self, stratum: object) -> bool:
        return stratum in self._spec.every_stratum

    def __iter__(self) -> Iterator[str]:
        return iter(self._spec.every_stratum)

    def __len__(self) -> int:
        return len(self._spec.every_stratum)


def stratum_salts(seed: bytes, stratum: str, positions: range) -> Iterator[bytes]:
    """
    Yield a salt for each position: HMAC(seed, "irt/salt/v1|" || JCS([stratum, position])).

    The arm is one bit: without a salt two hashes would open a leaf. As a keyed function of the place
    the salts need no storage, and one slot's tells nothing of another's.
    """
    # JCS([stratum, position]) but for the position, which is all that changes from slot to slot.
    begun = hmac.new(seed, b"irt/salt/v1|" + canonical([stratum])[:-1] + b",", "sha256")
    for position in positions:
        salt = begun.copy()
        salt.update(b"%d]" % position)
        yield salt.digest()


class Listed(NamedTuple):
    """One slot before it is sealed, and its leaf hash (RFC 9162)."""

    stratum: str
    slot: int
    arm: int
    salt: bytes
    leaf: bytes


def listed_slots(spec: Spec, arms: Arms, seed: bytes) -> Iterator[Listed]:
    """
    Yield every slot in the order of the list; what is in memory is one stratum's arms.

    :raises ValueError: if the arms of a stratum are missing, or there is no such arm.
    """
    for stratum in spec.every_stratum:
        if stratum not in arms:
            raise ValueError(f"the arms of {stratum} are missing")
        sequence = arms[stratum]
        first = spec.first.get(stratum, 0)
        positions = range(first, first + len(sequence))
        salts = stratum_salts(seed, stratum, positions)
        for slot, arm, salt in zip(positions, sequence, salts, strict=True):
            data = slot_leaf(study=spec.study, stratum=stratum, slot=slot, arm=arm, salt=salt)
            yield Listed(stratum, slot, arm, salt, merkle.leaf_hash(data))


def commitment(spec_document: Mapping[str, Any], seed: bytes) -> bytes:
    """Return C, which binds specification and seed and tells neither."""
    return hashlib.sha256(b"irt/commit/v1\n" + canonical(spec_document) + b"\n" + seed).digest()


def spec_hash(spec_document: Mapping[str, Any], seed: bytes) -> bytes:
    """Return the specification's hash, keyed with the seed because a design can be guessed."""
    return hmac.digest(seed, b"irt/spec/v1|" + canonical(spec_document), "sha256")
