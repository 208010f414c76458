"""Waiting for a round of the public beacon, with the maker's part of the seed in memory only."""

from __future__ import annotations

import sys
import time

from randomization.domain.beacon import Beacon, beacon_of, due, seed_commitment


def ask_for_round(seed0: bytes, number: int | None, signature: str | None) -> Beacon | None:
    """
    Print C0, then read the round's signature from standard input unless it is given; None without a round.

    :raises ValueError: if the round or its signature is malformed, or a signature has no round.
    """
    if number is None:
        if signature is not None:
            raise ValueError("--beacon-signature is that of a round: name it with --beacon-round")
        return None
    if signature is not None or due(number).timestamp() <= time.time():
        sys.stderr.write("The round is known before C0: this proves nothing, and is for a rehearsal.\n")
    sys.stdout.write(f"C0 {seed_commitment(seed0).hex()}\n")
    sys.stdout.write(f"Publish it now: round {number} is due at {due(number):%Y-%m-%d %H:%M:%S} UTC.\n")
    sys.stdout.flush()
    if signature is None:
        sys.stdout.write(f"Then give the signature of round {number}, in hex:\n")
        sys.stdout.flush()
        signature = sys.stdin.readline()
    beacon = beacon_of(number=number, seed0=seed0, signature=signature)
    sys.stdout.write(f"randomness {beacon.randomness.hex()} (compare it with what the network publishes)\n")
    return beacon
