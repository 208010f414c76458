"""How well the next arm can be guessed: printed tables, and every list of small strata one by one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from randomization.domain.operating import walks
from randomization.domain.operating.figures import Stratum
from randomization.domain.operating.guessing import (
    bayes,
    certain_per_block,
    convergence,
    long_run_right,
    right_per_block,
)
from randomization.domain.operating.paths import differences, largest_difference, longest_run
from randomization.domain.operating.sources import BiasedCoin, BigStick, Blocks, Simple, Source, State
from randomization.domain.operating.stock import most_in_a_row
from tests.unit.enumerated import chances, every_list

TWO_THIRDS = Fraction(2, 3)


def is_printed(value: float, text: str) -> bool:
    """Return whether a printed number says this value, to its last digit."""
    digits = len(text.partition(".")[2])
    return abs(value - float(text)) <= 0.5 * 10**-digits + 1e-9


# Block size: orders, correct guesses, as a fraction, rate, certain slots, their share, excess at n = 48.
FIXED_BLOCKS = {
    2: (2, "1.5", Fraction(3, 2), ".7500", Fraction(1), ".5000", "12.00"),
    4: (6, "2.8333", Fraction(17, 6), ".7083", Fraction(4, 3), ".3333", "10.00"),
    6: (20, "4.1", Fraction(41, 10), ".6833", Fraction(3, 2), ".2500", "8.80"),
    8: (70, "5.3286", Fraction(373, 70), ".6661", Fraction(8, 5), ".2000", "7.97"),
    10: (252, "6.5317", Fraction(823, 126), ".6532", Fraction(5, 3), ".1667", "7.35"),
    12: (924, "7.7165", Fraction(3565, 462), ".6430", Fraction(12, 7), ".1429", "6.87"),
}


@pytest.mark.parametrize("size", FIXED_BLOCKS)
def test_a_whole_block_is_guessed_and_certain_as_printed(size):
    _, right, exact, rate, certain, share, excess = FIXED_BLOCKS[size]

    assert right_per_block(size) == exact
    assert is_printed(float(exact), right)
    assert certain_per_block(size) == certain
    assert is_printed(float(exact / size), rate)
    assert is_printed(float(certain / size), share)
    assert is_printed(float(48 * (exact / size - Fraction(1, 2))), excess)


@pytest.mark.parametrize("size", FIXED_BLOCKS)
@pytest.mark.requirement(2)
def test_the_recursion_gives_the_same_for_a_whole_block_and_its_bounds(size):
    blocks = Blocks((size,))

    of_block = bayes(blocks, size)

    assert sum(of_block.right) == pytest.approx(float(right_per_block(size)), abs=1e-12)
    assert sum(of_block.certain) == pytest.approx(float(certain_per_block(size)), abs=1e-12)
    assert max(largest_difference(blocks, 2 * size)) == size // 2
    assert max(longest_run(blocks, 2 * size)) == size


@pytest.mark.parametrize("size", [2, 4, 6, 8])
def test_a_block_has_as_many_orders_as_printed(size):
    assert len({arms for _, arms, _ in every_list((size,), size)}) == FIXED_BLOCKS[size][0]


# Sizes: for 12, 24 and 48 participants the correct guesses, rates, certain slots and their shares.
RANDOM_SIZES = {
    (2, 4): ("8.5937 17.2593 34.5926", ".7161 .7191 .7207", "1.19 2.52 5.19", ".099 .105 .108"),
    (4, 6): ("8.1542 16.4734 33.1160", ".6795 .6864 .6899", "0.75 1.39 2.70", ".063 .058 .056"),
    (2, 4, 6): ("8.3138 16.7427 33.6093", ".6928 .6976 .7002", "0.41 0.91 1.91", ".034 .038 .040"),
    (4, 6, 8): ("7.9808 16.1527 32.5017", ".6651 .6730 .6771", "0.29 0.57 1.12", ".024 .024 .023"),
    (4, 8): ("8.0357 16.2134 32.5355", ".6696 .6756 .6778", "0.69 1.63 3.45", ".057 .068 .072"),
}


@pytest.mark.parametrize("sizes", RANDOM_SIZES, ids=str)
def test_blocks_of_random_sizes_are_guessed_and_certain_as_printed(sizes):
    printed = zip((12, 24, 48), *(column.split() for column in RANDOM_SIZES[sizes]), strict=True)

    for participants, right, rate, certain, share in printed:
        best = bayes(Blocks(sizes), participants)
        assert is_printed(sum(best.right), right)
        assert is_printed(sum(best.right) / participants, rate)
        assert is_printed(sum(best.certain), certain)
        assert is_printed(sum(best.certain) / participants, share)


LONG_RUN = {
    (2, 4): Fraction(13, 18),
    (4, 6): Fraction(52, 75),
    (2, 4, 6): Fraction(253, 360),
    (4, 6, 8): Fraction(515, 756),
    (6, 8): Fraction(33, 49),
}


@pytest.mark.parametrize("sizes", LONG_RUN, ids=str)
def test_an_endless_stratum_is_guessed_as_printed(sizes):
    participants = 600
    along = convergence(Blocks(sizes), participants).right

    assert long_run_right(sizes) == LONG_RUN[sizes]
    # The second half has forgotten the beginning.
    assert sum(along[300:]) / 300 == pytest.approx(float(LONG_RUN[sizes]), abs=2e-3)


@pytest.mark.parametrize("participants", [12, 48])
def test_another_program_finds_the_same_for_blocks_of_four(participants):
    """R, randomizeR 3.0: corGuess("CS") of permuted blocks of 4 and n = 12 is 8.5, or 70.8 %."""
    right = sum(convergence(Blocks((4,)), participants).right)

    assert right == pytest.approx(8.5 * participants / 12, abs=1e-12)


# Design: correct guesses, rate, certain slots and their share, at n = 48. Nothing where none is printed.
OTHERS: dict[Source, tuple[str, str, str, str]] = {
    Simple(): ("", ".500", "0", ""),
    Blocks((48,)): ("27.864", ".5805", "1.92", ""),
    BigStick(2): ("", ".6198", "", ""),
    BigStick(3): ("27.778", ".5787", "", ".157"),
    BigStick(4): ("", ".5547", "", ""),
    BiasedCoin(TWO_THIRDS): ("29.834", ".6215", "0", ""),
}


@pytest.mark.parametrize("source", OTHERS, ids=str)
def test_other_designs_are_guessed_as_printed(source):
    best = bayes(source, 48)
    found = [sum(best.right), sum(best.right) / 48, sum(best.certain), sum(best.certain) / 48]

    for value, text in zip(found, OTHERS[source], strict=True):
        assert not text or is_printed(value, text)


def test_efrons_coin_goes_to_five_guesses_in_eight():
    assert bayes(BiasedCoin(TWO_THIRDS), 400).right[-1] + bayes(BiasedCoin(TWO_THIRDS), 399).right[
        -1
    ] == pytest.approx(2 * 5 / 8, abs=1e-4)


SMALL = [
    ((4, 6), 10, (1, 1)),
    ((2, 4), 9, (1, 1)),
    ((2, 4, 6), 8, (1, 1)),
    ((4, 8), 9, (1, 1)),
    ((3, 6), 8, (2, 1)),
    ((3, 6), 8, (1, 1, 1)),
    ((5,), 6, (3, 2)),
]


@pytest.mark.parametrize(("sizes", "slots", "ratio"), SMALL)
def test_the_best_guesser_of_every_list_one_by_one_does_as_well(sizes, slots, ratio):
    known = chances(sizes, slots, ratio)
    arms = range(len(ratio))

    best = bayes(Blocks(sizes, ratio), slots)

    for slot in range(slots):
        pasts = [past for past in known if len(past) == slot]
        odds = {past: [known[*past, arm] for arm in arms] for past in pasts}
        assert best.right[slot] == pytest.approx(float(sum(map(max, odds.values()))), abs=1e-12)
        certain = sum(known[past] for past in pasts if sum(map(bool, odds[past])) == 1)
        assert best.certain[slot] == pytest.approx(float(certain), abs=1e-12)


@pytest.mark.parametrize(("sizes", "slots", "ratio"), SMALL)
def test_convergence_and_known_borders_agree_with_every_list_one_by_one(sizes, slots, ratio):
    right, certain = [Fraction(0)] * slots, [Fraction(0)] * slots
    for chance, arms, layout in every_list(sizes, slots, ratio):
        borders = [sum(layout[:number]) for number in range(len(layout))]
        for slot, arm in enumerate(arms):
            counts = [Fraction(arms[:slot].count(each), share) for each, share in enumerate(ratio)]
            behind = [each for each, count in enumerate(counts) if count == min(counts)]
            right[slot] += chance * Fraction(arm in behind, len(behind))
            begin = max(border for border in borders if border <= slot)
            size = layout[borders.index(begin)]
            left = [
                size // sum(ratio) * share - arms[begin:slot].count(each) for each, share in enumerate(ratio)
            ]
            certain[slot] += chance * (sum(map(bool, left)) == 1)

    found = convergence(Blocks(sizes, ratio), slots)

    assert found.right == pytest.approx([float(each) for each in right], abs=1e-12)
    assert found.certain == pytest.approx([float(each) for each in certain], abs=1e-12)


def right_by_every_past(source: Source, slots: int) -> float:
    """Return how many slots the best guesser gets right, each past being thought over by itself."""
    pasts, right = [{source.start: 1.0}], 0.0
    for _ in range(slots):
        following = []
        for past in pasts:
            after: list[dict[State, float]] = [{} for _ in source.ratio]
            for state, weight in past.items():
                for chance, arm, to in source.moves(state):
                    after[arm][to] = after[arm].get(to, 0.0) + weight * chance
            right += max(sum(each.values()) for each in after)
            following += [each for each in after if each]
        pasts = following
    return right


def test_pasts_are_put_together_only_where_that_changes_no_guess():
    # Here the states that one past leaves possible do not agree which arm is likelier.
    blocks = Blocks((5, 10, 15), (4, 1))

    assert sum(bayes(blocks, 18).right) == pytest.approx(right_by_every_past(blocks, 18), abs=1e-12)


@pytest.mark.parametrize("sizes", [(4,), (4, 6), (4, 6, 8), (4, 8)], ids=str)
def test_in_one_to_one_the_arm_behind_is_the_best_guess_and_the_borders_do_not_help(sizes):
    assert bayes(Blocks(sizes), 48).right == pytest.approx(convergence(Blocks(sizes), 48).right, abs=1e-12)


def test_in_two_to_one_knowing_the_design_helps():
    blocks = Blocks((3, 6), (2, 1))

    assert sum(bayes(blocks, 48).right) > sum(convergence(blocks, 48).right) + 2


@pytest.mark.requirement(2)
@pytest.mark.parametrize("sizes", [(4,), (6,), (4, 6), (4, 6, 8)], ids=str)
def test_no_difference_along_a_stratum_exceeds_half_the_largest_block(sizes):
    bound = max(sizes) // 2

    assert max(largest_difference(Blocks(sizes), 48)) == bound
    assert all(max(map(abs, pmf)) <= bound for pmf in differences(Blocks(sizes), 48))


@pytest.mark.parametrize("sizes", [(4, 6), (2, 4), (4, 8)], ids=str)
def test_paths_and_runs_agree_with_every_list_one_by_one(sizes):
    slots = 9
    largest: dict[int, Fraction] = {}
    longest: dict[int, Fraction] = {}
    after = [Fraction(0)] * (slots + 1)
    for chance, arms, _ in every_list(sizes, slots):
        course = [0]
        runs = [0]
        for slot, arm in enumerate(arms):
            course.append(course[-1] + 1 - 2 * arm)
            runs.append(runs[-1] + 1 if slot and arm == arms[slot - 1] else 1)
        top = max(map(abs, course))
        largest[top] = largest.get(top, Fraction(0)) + chance
        longest[max(runs)] = longest.get(max(runs), Fraction(0)) + chance
        after = [sum_ + chance * abs(each) for sum_, each in zip(after, course, strict=True)]

    stratum = Stratum(Blocks(sizes), slots)

    assert stratum.largest.pmf == pytest.approx({k: float(v) for k, v in largest.items()}, abs=1e-12)
    assert stratum.longest_run.pmf == pytest.approx({k: float(v) for k, v in longest.items()}, abs=1e-12)
    assert [each.mean.value for each in stratum.differences] == pytest.approx(list(map(float, after)))


@pytest.mark.parametrize(("sizes", "longest"), [((4,), 4), ((6,), 6), ((4, 6), 6), ((4, 6, 8), 8)])
def test_the_longest_run_is_two_halves_of_the_largest_block(sizes, longest):
    assert Stratum(Blocks(sizes), 48).longest_possible_run == longest
    assert most_in_a_row(Blocks(sizes), longest + 1)[-1] == longest


@pytest.mark.parametrize("source", [Blocks((4, 6)), Blocks((3, 6), (2, 1)), BigStick(3)], ids=str)
def test_where_recursion_is_too_much_work_samples_agree_with_it(source, monkeypatch):
    exact = Stratum(source, 24)
    figures = [
        exact.convergence.right, exact.convergence.certain, exact.bayes.right, exact.bayes.certain,
        exact.largest.mean, exact.longest_run.mean, exact.differences[24].mean,
    ]  # fmt: skip
    monkeypatch.setattr(walks, "BUDGET", 0)

    sampled = Stratum(source, 24)

    again = [
        sampled.convergence.right, sampled.convergence.certain, sampled.bayes.right, sampled.bayes.certain,
        sampled.largest.mean, sampled.longest_run.mean, sampled.differences[24].mean,
    ]  # fmt: skip
    for one, other in zip(figures, again, strict=True):
        assert one.standard_error is None
        assert other.standard_error is not None
        assert other.value == pytest.approx(one.value, abs=4 * other.standard_error + 1e-12)
