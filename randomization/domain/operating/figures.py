"""
The figures of one design, each exact where that is feasible, and sampled with a seed where it is not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import accumulate
from typing import Final

from randomization.domain.operating import guessing, paths, split, stock
from randomization.domain.operating.guessing import Guesses
from randomization.domain.operating.paths import Pmf
from randomization.domain.operating.sources import Remembered, Source
from randomization.domain.operating.split import Groups
from randomization.domain.operating.walks import SEED, Estimate, Path, TooMuchWork, estimate, sample

# Slots that are sampled in all, but paths enough; guesses, which take longer, are followed along so many.
SAMPLED_SLOTS: Final = 200_000
FEWEST: Final = 100


@dataclass(frozen=True)
class Shares:
    """Shares of a stratum's participants guessed right, and certain beforehand; and slot by slot."""

    right: Estimate
    certain: Estimate
    by_slot: Guesses


@dataclass(frozen=True)
class Distribution:
    """Chances by value, and the mean; with its standard error the chances are sampled too."""

    pmf: Pmf
    mean: Estimate


@dataclass(frozen=True)
class Split:
    """The whole trial's difference between the arms; ``equal`` is the chance of none."""

    pmf: Pmf
    equal: Estimate
    spread: Estimate


class Stratum:
    """The figures of one stratum over ``planned`` participants, each worked out when it is asked for."""

    def __init__(self, source: Source, planned: int, *, seed: int = SEED) -> None:
        self.source = source
        self._quick = Remembered(source)
        self.planned = planned
        self.seed = seed

    @cached_property
    def convergence(self) -> Shares:
        """Guessing the arm that is behind; certain is what one is who knows the borders."""
        return self._shares(guessing.convergence, guessing.convergence_along)

    @cached_property
    def bayes(self) -> Shares:
        """Guessing as well as can be without knowing the borders."""
        return self._shares(guessing.bayes, guessing.bayes_along)

    @cached_property
    def largest(self) -> Distribution:
        """The largest absolute difference along the path."""
        after = paths.largest_after(self._quick)
        return self._distribution(paths.largest_difference, lambda arms: reduce(after, arms, (0, 0))[1])

    @cached_property
    def longest_run(self) -> Distribution:
        """The longest run of one arm."""
        return self._distribution(
            paths.longest_run, lambda arms: reduce(paths.run_after, arms, paths.NO_RUN)[2]
        )

    @cached_property
    def differences(self) -> list[Distribution]:
        """The difference after 0, 1, … ``planned`` participants; ``mean`` is of its absolute value."""
        try:
            exact = paths.differences(self._quick, self.planned)
        except TooMuchWork:
            after = paths.difference_after(self._quick)
            courses = [accumulate(arms, after, initial=0) for arms in self._samples]
            return [_sampled(list(values), size=abs) for values in zip(*courses, strict=True)]
        return [Distribution(pmf, Estimate(paths.mean_absolute(pmf))) for pmf in exact]

    @cached_property
    def most(self) -> list[int] | None:
        """The most of one arm among the first 0, 1, … ``planned``; None if that is too much work."""
        try:
            return stock.most_from_start(self._quick, self.planned)
        except TooMuchWork:
            return None

    @cached_property
    def most_in_a_row(self) -> list[int] | None:
        """The most of one arm in any 0, 1, … ``planned`` in a row; None if that is too much work."""
        try:
            return stock.most_in_a_row(self._quick, self.planned)
        except TooMuchWork:
            return None

    @property
    def longest_possible_run(self) -> int | None:
        """The longest run of one arm that any list can hold within the planned number."""
        if self.most_in_a_row is None:
            return None
        return max(length for length, most in enumerate(self.most_in_a_row) if most == length)

    @property
    def _pmfs(self) -> list[Pmf]:
        return [each.pmf for each in self.differences]

    @property
    def _differences_are_exact(self) -> bool:
        return self.differences[-1].mean.standard_error is None

    def spread(self, *groups: Groups) -> Estimate:
        """Return the standard deviation of the whole trial's difference over groups of strata."""
        value = math.hypot(*(split.exact_spread(self._pmfs, group) for group in groups))
        if self._differences_are_exact:
            return Estimate(value)
        # As the standard deviation of so many values that are nearly normal has.
        return Estimate(value, value / math.sqrt(2 * len(self._paths)))

    def exact_split(self, *groups: Groups) -> Pmf | None:
        """Return the distribution of the whole trial's difference; None if that is too much work."""
        if not self._differences_are_exact:
            return None
        try:
            return reduce(split.added, [split.exact_split(self._pmfs, group) for group in groups])
        except TooMuchWork:
            return None

    def split(self, group: Groups) -> Split:
        """Return how the whole trial divides over the strata of a group."""
        pmf, spread = self.exact_split(group), self.spread(group)
        if pmf is not None:
            return Split(pmf, Estimate(pmf.get(0, 0.0)), spread)
        values = split.sampled_split(self._pmfs, group, seed=self.seed)
        sampled = _sampled(values, lambda value: value == 0)
        return Split(sampled.pmf, sampled.mean, spread)

    @cached_property
    def _paths(self) -> list[Path]:
        count = max(FEWEST, SAMPLED_SLOTS // self.planned)
        return list(sample(self._quick, self.planned, paths=count, seed=self.seed))

    @property
    def _samples(self) -> list[list[int]]:
        return [[arm for _, arm in path] for path in self._paths]

    def _shares(
        self, exactly: Callable[[Source, int], Guesses], along: Callable[[Source, Path], Guesses]
    ) -> Shares:
        try:
            guesses = exactly(self._quick, self.planned)
        except TooMuchWork:
            return _sampled_shares([along(self._quick, path) for path in self._paths[:FEWEST]])
        right, certain = math.fsum(guesses.right), math.fsum(guesses.certain)
        return Shares(Estimate(right / self.planned), Estimate(certain / self.planned), guesses)

    def _distribution(
        self, exactly: Callable[[Source, int], Pmf], value: Callable[[list[int]], int]
    ) -> Distribution:
        try:
            pmf = exactly(self._quick, self.planned)
        except TooMuchWork:
            return _sampled([value(arms) for arms in self._samples])
        return Distribution(pmf, Estimate(paths.mean(pmf)))


def _sampled(values: Sequence[int], size: Callable[[int], int] = int) -> Distribution:
    return Distribution(_frequencies(values), estimate([size(value) for value in values]))


def _frequencies(values: Sequence[int]) -> Pmf:
    return {value: count / len(values) for value, count in sorted(Counter(values).items())}


def _sampled_shares(along: Sequence[Guesses]) -> Shares:
    slots = len(along[0].right)
    by_slot = Guesses(
        [math.fsum(each) / len(along) for each in zip(*(path.right for path in along), strict=True)],
        [math.fsum(each) / len(along) for each in zip(*(path.certain for path in along), strict=True)],
    )
    return Shares(
        estimate([math.fsum(path.right) / slots for path in along]),
        estimate([math.fsum(path.certain) / slots for path in along]),
        by_slot,
    )
