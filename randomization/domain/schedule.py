"""
The list before it is sealed: specification, arms, salts and the commitment to them, ``irt-schedule/v1``.

Pure functions of a specification and a seed: the same two give the same list for ever, byte for
byte, in whatever program. Golden values are in tests/vectors/schedule.json.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from randomization.domain.blocks import block_sequence, stratum_stream
from randomization.domain.strata import all_strata
from trialsite.audit.canonical import canonical
from trialsite.protocol import Protocol

Arms = Mapping[str, Sequence[int]]
Salts = Mapping[str, Sequence[bytes]]


@dataclasses.dataclass(frozen=True)
class Spec:
    """
    What the list is made from, besides the seed.

    ``length`` is the least number of slots of each stratum, ``arms`` the treatment codes of arm 0
    and arm 1, ``trial`` the content hash of the trial file.
    """

    study: str
    trial: str
    strata: tuple[str, ...]
    length: int
    blocks: tuple[int, ...]
    arms: tuple[str, ...]
    ratio: tuple[int, ...]

    def document(self) -> dict[str, Any]:
        """Return the specification as it stands inside the commitment. Secret: it has the block sizes."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }


def spec_of(protocol: Protocol, *, length: int | None = None) -> Spec:
    """
    Return the specification of the protocol's list, of the file's length unless one is given.

    :raises ValueError: if the protocol has no design, or ``length`` is less than 1.
    """
    length = protocol.list_length if length is None else length
    if not protocol.block_sizes or length is None:
        raise ValueError("a public document has no design: give the trial file")
    if length < 1:
        raise ValueError("length must be at least 1")
    return Spec(
        study=protocol.protocol,
        trial=protocol.content_hash,
        strata=all_strata(protocol),
        length=length,
        blocks=protocol.block_sizes,
        arms=tuple(arm.treatment for arm in protocol.arms),
        ratio=protocol.ratio,
    )


def generate_arms(spec: Spec, seed: bytes) -> dict[str, list[int]]:
    """Return the arms, 0 and 1, of every stratum in order: whole blocks, so ``length`` slots or more."""
    arms = {}
    for stratum in spec.strata:
        draws = stratum_stream(seed=seed, study=spec.study, stratum=stratum)
        blocks = block_sequence(draws=draws, block_sizes=spec.blocks, length=spec.length)
        arms[stratum] = [int(arm) for block in blocks for arm in block]
    return arms


def slot_salts(arms: Arms, seed: bytes) -> dict[str, list[bytes]]:
    """
    Return a salt for every slot.

    The arm is one bit: without a salt two hashes would open a leaf. As a keyed function of the place
    the salts need no storage, and one slot's tells nothing of another's.
    """
    return {
        stratum: [
            hmac.digest(seed, b"irt/salt/v1|" + canonical([stratum, slot]), "sha256")
            for slot in range(len(sequence))
        ]
        for stratum, sequence in arms.items()
    }


def commitment(spec_document: Mapping[str, Any], seed: bytes) -> bytes:
    """Return C, which binds specification and seed and tells neither."""
    return hashlib.sha256(b"irt/commit/v1\n" + canonical(spec_document) + b"\n" + seed).digest()


def spec_hash(spec_document: Mapping[str, Any], seed: bytes) -> bytes:
    """Return the specification's hash, keyed with the seed because block sizes can be guessed."""
    return hmac.digest(seed, b"irt/spec/v1|" + canonical(spec_document), "sha256")
