"""Permuted blocks: balanced, bounded, and every order as likely as every other."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from randomization.domain.arms import Arm
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
        assert block.count(Arm.A) == block.count(Arm.B)


@pytest.mark.requirement(2)
@given(seed=SEEDS, sizes=BLOCK_SIZES, length=st.integers(0, 60))
def test_imbalance_never_exceeds_half_the_largest_block_after_any_allocation(seed, sizes, length):
    blocks = block_sequence(draws=a_stream(seed), block_sizes=sizes, length=length)

    steps = (1 if arm is Arm.A else -1 for block in blocks for arm in block)
    assert all(abs(difference) <= max(sizes) // 2 for difference in accumulate(steps))


@pytest.mark.requirement(3)
@pytest.mark.parametrize(("size", "orders", "limit"), [(4, 6, 20.5), (6, 20, 43.8)])
def test_every_order_of_a_block_is_equally_likely(size, orders, limit):
    stream = a_stream()
    possible = set(permutations([Arm.A] * (size // 2) + [Arm.B] * (size // 2)))

    seen = Counter(tuple(permuted_block(draws=stream, size=size)) for _ in range(10_000))

    assert set(seen) <= possible
    assert len(possible) == orders
    assert chi_square(seen, categories=possible) < limit


@pytest.mark.requirement(3)
@pytest.mark.parametrize(("size", "limit"), [(4, 20.5), (6, 43.8)])
def test_the_test_of_orders_notices_a_biased_shuffle(size, limit):
    stream = ABiasedStream(size)
    possible = set(permutations([Arm.A] * (size // 2) + [Arm.B] * (size // 2)))

    seen = Counter(tuple(permuted_block(draws=stream, size=size)) for _ in range(10_000))

    assert chi_square(seen, categories=possible) > limit


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


def test_two_strata_of_one_seed_have_unlike_sequences():
    one = block_sequence(draws=a_stream(stratum="one"), block_sizes=(4, 6), length=60)
    other = block_sequence(draws=a_stream(stratum="other"), block_sizes=(4, 6), length=60)

    assert one != other


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
