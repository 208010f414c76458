"""Permuted blocks: balanced, bounded, and every order as likely as every other."""

from __future__ import annotations

import random
from collections import Counter
from functools import cache
from itertools import accumulate, combinations, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from randomization.domain.blocks import block_sequence, permuted_block, stratum_stream
from randomization.domain.drbg import HmacDrbg

SEEDS = st.binary(min_size=32, max_size=32)
BLOCK_SIZES = st.sets(st.sampled_from([4, 6, 8, 10]), min_size=1).map(sorted)


def a_stream(seed: bytes = bytes(32), stratum: str = "age_group=18-59") -> HmacDrbg:
    return stratum_stream(seed=seed, study="NCT04293692", stratum=stratum)


def chi_square(observed: Counter[Any], *, categories: set[Any]) -> float:
    """Pearson's statistic against equal shares."""
    expected = sum(observed.values()) / len(categories)
    return sum((observed[category] - expected) ** 2 / expected for category in categories)


class ABiasedStream:
    """Always swaps with any place, the classic mistake in a shuffle."""

    def __init__(self, size: int) -> None:
        self.stream, self.size = a_stream(), size

    def uniform(self, bound: int) -> int:
        return self.stream.uniform(self.size) % bound


@pytest.mark.requirement(1)
@given(seed=SEEDS, sizes=BLOCK_SIZES, length=st.integers(0, 60))
def test_every_complete_block_holds_the_arms_one_to_one(seed, sizes, length):
    blocks = block_sequence(draws=a_stream(seed), block_sizes=sizes, length=length)

    for block in blocks:
        assert len(block) in sizes
        assert block.count(0) == block.count(1)


