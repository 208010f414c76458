"""
Permuted blocks: the sequence of one stratum in blocks that keep the ratio, ``irt-schedule/v1``.

Pure functions over a seed. Each stratum has a stream of its own, named by study and stratum, so
that a stratum added later never moves a slot of another. Within a stream: draw the size of a block,
lay it out arm by arm in the ratio, shuffle it (Fisher-Yates from the top), and go on until the asked
length is reached. Only whole blocks: a cut one would end out of balance, and its length would tell
its size.

The stream is HMAC_DRBG-SHA256 with entropy HMAC-SHA256(seed, "irt/sched/v1"), no nonce, and the
personalization JCS([study, stratum]). Golden values are in tests/vectors/schedule.json.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Protocol

from randomization.domain.drbg import HmacDrbg
from trialsite.audit.canonical import canonical

SEED_BYTES = 32
SMALLEST_BLOCK = 4
ONE_TO_ONE = (1, 1)


class Draws(Protocol):
    """Whatever draws unbiased whole numbers."""

    def uniform(self, bound: int) -> int:
        """Return a whole number from 0 to ``bound`` - 1."""


def stratum_stream(*, seed: bytes, study: str, stratum: str) -> HmacDrbg:
    """
    Return the stream of one stratum.

    :raises ValueError: if the seed is not 32 bytes.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError("the seed is 32 bytes")
    entropy = hmac.digest(seed, b"irt/sched/v1", "sha256")
    return HmacDrbg(entropy, personalization=canonical([study, stratum]))


def block_sequence(
    *, draws: Draws, block_sizes: Sequence[int], length: int, ratio: Sequence[int] = ONE_TO_ONE
) -> list[list[int]]:
    """
    Return whole blocks of arms, numbered from 0, that hold ``length`` slots or more.

    :raises ValueError: if a block size is less than 4 or no multiple of the ratio's sum, or
        ``length`` is negative.
    """
    if not block_sizes or any(size < SMALLEST_BLOCK or size % sum(ratio) for size in block_sizes):
        raise ValueError(
            "block sizes are multiples of the ratio's sum and at least 4: a block of 2 has a certain slot"
        )
    if length < 0:
        raise ValueError("length must not be negative")
    blocks: list[list[int]] = []
    slots = 0
    while slots < length:
        size = block_sizes[draws.uniform(len(block_sizes))]
        blocks.append(permuted_block(draws=draws, size=size, ratio=ratio))
        slots += size
    return blocks


def permuted_block(*, draws: Draws, size: int, ratio: Sequence[int] = ONE_TO_ONE) -> list[int]:
    """Return one block in one of its orders, each equally likely: C(size, size/2) of them for 1:1."""
    share = size // sum(ratio)
    block = [arm for arm, weight in enumerate(ratio) for _ in range(weight * share)]
    uniform = draws.uniform
    for last in range(size - 1, 0, -1):
        other = uniform(last + 1)
        block[last], block[other] = block[other], block[last]
    return block
