"""
The sealed list as files: one line per slot, and what the statistician signs.

``slots.jsonl`` has one RFC 8785 JSON object per line, strata in the order of the specification and
slots in order: ``stratum``, ``slot`` (from 0), ``envelope`` (base64), ``leaf`` (the RFC 9162 leaf
hash, hex) and ``randomization_number``. Nothing in it tells an arm.

The text of ``commitment.note`` is eleven lines:

    irt-list-commitment/v1
    <study>
    <Merkle root, base64>
    <C = SHA-256("irt/commit/v1\\n" + JCS(spec) + "\\n" + seed), hex>
    <number of leaves>
    <SHA-256 of the generator's software, hex>
    <HMAC-SHA256(seed, "irt/spec/v1|" + JCS(spec)), hex>
    <content hash of the trial, hex>
    <SHA-256 of slots.jsonl, hex>
    <Merkle root of the list that this one extends, base64, or "-">
    <"drand-quicknet <round> <C0, hex> <signature, hex>", or "-">

The specification holds the design. A plain hash of it would fall to a handful of guesses, so
it is keyed with the seed, like ``C``; both can be checked once the seed is released.

Pure: no Django, no files.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from dataclasses import dataclass
from typing import Any

from randomization.domain.beacon import Beacon, BeaconInvalid
from trialsite.audit.canonical import canonical

TITLE = "irt-list-commitment/v1"
ENVELOPE_BYTES = 96
HASH_BYTES = 32
# As many digits in every line of a list; a longer list has more of them.
RANDOMIZATION_NUMBER = re.compile(r"R[0-9]{6,9}")
NONE = "-"

_HEX = re.compile(r"[0-9a-f]{64}")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_LINE_KEYS = {"stratum", "slot", "envelope", "leaf", "randomization_number"}


@functools.lru_cache
def _quoted(text: str) -> str:
    """Return a text in canonical JSON; it comes again with every slot of a stratum."""
    return canonical(text).decode()


class SealedListInvalid(ValueError):
    """A line of the sealed list or the commitment's text is malformed."""


@dataclass(frozen=True)
class SealedSlot:
    """One slot: 96 bytes that only the code-break key opens, and its leaf under the published root."""

    stratum: str
    slot: int
    envelope: bytes
    leaf: bytes
    randomization_number: str

    def to_line(self) -> str:
        """Return the slot as one line of ``slots.jsonl``, without the line end."""
        envelope, leaf, number = base64.b64encode(self.envelope), self.leaf.hex(), self.randomization_number
        return (
            f'{{"envelope":"{envelope.decode()}","leaf":"{leaf}","randomization_number":"{number}",'
            f'"slot":{self.slot},"stratum":{_quoted(self.stratum)}}}'
        )

    @classmethod
    def from_line(cls, line: str) -> SealedSlot:
        """
        Read what ``to_line`` writes.

        :raises SealedListInvalid: if it is anything else.
        """
        try:
            record: dict[str, Any] = json.loads(line)
            if set(record) != _LINE_KEYS:
                raise SealedListInvalid("a slot has other fields than it should")
            slot = cls(
                stratum=str(record["stratum"]),
                slot=int(record["slot"]),
                envelope=base64.b64decode(record["envelope"], validate=True),
                leaf=bytes.fromhex(record["leaf"]),
                randomization_number=str(record["randomization_number"]),
            )
        except (TypeError, binascii.Error, ValueError) as error:
            raise SealedListInvalid(f"a line is not a slot: {error}") from None
        # Only the canonical line is read, so that two programs cannot read one file in two ways.
        if slot.to_line() != line.rstrip("\n") or not slot.is_well_formed:
            raise SealedListInvalid(f"slot {slot.slot} of {slot.stratum} is malformed")
        return slot

    @property
    def is_well_formed(self) -> bool:
        """Whether the sizes and the randomization number have the form that they must have."""
        return (
            len(self.envelope) == ENVELOPE_BYTES
            and len(self.leaf) == HASH_BYTES
            and self.slot >= 0
            and RANDOMIZATION_NUMBER.fullmatch(self.randomization_number) is not None
        )


@dataclass(frozen=True)
class Commitment:
    """
    What is published of the list before its first participant; ``spec`` is keyed with the seed.

    ``slots`` is the hash of the file of slots, so the signature is over envelopes and numbers too;
    ``extends`` is the root of the list before, in an extension.
    """

    study: str
    root: bytes
    commitment: bytes
    leaves: int
    software: bytes
    spec: bytes
    trial: str
    slots: bytes
    extends: bytes | None = None
    beacon: Beacon | None = None

    @property
    def text(self) -> str:
        """The note's text, ending in a line end: what the statistician signs."""
        lines = (
            TITLE,
            self.study,
            base64.b64encode(self.root).decode(),
            self.commitment.hex(),
            str(self.leaves),
            self.software.hex(),
            self.spec.hex(),
            self.trial,
            self.slots.hex(),
            base64.b64encode(self.extends).decode() if self.extends else NONE,
            self.beacon.text if self.beacon else NONE,
        )
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Commitment:
        """
        Read what ``text`` writes.

        :raises SealedListInvalid: if it is anything else.
        """
        lines = text.split("\n")
        if len(lines) != 12 or lines[0] != TITLE or lines[11]:
            raise SealedListInvalid(f"not a commitment of eleven lines titled {TITLE}")
        _, study, root, commitment, leaves, software, spec, trial, slots, extends, beacon, _ = lines
        hashes = (commitment, software, spec, trial, slots)
        if not _COUNT.fullmatch(leaves) or not all(_HEX.fullmatch(value) for value in hashes):
            raise SealedListInvalid("a hash or the number of leaves is malformed")
        try:
            parsed = cls(
                study=study,
                root=_root(root),
                commitment=bytes.fromhex(commitment),
                leaves=int(leaves),
                software=bytes.fromhex(software),
                spec=bytes.fromhex(spec),
                trial=trial,
                slots=bytes.fromhex(slots),
                extends=None if extends == NONE else _root(extends),
                beacon=None if beacon == NONE else Beacon.parse(beacon),
            )
        except BeaconInvalid as error:
            raise SealedListInvalid(str(error)) from None
        if parsed.text != text:
            raise SealedListInvalid("the commitment is not in its canonical spelling")
        return parsed


def _root(text: str) -> bytes:
    try:
        root = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != HASH_BYTES:
        raise SealedListInvalid("a root is malformed")
    return root
