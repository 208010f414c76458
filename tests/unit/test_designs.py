"""Designs behind one interface: the ratio they keep, the bounds they hold, and the files that choose them."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from randomization import generator
from randomization.domain.blocks import block_sequence, stratum_stream
from randomization.domain.designs import BigStick, Imported, PermutedBlocks, design_of, read_design
from randomization.domain.drbg import HmacDrbg
from randomization.domain.schedule import Schedule, spec_of
from tests.unit.ceremonies import (
    SEED,
    TRIAL,
    KeyRing,
    a_key_ring,
    a_trial,
    a_trial_file,
    a_trial_of_three_arms,
    the_arms_in,
)
from trialsite import protocol as protocols

SEEDS = st.binary(min_size=32, max_size=32)
RATIOS = st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple)


def a_stream(seed: bytes = bytes(32)) -> HmacDrbg:
    return stratum_stream(seed=seed, study="NCT04293692", stratum="age_group=18-59")


@st.composite
def ratios_and_sizes(draw):
    """A ratio, and block sizes that keep it and are at least 4."""
    ratio = draw(RATIOS)
    shares = draw(st.sets(st.integers(1, 4), min_size=1))
    sizes = sorted(share * sum(ratio) for share in shares)
    return ratio, [size for size in sizes if size >= 4] or [4 * sum(ratio)]


@pytest.mark.requirement(1)
@given(seed=SEEDS, design=ratios_and_sizes(), length=st.integers(0, 40))
def test_every_block_keeps_the_ratio_of_however_many_arms(seed, design, length):
    ratio, sizes = design

    blocks = block_sequence(draws=a_stream(seed), block_sizes=sizes, length=length, ratio=ratio)

    for block in blocks:
        share = len(block) // sum(ratio)
        assert [block.count(arm) for arm in range(len(ratio))] == [weight * share for weight in ratio]


@pytest.mark.requirement(2)
@given(seed=SEEDS, design=ratios_and_sizes(), length=st.integers(0, 40))
def test_no_arm_is_ever_further_from_its_share_than_its_part_of_a_block(seed, design, length):
    ratio, sizes = design

    arms = PermutedBlocks(tuple(sizes)).sequence(draws=a_stream(seed), ratio=ratio, length=length)

    given_out: Counter[int] = Counter()
    for n, arm in enumerate(arms, start=1):
        given_out[arm] += 1
        for number, weight in enumerate(ratio):
            due = n * weight / sum(ratio)
            # At the worst the whole of an arm's part comes first, or last.
            part = max(sizes) * weight / sum(ratio)
            assert abs(given_out[number] - due) <= part * (1 - weight / sum(ratio)) + 1e-9


@pytest.mark.requirement(2)
@given(seed=SEEDS, mti=st.integers(1, 6), length=st.integers(0, 300))
def test_a_big_stick_never_goes_beyond_its_tolerance(seed, mti, length):
    arms = BigStick(mti).sequence(draws=a_stream(seed), ratio=(1, 1), length=length)

    ahead = list(accumulate(1 - 2 * arm for arm in arms))
    assert len(arms) == length
    assert all(abs(difference) <= mti for difference in ahead)


@pytest.mark.requirement(2)
def test_the_test_of_the_tolerance_notices_a_coin_without_a_stick():
    stream = a_stream()

    ahead = accumulate(1 - 2 * stream.uniform(2) for _ in range(300))

    assert any(abs(difference) > 3 for difference in ahead)


@pytest.mark.requirement(3)
def test_within_its_tolerance_a_big_stick_is_a_coin_and_at_it_the_arm_behind():
    arms = BigStick(3).sequence(draws=a_stream(), ratio=(1, 1), length=40_000)

    ahead = [0, *accumulate(1 - 2 * arm for arm in arms)]
    free = [arm for before, arm in zip(ahead, arms, strict=False) if abs(before) < 3]
    forced = {(before, arm) for before, arm in zip(ahead, arms, strict=False) if abs(before) == 3}
    # Four standard deviations of a fair coin.
    assert abs(sum(free) - len(free) / 2) < 4 * (len(free) / 4) ** 0.5
    assert forced == {(3, 1), (-3, 0)}
    # Soares and Wu: at the boundary a share of 1 in 2 * mti of the time.
    share = sum(abs(before) == 3 for before in ahead) / len(ahead)
    assert abs(share - 1 / 6) < 0.01


@pytest.mark.parametrize(("ratio", "mti"), [((2, 1), 3), ((1, 1, 1), 3), ((2, 2), 3), ((1, 1), 0)])
def test_a_big_stick_is_one_to_one_with_two_arms(ratio, mti):
    with pytest.raises(ValueError, match="one to one"):
        BigStick(mti).sequence(draws=a_stream(), ratio=ratio, length=8)


def test_an_imported_list_follows_from_no_seed():
    with pytest.raises(ValueError, match="elsewhere"):
        Imported().sequence(draws=a_stream(), ratio=(1, 1), length=8)


@pytest.mark.parametrize("design", [PermutedBlocks((4, 6)), BigStick(3), Imported()])
def test_a_design_is_read_back_from_a_specification(design):
    assert read_design(design.members()) == design


def test_the_trial_file_chooses_the_design(tmp_path):
    big_stick = a_trial_file(tmp_path, ("block_sizes = [4, 6]", 'design = {kind = "big_stick", mti = 3}'))

    assert design_of(TRIAL) == PermutedBlocks((4, 6))
    assert design_of(protocols.load(big_stick)) == BigStick(3)


@pytest.mark.requirement(4)
def test_the_design_and_the_length_of_reserved_lists_never_reach_the_server(tmp_path):
    reserved = ("list_length = 60", "list_length = 60\nemergency = {slots = 7}")
    blocks = protocols.load(a_trial_file(tmp_path, reserved))
    other = reserved[0], reserved[1].replace("7", "9")
    big_stick = ("block_sizes = [4, 6]", 'design = {kind = "big_stick", mti = 3}')
    stick = protocols.load(a_trial_file(tmp_path, other, big_stick))

    assert blocks.public_document() == stick.public_document()
    assert '"emergency":{}' in blocks.public_document()
    kept = protocols.from_document(blocks.public_document())
    assert kept.emergency == protocols.Emergency()
    assert kept.content_hash == blocks.content_hash != TRIAL.content_hash
    with pytest.raises(ValueError, match="no design"):
        design_of(kept)


def test_a_trial_of_three_arms_can_be_read_and_has_a_list(tmp_path):
    keys: KeyRing = a_key_ring(tmp_path)
    trial = protocols.load(a_trial_of_three_arms())

    bundle = generator.build_list(trial, SEED, 12, **keys.makers)

    assert spec_of(trial).document()["arms"] == ["UC-MSC", "PLACEBO", "SALINE"]
    for row in the_arms_in(bundle, keys).values():
        assert row.count(0) == 2 * row.count(1) == 2 * row.count(2)
    assert {len(slot.envelope) for slot in bundle.slots} == {96}


def test_a_schedule_makes_a_stratum_when_it_is_asked_for_and_knows_no_other():
    spec = spec_of(a_trial(), length=12)
    schedule = Schedule(spec, SEED)

    assert list(schedule) == list(spec.strata)
    assert len(schedule) == 4
    assert list(schedule[spec.strata[1]]) == list(schedule[spec.strata[1]])
    with pytest.raises(KeyError):
        schedule["age_group=0-17"]
