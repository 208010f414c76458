"""
How well the next arm can be guessed, slot by slot along one stratum.

The observer knows every past arm of the stratum and the design, and does not know where blocks end.
``convergence`` guesses the arm that was given less often so far (Blackwell and Hodges 1957);
``bayes`` guesses whatever is likeliest.

In whole blocks of 1 to 1 the two are one: wherever the borders may lie, the arm that is behind is the
one of which more is left, so every layout that is still possible votes for it. What not knowing the
borders takes away is certainty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final

from randomization.domain.operating.sources import Move, Source, State, units
from randomization.domain.operating.walks import NEGLIGIBLE, Path, spend, walk

# What an observer thinks: a weight for each hidden state.
Belief = dict[State, float]
# Beliefs that agree to so many digits are one: what the guesser loses is far below the 12th digit.
_DIGITS: Final = 12


@dataclass(frozen=True)
class Guesses:
    """For each slot in turn, the chance that it is guessed right and that it is certain beforehand."""

    right: list[float]
    certain: list[float]

    def add(self, right: float, certain: float) -> None:
        """Add the next slot."""
        self.right.append(right)
        self.certain.append(certain)


class Lead:
    """
    By how much each arm is ahead of the one furthest behind its share, in ``sources.units``.

    The arms that convergence guesses are those with nothing. ``after`` returns the lead after one more
    of an arm.
    """

    def __init__(self, source: Source) -> None:
        self.units = units(source.ratio)
        self.none = (0,) * len(self.units)
        self.after = cache(self._after)

    def _after(self, lead: tuple[int, ...], arm: int) -> tuple[int, ...]:
        ahead = [each + self.units[arm] * (at == arm) for at, each in enumerate(lead)]
        return tuple(each - min(ahead) for each in ahead)


def convergence(source: Source, slots: int) -> Guesses:
    """
    Return what the convergence strategy guesses right, and what an observer of the borders is certain of.

    :raises TooMuchWork: if there are too many states.
    """
    moves, lead = source.moves, Lead(source)
    guesses = Guesses([], [])
    course = walk(source, slots, seen=lead.none, see=lead.after)
    for _, now in zip(range(slots), course, strict=False):
        rights = (likely * _guessed(moves(state), ahead) for (state, ahead), likely in now.items())
        certains = (likely for (state, _), likely in now.items() if _one_arm(moves(state)))
        guesses.add(math.fsum(rights), math.fsum(certains))
    return guesses


def convergence_along(source: Source, path: Path) -> Guesses:
    """Return the same for one stratum that was sampled."""
    moves, lead = source.moves, Lead(source)
    guesses, ahead = Guesses([], []), lead.none
    for state, arm in path:
        guesses.add(_guessed(moves(state), ahead), float(_one_arm(moves(state))))
        ahead = lead.after(ahead, arm)
    return guesses


def _guessed(moves: list[Move], lead: tuple[int, ...]) -> float:
    """Return the chance that the arm that is behind comes; ties are split evenly."""
    return sum(chance for chance, arm, _ in moves if not lead[arm]) / lead.count(0)


def _one_arm(moves: list[Move]) -> bool:
    return len({arm for _, arm, _ in moves}) == 1


def bayes(source: Source, slots: int) -> Guesses:
    """
    Return what the best possible guesser gets right and is certain of, without knowing the borders.

    Histories after which the same states are possible are counted as one as long as the states agree
    which arm is likeliest next: then merging them changes no guess. Otherwise, as in a ratio of 2 to
    1, they are one only if the whole beliefs are.

    :raises TooMuchWork: if there are too many beliefs.
    """
    try:
        return _bayes(source, slots, frozenset, agreed=True)
    except _Disagreement:
        return _bayes(source, slots, _rounded, agreed=False)


class _Disagreement(Exception):
    """Two states that may both be do not agree which arm is likeliest next."""


def _bayes(source: Source, slots: int, key: Callable[[Belief], Hashable], *, agreed: bool) -> Guesses:
    moves = source.moves
    guesses, work = Guesses([], []), 0
    held: dict[Hashable, Belief] = {None: {source.start: 1.0}}
    for _ in range(slots):
        following: dict[Hashable, Belief] = {}
        right, certain = [], []
        for belief in held.values():
            if agreed and not _agree([moves(state) for state in belief]):
                raise _Disagreement
            after = by_arm(belief, moves, len(source.ratio))
            odds = [math.fsum(each.values()) for each in after]
            right.append(max(odds))
            certain += [max(odds)] if _is_certain(odds) else []
            for each, likely in zip(after, odds, strict=True):
                if likely > NEGLIGIBLE:
                    _add(following.setdefault(key(each), {}), each)
        held = following
        guesses.add(math.fsum(right), math.fsum(certain))
        work += sum(map(len, held.values()))
        spend(work)
    return guesses


def bayes_along(source: Source, path: Path) -> Guesses:
    """Return the same for one stratum that was sampled."""
    moves = source.moves
    guesses, belief = Guesses([], []), {source.start: 1.0}
    for _, arm in path:
        after = by_arm(belief, moves, len(source.ratio))
        odds = [math.fsum(each.values()) for each in after]
        guesses.add(max(odds), float(_is_certain(odds)))
        belief = {state: weight / odds[arm] for state, weight in after[arm].items()}
    return guesses


def _is_certain(odds: list[float]) -> bool:
    return sum(map(bool, odds)) == 1


def by_arm(belief: Belief, moves: Callable[[State], list[Move]], arms: int) -> list[Belief]:
    """Return for each arm the weights of the states after it; together they weigh what ``belief`` does."""
    after: list[Belief] = [{} for _ in range(arms)]
    for state, weight in belief.items():
        for chance, arm, to in moves(state):
            after[arm][to] = after[arm].get(to, 0.0) + weight * chance
    return after


def _agree(moves: list[list[Move]]) -> bool:
    """Return whether some arm is a likeliest one in each of the states."""
    best = []
    for each in moves:
        odds: dict[int, float] = {}
        for chance, arm, _ in each:
            odds[arm] = odds.get(arm, 0.0) + chance
        best.append({arm for arm, likely in odds.items() if likely > max(odds.values()) - 1e-12})
    return bool(set.intersection(*best))


def _rounded(belief: Belief) -> Hashable:
    whole = math.fsum(belief.values())
    return frozenset((state, round(weight / whole, _DIGITS)) for state, weight in belief.items())


def _add(to: Belief, belief: Belief) -> None:
    for state, weight in belief.items():
        to[state] = to.get(state, 0.0) + weight


def right_per_block(size: int) -> Fraction:
    """Return how many slots of a whole block of 1 to 1 are guessed right (Blackwell and Hodges 1957)."""
    half = size // 2
    return half + Fraction(4**half, 2 * math.comb(size, half)) - Fraction(1, 2)


def certain_per_block(size: int) -> Fraction:
    """Return how many slots of a whole block of 1 to 1 are certain to one who knows where it ends."""
    half = size // 2
    return Fraction(2 * half, half + 1)


def long_run_right(sizes: tuple[int, ...]) -> Fraction:
    """Return the share guessed right in an endless stratum of blocks of 1 to 1, sizes equally likely."""
    return sum(map(right_per_block, sizes), Fraction()) / sum(sizes)
