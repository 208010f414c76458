"""
How the whole trial divides between the arms, over strata in which chance decides who falls where.

The planned number falls into the strata as a multinomial; each stratum uses its list as far as that.
Exactly: participants per stratum are independent Poisson counts given their total, so the generating
function of (participants, difference) is a product over the strata. It is taken at the roots of unity
for the difference, as polynomials for the participants, and turned back (discrete Fourier transform).
"""

from __future__ import annotations

import cmath
import math
import random  # noqa: TID251 - of samples that can be repeated; nothing secret follows from it
from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from operator import mul
from typing import Final

from randomization.domain.operating.paths import Pmf, spread
from randomization.domain.operating.walks import SEED, TooMuchWork

# Multiplications of one exact split, a second or two of work, and samples where it would take more.
BUDGET: Final = 8_000_000
SAMPLES: Final = 2_000
# Terms, and chances, that are less than the rounding of their sum.
_NEGLIGIBLE: Final = 1e-20
_ROUNDING: Final = 1e-14


@dataclass(frozen=True)
class Groups:
    """Participants who are divided by one rule: ``prevalences`` of its strata, and how many there are."""

    prevalences: tuple[float, ...]
    participants: int


def exact_split(differences: Sequence[Pmf], groups: Groups) -> Pmf:
    """
    Return the distribution of the difference over all strata, of A - B for two equal arms.

    :param differences: of one stratum after 0, 1, … participants (``paths.differences``).
    :raises TooMuchWork: if it would take more than ``BUDGET`` multiplications.
    """
    total = groups.participants
    if len(groups.prevalences) == 1:
        return differences[total]
    reach = len(groups.prevalences) * max(abs(value) for pmf in differences[: total + 1] for value in pmf)
    reach = min(reach, total * max(abs(value) for value in differences[min(1, total)]))
    if (reach + 1) * _work_at_a_root(differences, groups) > BUDGET:
        raise TooMuchWork
    roots = 2 * reach + 1
    # The transform at -k is the conjugate of that at k, as all chances are real.
    half = [_transform(differences, groups, cmath.exp(2j * cmath.pi * k / roots)) for k in range(reach + 1)]
    spectrum = half + [value.conjugate() for value in half[:0:-1]]
    pmf = {
        difference: math.fsum(
            (value * cmath.exp(-2j * cmath.pi * k * difference / roots)).real
            for k, value in enumerate(spectrum)
        )
        / roots
        for difference in range(-reach, reach + 1)
    }
    return {difference: likely for difference, likely in pmf.items() if likely > _ROUNDING}


def _work_at_a_root(differences: Sequence[Pmf], groups: Groups) -> float:
    """Return about how many multiplications the transform takes at one root of unity."""
    total = groups.participants
    widths = [min(total, 18 * math.sqrt(total * each) + 20) for each in groups.prevalences]
    sums = [min(total, 18 * math.sqrt(total * each) + 20) for each in accumulate(groups.prevalences)]
    products: float = sum(map(mul, widths[1:-1], sums))
    return float(sum(map(len, differences[: total + 1]))) + products


def _transform(differences: Sequence[Pmf], groups: Groups, root: complex) -> complex:
    """Return the mean of ``root`` to the power of the difference."""
    total = groups.participants
    of_one = [_power_mean(pmf, root) for pmf in differences[: total + 1]]
    product, *others = [
        _trimmed(0, list(map(mul, _poisson(total * each, total), of_one))) for each in groups.prevalences
    ]
    for other in others:
        product = _product(product, other, highest=total)
    first, terms = product
    at_total = terms[total - first] if 0 <= total - first < len(terms) else 0j
    return at_total / _poisson(total, total)[total]


# The number of participants of the first term, and the terms from there on.
Polynomial = tuple[int, list[complex]]


def _product(one: Polynomial, other: Polynomial, *, highest: int) -> Polynomial:
    """Return the product up to the term of ``highest`` participants."""
    first, terms, backward = one[0] + other[0], one[1], other[1][::-1]
    last = len(backward) - 1
    length = min(len(terms) + last, highest - first + 1)
    return _trimmed(
        first,
        [sum(map(mul, terms[max(0, n - last) :], backward[max(0, last - n) :]), 0j) for n in range(length)],
    )


def _trimmed(first: int, terms: list[complex]) -> Polynomial:
    """Leave out the terms at both ends that make no difference."""
    large = [at for at, term in enumerate(terms) if abs(term) > _NEGLIGIBLE]
    if not large:
        return 0, [0j]
    return first + large[0], terms[large[0] : large[-1] + 1]


def _power_mean(pmf: Pmf, root: complex) -> complex:
    return sum((likely * root**value for value, likely in pmf.items()), 0j)


@cache
def _poisson(expected: float, largest: int) -> list[float]:
    """Return the Poisson chances of 0, 1, … ``largest``."""
    if not expected:
        return [1.0, *[0.0] * largest]
    return [math.exp(n * math.log(expected) - expected - math.lgamma(n + 1)) for n in range(largest + 1)]


def exact_spread(differences: Sequence[Pmf], groups: Groups) -> float:
    """
    Return the standard deviation of the difference over all strata.

    Given how many fall into each stratum, the differences are independent and their means are 0, so
    the variances add up; each is averaged over the binomial number of participants.
    """
    total = groups.participants
    variances = [spread(pmf) ** 2 for pmf in differences[: total + 1]]
    return math.sqrt(
        math.fsum(
            variance * _binomial(total, each, count)
            for each in groups.prevalences
            for count, variance in enumerate(variances)
        )
    )


def _binomial(total: int, chance: float, count: int) -> float:
    if chance in (0.0, 1.0):
        return float(count == total * chance)
    ways = math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
    return math.exp(ways + count * math.log(chance) + (total - count) * math.log1p(-chance))


def sampled_split(differences: Sequence[Pmf], groups: Groups, *, seed: int = SEED) -> list[int]:
    """Return ``SAMPLES`` differences of the whole trial, each from its own division among the strata."""
    draws = random.Random(f"differences {seed}")  # noqa: S311 - see above
    ladders = {}
    samples = []
    for counts in _divisions(groups, seed):
        difference = 0
        for count in counts:
            if count not in ladders:
                ladders[count] = (list(differences[count]), list(accumulate(differences[count].values())))
            values, ladder = ladders[count]
            difference += values[min(bisect(ladder, draws.random()), len(values) - 1)]
        samples.append(difference)
    return samples


@cache
def _divisions(groups: Groups, seed: int) -> list[list[int]]:
    """Return how many participants fall into each stratum, ``SAMPLES`` times; the same for every design."""
    draws = random.Random(f"divisions {seed}")  # noqa: S311 - see above
    strata = range(len(groups.prevalences))
    return [
        list(Counter(draws.choices(strata, groups.prevalences, k=groups.participants)).values())
        for _ in range(SAMPLES)
    ]


def added(one: Pmf, other: Pmf) -> Pmf:
    """Return the distribution of the sum of two independent differences."""
    pmf: Counter[int] = Counter()
    for value, likely in one.items():
        for another, also in other.items():
            pmf[value + another] += likely * also  # type: ignore[assignment]  # a counter of chances
    return dict(sorted(pmf.items()))
