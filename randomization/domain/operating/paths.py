"""
What one stratum's path looks like: the difference between the arms after each slot, the largest
difference on the way, and the longest run of one arm. The last block is cut at the planned number.

The difference is A - B of the first two arms, each counted in ``sources.units``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

from randomization.domain.operating.sources import Source, units
from randomization.domain.operating.walks import Seen, walk

Pmf = dict[int, float]
# Arm of the run that goes on (-1 before the first), its length, and the longest so far.
Run = tuple[int, int, int]
NO_RUN: Run = (-1, 0, 0)


def difference_after(source: Source) -> Callable[[int, int], int]:
    """Return the function that gives the difference after one more arm."""
    weights = units(source.ratio)
    steps = [weights[0], -weights[1], *[0] * (len(weights) - 2)]
    return lambda difference, arm: difference + steps[arm]


def largest_after(source: Source) -> Callable[[tuple[int, int], int], tuple[int, int]]:
    """Return the function that gives the difference, and the largest so far, after one more arm."""
    step = difference_after(source)

    def after(seen: tuple[int, int], arm: int) -> tuple[int, int]:
        difference = step(seen[0], arm)
        return difference, max(seen[1], abs(difference))

    return after


def run_after(run: Run, arm: int) -> Run:
    """Return the run after one more arm."""
    length = run[1] + 1 if arm == run[0] else 1
    return arm, length, max(run[2], length)


def differences(source: Source, slots: int) -> list[Pmf]:
    """
    Return the distribution of the difference after 0, 1, … ``slots`` slots.

    :raises TooMuchWork: if there are too many states.
    """
    course = walk(source, slots, seen=0, see=difference_after(source))
    return [_marginal(now, lambda difference: difference) for now in course]


def largest_difference(source: Source, slots: int) -> Pmf:
    """
    Return the distribution of the largest absolute difference along the path.

    :raises TooMuchWork: if there are too many states.
    """
    return _marginal(_last(walk(source, slots, seen=(0, 0), see=largest_after(source))), lambda seen: seen[1])


def longest_run(source: Source, slots: int) -> Pmf:
    """
    Return the distribution of the longest run of one arm.

    :raises TooMuchWork: if there are too many states.
    """
    return _marginal(_last(walk(source, slots, seen=NO_RUN, see=run_after)), lambda run: run[2])


def mean(pmf: Pmf) -> float:
    """Return the expected value."""
    return math.fsum(value * likely for value, likely in pmf.items())


def mean_absolute(pmf: Pmf) -> float:
    """Return the expected absolute value."""
    return math.fsum(abs(value) * likely for value, likely in pmf.items())


def spread(pmf: Pmf) -> float:
    """Return the standard deviation."""
    center = mean(pmf)
    return math.sqrt(math.fsum((value - center) ** 2 * likely for value, likely in pmf.items()))


def at_least(pmf: Pmf, bound: int) -> float:
    """Return the chance of an absolute value of ``bound`` or more."""
    return math.fsum(likely for value, likely in pmf.items() if abs(value) >= bound)


def _last(
    course: Iterable[dict[tuple[tuple[int, ...], Seen], float]],
) -> dict[tuple[tuple[int, ...], Seen], float]:
    *_, last = course
    return last


def _marginal(now: dict[tuple[tuple[int, ...], Seen], float], value: Callable[[Seen], int]) -> Pmf:
    pmf: dict[int, float] = defaultdict(float)
    for (_, seen), likely in now.items():
        pmf[value(seen)] += likely
    return dict(sorted(pmf.items()))
