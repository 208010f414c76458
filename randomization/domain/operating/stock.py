"""
Stock that cannot run out: the most that one arm can ever ask for. Certain bounds, not chances.

Unmasked side only: a level of stock that follows from these numbers tells of the blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from randomization.domain.operating.sources import Source, State
from randomization.domain.operating.walks import spend


def most_in_a_row(source: Source, slots: int) -> list[int]:
    """
    Return the most of one arm in any 0, 1, … ``slots`` slots in a row of one stratum.

    :raises TooMuchWork: if there are too many states.
    """
    return _most(source, slots, reachable(source, slots))


def most_from_start(source: Source, slots: int) -> list[int]:
    """
    Return the most of one arm in the first 0, 1, … ``slots`` slots of a stratum.

    :raises TooMuchWork: if there are too many states.
    """
    return _most(source, slots, {source.start})


def over_strata(of_one: Sequence[int], strata: int) -> list[int]:
    """
    Return the most of one arm over several strata, for 0, 1, … participants in all.

    The worst case is the largest sum over every division of the participants among the strata.
    """
    if strata == 1:
        return list(of_one)
    half = over_strata(of_one, strata // 2)
    both = _best_sums(half, half)
    return _best_sums(both, of_one) if strata % 2 else both


def reachable(source: Source, slots: int) -> set[State]:
    """
    Return every state that a stratum can be in within ``slots`` slots.

    :raises TooMuchWork: if there are too many.
    """
    found = border = {source.start}
    for _ in range(slots):
        border = {to for state in border for _, _, to in source.moves(state)} - found
        if not border:
            break
        found = found | border
        spend(10 * len(found))
    return found


def _most(source: Source, slots: int, starts: Iterable[State]) -> list[int]:
    """Return for each number of slots the most of whichever arm can have most."""
    starts = list(starts)
    counts = [_most_of_arm(source, slots, starts, arm) for arm in range(len(source.ratio))]
    return [max(each) for each in zip(*counts, strict=True)]


def _most_of_arm(source: Source, slots: int, starts: Sequence[State], arm: int) -> list[int]:
    moves = source.moves
    best = dict.fromkeys(starts, 0)
    most, work = [0], 0
    for _ in range(slots):
        following: dict[State, int] = {}
        for state, count in best.items():
            for _, given, to in moves(state):
                following[to] = max(following.get(to, 0), count + (given == arm))
        best = following
        most.append(max(best.values()))
        work += len(best)
        spend(work)
    return most


def _best_sums(one: Sequence[int], other: Sequence[int]) -> list[int]:
    backward = list(other)[::-1]
    return [
        max(map(int.__add__, one[: total + 1], backward[len(one) - 1 - total :])) for total in range(len(one))
    ]
