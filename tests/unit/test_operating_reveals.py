"""What a revealed arm tells of the others: the recursion against every list one by one."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from randomization.domain import designs
from randomization.domain.operating import reveals
from randomization.domain.operating.paths import differences
from randomization.domain.operating.reveals import Impossible, Reveal, effects, posteriors
from randomization.domain.operating.sources import BigStick, Blocks, Source, source_of
from tests.unit import enumerated


def first_arm(source: Source, slots: int, known: dict[int, int]) -> list[float]:
    return [odds[0] for odds in posteriors(source, slots, known)]


@pytest.mark.requirement(65)
@pytest.mark.parametrize("slot", range(4))
def test_in_a_block_of_four_each_mate_is_the_other_arm_with_two_thirds(slot):
    odds = first_arm(Blocks((4,)), 12, {slot: 0})

    mates = {each: 1 / 3 for each in range(4) if each != slot}
    assert odds == pytest.approx([1.0 if each == slot else mates.get(each, 0.5) for each in range(12)])


@pytest.mark.parametrize(
    ("sizes", "slots", "known"),
    [
        ((4, 6), 10, {2: 0}),
        ((4, 6), 10, {3: 1, 4: 1}),
        ((4, 6), 10, {0: 0, 1: 0, 9: 1}),
        ((4, 6), 10, {4: 0, 5: 0, 6: 0}),
        ((2, 4, 6), 8, {3: 1}),
        ((2, 4), 9, {2: 0, 5: 1}),
        ((4, 8), 9, {7: 0, 8: 0}),
        ((6,), 9, {1: 0, 2: 0, 3: 0}),
    ],
)
def test_posteriors_agree_with_every_list_one_by_one(sizes, slots, known):
    odds = first_arm(Blocks(sizes), slots, known)

    assert odds == pytest.approx([float(each) for each in enumerated.given(sizes, slots, known)], abs=1e-12)


def expected(sizes: tuple[int, ...], slots: int, revealed: list[int], seen: int) -> tuple[Fraction, Fraction]:
    """Return right guesses and certain slots outside ``revealed``, of which the first ``seen`` are known."""
    chances: Counter[tuple[int, ...]] = Counter()
    arm_0: dict[tuple[int, ...], Counter[int]] = {}
    for chance, arms, _ in enumerated.every_list(sizes, slots):
        known = tuple(arms[slot] for slot in revealed[:seen])
        chances[known] += chance
        for slot in range(slots):
            arm_0.setdefault(known, Counter())[slot] += chance * (arms[slot] == 0)
    right = certain = Fraction(0)
    for known, whole in chances.items():
        for slot in set(range(slots)) - set(revealed):
            right += max(arm_0[known][slot], whole - arm_0[known][slot])
            certain += whole * (arm_0[known][slot] in (0, whole))
    return right, certain


@pytest.mark.parametrize(
    ("sizes", "slots", "order"),
    [((4, 6), 10, [4]), ((4, 6), 10, [4, 5, 3]), ((2, 4), 9, [8, 0, 1]), ((4,), 8, [1, 2, 6])],
)
def test_what_a_reveal_adds_is_averaged_over_arms_that_are_not_told(sizes, slots, order):
    found = effects(Blocks(sizes), slots, [Reveal(slot) for slot in order])

    for number, effect in enumerate(found, 1):
        before, certain_before = expected(sizes, slots, order[:number], number - 1)
        after, certain_after = expected(sizes, slots, order[:number], number)
        assert effect.before == pytest.approx(float(before), abs=1e-12)
        assert effect.after == pytest.approx(float(after), abs=1e-12)
        assert effect.rise.value == pytest.approx(float(after - before), abs=1e-12)
        assert effect.rise.standard_error is None
        assert effect.certain == pytest.approx(float(certain_after - certain_before), abs=1e-12)
        assert effect.certain_after == pytest.approx(float(certain_after), abs=1e-12)


@pytest.mark.requirement(65)
def test_two_reveals_of_one_arm_make_the_rest_of_a_block_of_four_certain():
    first, second = effects(Blocks((4,)), 12, [Reveal(1, 0), Reveal(2, 0)])

    assert (first.certain, first.largest) == (0, pytest.approx(2 / 3))
    assert (second.certain, second.largest, second.certain_after) == (2, 1, 2)
    assert [(change.slot, change.after) for change in second.changes] == [(0, 1.0), (3, 1.0)]


def test_an_arm_that_is_not_told_is_averaged_over_and_the_worst_is_named():
    _, second = effects(Blocks((4,)), 12, [Reveal(1), Reveal(2)])

    # The same arm again with 1/3: then both others are certain; otherwise they are even.
    assert second.certain == pytest.approx(2 / 3)
    assert second.largest == pytest.approx(1 / 3 * 1 + 2 / 3 * 1 / 2)
    assert second.largest_possible == 1


def test_mixed_sizes_keep_what_one_reveal_tells_below_that_of_fixed_blocks():
    (fixed,) = effects(Blocks((4,)), 60, [Reveal(20)])
    (mixed,) = effects(Blocks((4, 6)), 60, [Reveal(20)])

    assert mixed.largest < fixed.largest
    # What it tells in all is the same: the others of a block hold one more of the other arm.
    assert mixed.rise.value == pytest.approx(fixed.rise.value) == 0.5


def test_the_rise_is_divided_between_slots_in_use_and_slots_to_come():
    (effect,) = effects(Blocks((4,)), 12, [Reveal(5, 0, used=7)])

    # The block is of slots 4 to 7; 4 and 6 are in use, 7 is to come.
    assert effect.rise_in_use == pytest.approx(2 / 6)
    assert effect.rise_to_come == pytest.approx(1 / 6)
    (unknown,) = effects(Blocks((4,)), 12, [Reveal(5, 0)])
    assert (unknown.rise_in_use, unknown.rise_to_come) == (None, None)


def test_a_slot_that_is_revealed_again_tells_nothing_more():
    _, again = effects(Blocks((4, 6)), 20, [Reveal(5), Reveal(5)])

    assert again.rise.value == pytest.approx(0, abs=1e-12)
    assert again.changes == ()


@pytest.mark.parametrize(
    "arms",
    [[Reveal(1, 0), Reveal(1, 1)], [Reveal(0, 0), Reveal(1, 0), Reveal(2, 0)]],
    ids=["one slot, two arms", "three of four"],
)
def test_arms_that_cannot_stand_together_are_refused(arms):
    with pytest.raises(Impossible):
        effects(Blocks((4,)), 12, arms)


def test_a_slot_beyond_the_stratum_is_refused():
    with pytest.raises(ValueError, match="slot 12"):
        effects(Blocks((4,)), 12, [Reveal(12)])


def test_in_a_big_stick_a_run_to_the_bound_makes_the_next_certain():
    found = effects(BigStick(2), 12, [Reveal(0, 1), Reveal(1, 1)])

    assert found[1].certain == 1
    assert [change.slot for change in found[1].changes if change.after == 1] == [2]


def test_where_arms_are_too_many_to_combine_samples_agree(monkeypatch):
    order = [Reveal(slot) for slot in (0, 3, 5, 6, 9)]
    exact = effects(Blocks((4, 6)), 14, order)
    monkeypatch.setattr(reveals, "WORLDS", 8)

    sampled = effects(Blocks((4, 6)), 14, order)

    assert [effect.rise.standard_error is None for effect in sampled] == [True, True, True, False, False]
    for one, other in zip(exact, sampled, strict=True):
        assert other.rise.value == pytest.approx(
            one.rise.value, abs=4 * (other.rise.standard_error or 0) + 1e-12
        )


@settings(max_examples=40, deadline=None)
@given(
    slots=st.lists(st.integers(0, 13), min_size=1, max_size=4, unique=True),
    sizes=st.sampled_from([(4,), (4, 6), (2, 4, 6), (6, 8)]),
)
def test_on_average_a_reveal_never_makes_the_others_harder_to_guess(slots, sizes):
    for effect in effects(Blocks(sizes), 14, [Reveal(slot) for slot in slots]):
        assert effect.rise.value >= -1e-12
        assert effect.certain >= -1e-12
        assert 0.5 - 1e-12 <= effect.largest <= effect.largest_possible + 1e-12 <= 1 + 2e-12


class FairDraws:
    """Draws for a test, from the standard library's generator."""

    def __init__(self) -> None:
        self.random = random.Random(20200225)

    def uniform(self, bound: int) -> int:
        return self.random.randrange(bound)