@pytest.mark.requirement(2)
@given(seed=SEEDS, sizes=BLOCK_SIZES, length=st.integers(0, 60))
def test_imbalance_never_exceeds_half_the_largest_block_after_any_allocation(seed, sizes, length):
    blocks = block_sequence(draws=a_stream(seed), block_sizes=sizes, length=length)

    steps = (1 - 2 * arm for block in blocks for arm in block)
    assert all(abs(difference) <= max(sizes) // 2 for difference in accumulate(steps))


# 0.1 % points of chi-square with 5 and with 19 degrees of freedom.
ORDERS = [(4, 6, 20.5), (6, 20, 43.8)]
BLOCKS = 100_000


def the_orders(size: int) -> set[tuple[int, ...]]:
    return set(permutations([0] * (size // 2) + [1] * (size // 2)))


@cache
def the_orders_seen(size: int) -> Counter[tuple[int, ...]]:
    stream = a_stream()
    return Counter(tuple(permuted_block(draws=stream, size=size)) for _ in range(BLOCKS))


@pytest.mark.requirement(3)
@pytest.mark.parametrize(("size", "orders", "limit"), ORDERS)
def test_every_order_of_a_block_is_equally_likely(size, orders, limit):
    seen, possible = the_orders_seen(size), the_orders(size)

    assert set(seen) == possible
    assert len(possible) == orders
    assert chi_square(seen, categories=possible) < limit


@pytest.mark.requirement(3)
@pytest.mark.parametrize(("size", "orders", "limit"), ORDERS)
def test_the_test_of_orders_notices_a_biased_shuffle(size, orders, limit):
    stream = ABiasedStream(size)

    seen = Counter(tuple(permuted_block(draws=stream, size=size)) for _ in range(BLOCKS // 10))

    assert chi_square(seen, categories=the_orders(size)) > limit


@pytest.mark.requirement(3)
@pytest.mark.parametrize("size", [4, 6])
def test_every_place_of_a_block_has_either_arm_equally_often(size):
    seen = the_orders_seen(size)

    for place in range(size):
        ones = sum(times for order, times in seen.items() if order[place])
        # Four standard deviations of a fair coin.
        assert abs(ones - BLOCKS / 2) < 2 * BLOCKS**0.5


@pytest.mark.requirement(4)
def test_block_sizes_are_drawn_for_each_block_and_equally_often():
    blocks = block_sequence(draws=a_stream(), block_sizes=(4, 6), length=10_000)

    sizes = Counter(len(block) for block in blocks)
    # 0.1 % point of chi-square with one degree of freedom.
    assert chi_square(sizes, categories={4, 6}) < 10.83
    pairs = Counter(zip([len(b) for b in blocks[:-1:2]], [len(b) for b in blocks[1::2]], strict=False))
    assert chi_square(pairs, categories={(4, 4), (4, 6), (6, 4), (6, 6)}) < 16.27


@given(seed=SEEDS, length=st.integers(1, 60))
def test_the_last_block_is_whole_and_needed(seed, length):
    blocks = block_sequence(draws=a_stream(seed), block_sizes=(4, 6), length=length)

    slots = sum(len(block) for block in blocks)
    assert slots - len(blocks[-1]) < length <= slots


@given(seed=SEEDS, shorter=st.integers(0, 40), longer=st.integers(40, 80))
def test_a_longer_list_begins_with_the_shorter_one(seed, shorter, longer):
    short = block_sequence(draws=a_stream(seed), block_sizes=(4, 6), length=shorter)
    long = block_sequence(draws=a_stream(seed), block_sizes=(4, 6), length=longer)

    assert long[: len(short)] == short


STRATA = [f"site={number}" for number in range(12)]
# 0.1 % point of chi-square with one degree of freedom.
ONE_DEGREE = 10.83


def the_sequences(seed: bytes = bytes(32)) -> dict[str, list[int]]:
    return {
        stratum: [
            arm
            for block in block_sequence(draws=a_stream(seed, stratum), block_sizes=(4, 6), length=1500)
            for arm in block
        ][:1500]
        for stratum in STRATA
    }


def dependence(one: list[int], other: list[int]) -> float:
    """Pearson's statistic of the table of two arms' sequences side by side; one degree of freedom."""
    table = Counter(zip(one, other, strict=True))
    n, ones, others = len(one), Counter(one), Counter(other)
    expected = {(a, b): ones[a] * others[b] / n for a in (0, 1) for b in (0, 1)}
    return sum((table[pair] - value) ** 2 / value for pair, value in expected.items())


@pytest.mark.requirement(3)
def test_the_strata_of_one_seed_are_independent():
    sequences = the_sequences()

    found = [dependence(sequences[a], sequences[b]) for a, b in combinations(STRATA, 2)]

    # 66 pairs: of independent ones each is 1 on average, and one beyond the 0.1 % point is no wonder.
    assert sum(statistic > ONE_DEGREE for statistic in found) <= 1
    assert 0.5 < sum(found) / len(found) < 1.6


@pytest.mark.requirement(3)
def test_the_test_of_independence_notices_strata_that_follow_one_another():
    sequence = the_sequences()[STRATA[0]]
    following = [arm if random.Random(n).random() < 0.9 else 1 - arm for n, arm in enumerate(sequence)]

    assert dependence(sequence, following) > ONE_DEGREE
    assert dependence(sequence, [1 - arm for arm in sequence]) > ONE_DEGREE


@pytest.mark.requirement(3)
def test_one_stratum_of_many_seeds_has_every_first_block():
    """A stream names its stratum, and its seed alone decides: over seeds, each order comes as often."""
    first = Counter(
        tuple(permuted_block(draws=a_stream(n.to_bytes(32, "big")), size=4)) for n in range(6_000)
    )

    assert chi_square(first, categories=the_orders(4)) < 20.5


@pytest.mark.parametrize("sizes", [(2,), (2, 4), (5,), (4, 7), (0,), (-4,), ()])
def test_a_block_of_two_or_of_an_odd_size_is_refused(sizes):
    with pytest.raises(ValueError, match="block sizes"):
        block_sequence(draws=a_stream(), block_sizes=sizes, length=24)


def test_a_negative_length_is_refused():
    with pytest.raises(ValueError, match="negative"):
        block_sequence(draws=a_stream(), block_sizes=(4, 6), length=-1)


@pytest.mark.requirement(7)
@pytest.mark.parametrize("seed", [b"", bytes(16), bytes(33)])
def test_a_seed_of_another_length_is_refused(seed):
    with pytest.raises(ValueError, match="32 bytes"):
        stratum_stream(seed=seed, study="NCT04293692", stratum="age_group=18-59")
