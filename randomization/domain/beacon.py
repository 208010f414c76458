"""
A public beacon mixed into the seed, against a maker who tries seeds until one suits.

Before a round of drand's quicknet is due, ``C0 = SHA-256("irt/seed/v1" || seed0)`` is published. When
the round's signature is out, ``seed = HKDF-SHA256(ikm=seed0, salt=SHA-256(signature), info=C0)``:
nobody could choose either part with the other in view. Whether the signature is the network's (BLS)
is for the auditor's tools to check, against what the network publishes.

Pure: no clock, no network.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NETWORK = "drand-quicknet"
SIGNATURE_BYTES = 48
LAST_ROUND = 2**53
# Of the network's published parameters.
_GENESIS = dt.datetime(2023, 8, 23, 15, 9, 27, tzinfo=dt.UTC)
_PERIOD = dt.timedelta(seconds=3)
_LINE = re.compile(rf"{NETWORK} ([1-9][0-9]{{0,15}}) ([0-9a-f]{{64}}) ([0-9a-f]{{{2 * SIGNATURE_BYTES}}})")


class BeaconInvalid(ValueError):
    """A round, its signature or the line that names them is malformed."""


def seed_commitment(seed0: bytes) -> bytes:
    """Return C0, which binds the maker's own part of the seed and tells nothing of it."""
    return hashlib.sha256(b"irt/seed/v1" + seed0).digest()


def due(number: int) -> dt.datetime:
    """
    Return when a round is published, in UTC.

    :raises BeaconInvalid: if its number is not 1 to ``LAST_ROUND``, or the time is beyond the calendar.
    """
    try:
        if 1 <= number <= LAST_ROUND:
            return _GENESIS + (number - 1) * _PERIOD
    except OverflowError:
        pass
    raise BeaconInvalid(f"there is no round {number} of the beacon")


@dataclass(frozen=True)
class Beacon:
    """One round of the beacon, and C0 as it was published before."""

    number: int
    c0: bytes
    signature: bytes

    @property
    def text(self) -> str:
        """The beacon's line in the commitment."""
        return f"{NETWORK} {self.number} {self.c0.hex()} {self.signature.hex()}"

    @property
    def randomness(self) -> bytes:
        """What the network publishes beside the signature: its SHA-256."""
        return hashlib.sha256(self.signature).digest()

    @classmethod
    def parse(cls, line: str) -> Beacon:
        """
        Read what ``text`` writes.

        :raises BeaconInvalid: if it is anything else.
        """
        match = _LINE.fullmatch(line)
        if match is None:
            raise BeaconInvalid(f"the line of the beacon is malformed: {NETWORK}, round, C0, signature")
        return cls(int(match[1]), bytes.fromhex(match[2]), bytes.fromhex(match[3]))

    def mix(self, seed0: bytes) -> bytes:
        """
        Return the seed of 32 bytes.

        :raises BeaconInvalid: if ``seed0`` is not the one that C0 committed to.
        """
        if seed_commitment(seed0) != self.c0:
            raise BeaconInvalid("the seed is not the one that was committed to before the round")
        return HKDF(algorithm=SHA256(), length=32, salt=self.randomness, info=self.c0).derive(seed0)


def beacon_of(*, number: int, seed0: bytes, signature: str) -> Beacon:
    """
    Return the beacon of a round, from its signature in hex as the network publishes it.

    :raises BeaconInvalid: if the round's number or the signature has another form.
    """
    return Beacon.parse(f"{NETWORK} {number} {seed_commitment(seed0).hex()} {signature.strip().lower()}")
