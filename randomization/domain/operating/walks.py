"""
Following a source slot by slot: exactly, by forward recursion, or by seeded sampling.

The recursion carries the joint distribution of the hidden state and of one statistic of the arms so
far. Its numbers are binary fractions of double precision, so "exact" means to about 12 digits.
"""

from __future__ import annotations

import math
import random  # noqa: TID251 - of samples that can be repeated; nothing secret follows from it
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar

from randomization.domain.operating.sources import Source, State

Seen = TypeVar("Seen", bound=Hashable)
# A stratum that was sampled: for each slot the hidden state before it, and its arm.
Path = list[tuple[State, int]]

# Entries that one recursion may go through, a fraction of a second of work.
BUDGET: Final = 150_000
# What is less likely than this is left out: with every entry of the budget it comes to nothing.
NEGLIGIBLE: Final = 1e-22
SEED: Final = 1


class TooMuchWork(Exception):
    """The recursion has more entries than its budget: sample instead."""


@dataclass(frozen=True)
class Estimate:
    """A value, and its standard error where it was sampled; None where it is exact."""

    value: float
    standard_error: float | None = None


def spend(work: int) -> None:
    """:raises TooMuchWork: if so many entries exceed the budget."""
    if work > BUDGET:
        raise TooMuchWork


def walk(
    source: Source, slots: int, *, seen: Seen, see: Callable[[Seen, int], Seen]
) -> Iterator[dict[tuple[State, Seen], float]]:
    """
    Yield the distribution of (state, statistic) before each slot and after the last: ``slots`` + 1.

    :param seen: the statistic before the first slot; ``see`` returns it after one more arm.
    :raises TooMuchWork: if the entries exceed the budget.
    """
    see = cache(see)
    now = {(source.start, seen): 1.0}
    work = 0
    yield now
    for _ in range(slots):
        following: dict[tuple[State, Seen], float] = {}
        for (state, before), likely in now.items():
            for chance, arm, to in source.moves(state):
                place = (to, see(before, arm))
                following[place] = following.get(place, 0.0) + likely * chance
        now = {place: likely for place, likely in following.items() if likely > NEGLIGIBLE}
        work += len(now)
        spend(work)
        yield now


def sample(source: Source, slots: int, *, paths: int, seed: int = SEED) -> Iterator[Path]:
    """Yield ``paths`` strata of ``slots`` slots; the same seed yields the same."""
    draws = random.Random(seed)  # noqa: S311 - see above
    moves = source.moves
    for _ in range(paths):
        state, path = source.start, []
        for _ in range(slots):
            drawn = draws.random()
            for chance, arm, to in moves(state):  # noqa: B007 - the last one, if rounding leaves a rest
                drawn -= chance
                if drawn < 0:
                    break
            path.append((state, arm))
            state = to
        yield path


def estimate(values: list[float]) -> Estimate:
    """Return the mean of sampled values and its standard error."""
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / max(count - 1, 1)
    return Estimate(mean, math.sqrt(variance / count))
