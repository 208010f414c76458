"""
Every list that permuted blocks can give, one by one: a second way to each number, without recursion.

Only for a handful of slots. Chances are fractions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import permutations, product

ONE_TO_ONE = (1, 1)
Arms = tuple[int, ...]


def every_list(
    sizes: Sequence[int], slots: int, ratio: Sequence[int] = ONE_TO_ONE
) -> Iterator[tuple[Fraction, Arms, tuple[int, ...]]]:
    """Yield chance, arms and block sizes of every list, the last block cut at ``slots``."""
    for layout, chance in _layouts(sizes, slots):
        orders = [_orders(size, tuple(ratio)) for size in layout]
        each = chance
        for of_block in orders:
            each /= len(of_block)
        for blocks in product(*orders):
            yield each, tuple(arm for block in blocks for arm in block)[:slots], layout


def chances(sizes: Sequence[int], slots: int, ratio: Sequence[int] = ONE_TO_ONE) -> Counter[Arms]:
    """Return the chance of each sequence of arms, and of each of its beginnings."""
    found: Counter[Arms] = Counter()
    for chance, arms, _ in every_list(sizes, slots, ratio):
        for length in range(slots + 1):
            found[arms[:length]] += chance
    return found


def given(sizes: Sequence[int], slots: int, known: dict[int, int]) -> list[Fraction]:
    """Return for every slot the chance of arm 0 among the lists that have the ``known`` arms."""
    whole, of_arm_0 = Fraction(0), [Fraction(0)] * slots
    for chance, arms, _ in every_list(sizes, slots):
        if all(arms[slot] == arm for slot, arm in known.items()):
            whole += chance
            of_arm_0 = [sum_ + chance * (arm == 0) for sum_, arm in zip(of_arm_0, arms, strict=True)]
    return [each / whole for each in of_arm_0]


def _layouts(sizes: Sequence[int], slots: int) -> Iterator[tuple[tuple[int, ...], Fraction]]:
    if slots <= 0:
        yield (), Fraction(1)
        return
    for size in sizes:
        for rest, chance in _layouts(sizes, slots - size):
            yield (size, *rest), chance / len(sizes)


@cache
def _orders(size: int, ratio: tuple[int, ...]) -> list[Arms]:
    block = [arm for arm, share in enumerate(ratio) for _ in range(size // sum(ratio) * share)]
    return sorted(set(permutations(block)))