@pytest.mark.parametrize(
    ("design", "ratio"),
    [
        (designs.PermutedBlocks((4, 6)), (1, 1)),
        (designs.PermutedBlocks((6, 9)), (2, 1)),
        (designs.BigStick(3), (1, 1)),
    ],
    ids=str,
)
def test_the_chain_is_that_of_the_generator(design, ratio):
    lists, slots, draws = 4000, 11, FairDraws()
    source = source_of(design, ratio)
    pmf = differences(source, slots)[slots]
    made: Counter[int] = Counter()

    for _ in range(lists):
        arms = design.sequence(draws=draws, ratio=ratio, length=slots)[:slots]
        made[arms.count(0) * ratio[1] - arms.count(1) * ratio[0]] += 1

    assert set(made) <= set(pmf)
    square = sum((made[each] - lists * chance) ** 2 / (lists * chance) for each, chance in pmf.items())
    # 0.1 % of chi-square on 5 degrees of freedom; no design here has more values.
    assert len(pmf) <= 6
    assert square < 20.5


def test_a_list_made_elsewhere_follows_no_rule_that_is_known():
    with pytest.raises(ValueError, match="made elsewhere"):
        source_of(designs.Imported(), (1, 1))


def test_every_way_to_know_two_slots_of_a_small_list_agrees():
    for (one, other), (arm, also) in product([(0, 1), (2, 7), (3, 5)], product((0, 1), repeat=2)):
        known = {one: arm, other: also}
        odds = first_arm(Blocks((4, 6)), 8, known)
        assert odds == pytest.approx([float(each) for each in enumerated.given((4, 6), 8, known)], abs=1e-12)
