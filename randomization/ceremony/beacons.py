"""Waiting for a round of the public beacon, with the maker's part of the seed in memory only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from randomization.domain.beacon import Beacon, BeaconInvalid, beacon_of, due, seed_commitment


def ask_for_round(
    seed0: bytes, number: int | None, signature: str | None, *, clock: Callable[[], float] = time.time
) -> Beacon | None:
    """
    Print C0, then read the round's signature from standard input unless it is given; None without a round.

    A slip of the typist does not end what was published: it is asked again until a signature fits.

    :param clock: seconds since 1970, by which a round is due or not.
    :raises ValueError: if there is no such round, the signature given is malformed or has no round, or
        standard input ends.
    """
    if number is None:
        if signature is not None:
            raise ValueError("--beacon-signature is that of a round: name it with --beacon-round")
        return None
    at = due(number)
    given = None if signature is None else beacon_of(number=number, seed0=seed0, signature=signature)
    if given or at.timestamp() <= clock():
        sys.stderr.write("The round is known before C0: this proves nothing, and is for a rehearsal.\n")
    c0 = seed_commitment(seed0)
    _say(f"C0 {c0.hex()}\nPublish it now: round {number} is due at {at:%Y-%m-%d %H:%M:%S} UTC.\n")
    with giving_up(c0):
        beacon = given or _typed(seed0, number, clock)
    _say(f"randomness {beacon.randomness.hex()} (compare it with what the network publishes)\n")
    return beacon


@contextmanager
def giving_up(c0: bytes | None) -> Iterator[None]:
    """Say, if what is done here fails, that C0 was published for nothing: a new start has another."""
    try:
        yield
    except BaseException:
        if c0:
            sys.stderr.write(f"C0 {c0.hex()} is given up: write that, and why, on the form.\n")
        raise


def _typed(seed0: bytes, number: int, clock: Callable[[], float]) -> Beacon:
    at = due(number)
    while True:
        _say(f"Then give the signature of round {number}, in hex:\n")
        line = sys.stdin.readline()
        if not line:
            raise BeaconInvalid("standard input ended before there was a signature")
        if clock() < at.timestamp():
            _say(f"By this machine's clock the round is not out before {at:%Y-%m-%d %H:%M:%S} UTC: wait.\n")
            continue
        try:
            return beacon_of(number=number, seed0=seed0, signature=line)
        except BeaconInvalid:
            _say("That is not a signature: 96 hex characters, named signature (not randomness).\n")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
