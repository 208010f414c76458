"""
Designs as Markov chains: the chance of each arm at the next slot, given a hidden state.

The generator makes a list from such a rule; here the rule itself is looked at. A state holds what is
left of the block for each arm, or how far arm 0 is ahead. It is hidden from an observer who knows
past arms and not where blocks end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import ClassVar, Protocol

from randomization.domain import designs

State = tuple[int, ...]
# The chance of a move from a state, the arm that it gives, and the state that it leads to.
Move = tuple[float, int, State]
ONE_TO_ONE = (1, 1)


class Source(Protocol):
    """A rule that gives out arms, numbered from 0, in the proportions of ``ratio``."""

    @property
    def ratio(self) -> tuple[int, ...]:
        """The arms' shares."""

    @property
    def start(self) -> State:
        """The state before the first slot of a stratum."""

    def moves(self, state: State) -> list[Move]:
        """Return every move that is possible from ``state``; their chances add up to 1."""


@dataclass(frozen=True)
class Blocks:
    """
    Permuted blocks: a state is what is left of the block for each arm; nothing left is a border.

    One block as long as the stratum is the random allocation rule.
    """

    sizes: tuple[int, ...]
    ratio: tuple[int, ...] = ONE_TO_ONE

    def __post_init__(self) -> None:
        whole = sum(self.ratio)
        for size in self.sizes:
            if size < 1 or size % whole:
                raise ValueError(f"a block of {size} is no multiple of {whole}, the sum of the ratio")

    @property
    def start(self) -> State:
        """A border."""
        return (0,) * len(self.ratio)

    def moves(self, state: State) -> list[Move]:
        """Return a draw from what is left, or from a fresh block of a size drawn at a border."""
        lefts = [state] if any(state) else self._fresh()
        return [
            (count / sum(left) / len(lefts), arm, _without(left, arm))
            for left in lefts
            for arm, count in enumerate(left)
            if count
        ]

    def _fresh(self) -> list[State]:
        whole = sum(self.ratio)
        return [tuple(size // whole * share for share in self.ratio) for size in self.sizes]


@dataclass(frozen=True)
class BigStick:
    """A fair coin until arm 0 is ``mti`` ahead or behind, then the arm behind (Soares and Wu 1983)."""

    mti: int
    ratio: ClassVar[tuple[int, ...]] = ONE_TO_ONE
    start: ClassVar[State] = (0,)

    def moves(self, state: State) -> list[Move]:
        """Return both arms, or at the bound the one that is behind."""
        (ahead,) = state
        arms = (0, 1) if abs(ahead) < self.mti else (int(ahead > 0),)
        return [(1 / len(arms), arm, (ahead + 1 - 2 * arm,)) for arm in arms]


@dataclass(frozen=True)
class BiasedCoin:
    """The arm behind with chance ``favor``, or either of two that are level (Efron 1971)."""

    favor: Fraction
    ratio: ClassVar[tuple[int, ...]] = ONE_TO_ONE
    start: ClassVar[State] = (0,)

    def moves(self, state: State) -> list[Move]:
        """Return both arms."""
        (ahead,) = state
        behind = float(self.favor) if ahead else 0.5
        chances = (1 - behind, behind) if ahead > 0 else (behind, 1 - behind)
        return [(chance, arm, (ahead + 1 - 2 * arm,)) for arm, chance in enumerate(chances)]


@dataclass(frozen=True)
class Simple:
    """Each slot by itself, in the proportions of the ratio; there is nothing to know."""

    ratio: tuple[int, ...] = ONE_TO_ONE
    start: ClassVar[State] = ()

    def moves(self, state: State) -> list[Move]:
        """Return every arm."""
        return [(share / sum(self.ratio), arm, state) for arm, share in enumerate(self.ratio)]


class Remembered:
    """A source that works out the moves of each state once."""

    def __init__(self, source: Source) -> None:
        self.ratio = source.ratio
        self.start = source.start
        self.moves = cache(source.moves)


def source_of(design: designs.Design, ratio: Sequence[int]) -> Source:
    """
    Return how the trial's design gives out arms.

    :raises ValueError: if the list was made elsewhere, by a rule that is not known here.
    """
    match design:
        case designs.PermutedBlocks(sizes=sizes):
            return Blocks(sizes, tuple(ratio))
        case designs.BigStick(mti=mti):
            return BigStick(mti)
    raise ValueError("a list that was made elsewhere follows a rule that is not known here")


def units(ratio: Sequence[int]) -> tuple[int, ...]:
    """
    Return how much one participant of each arm counts where arms are compared.

    In a ratio of 2 to 1 two of A weigh as much as one of B, so the difference is A - 2B. In 1 to 1
    it is A - B.
    """
    whole = math.lcm(*ratio)
    return tuple(whole // share for share in ratio)


def _without(left: State, arm: int) -> State:
    return (*left[:arm], left[arm] - 1, *left[arm + 1 :])
