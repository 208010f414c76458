"""Strata: how they are named, counted and derived."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from randomization.domain.strata import LevelsInvalid, all_strata, levels_of, stated_levels, stratum_code
from trialsite import protocol as protocols

TRIAL = protocols.load(protocols.DEFAULT_TRIAL_FILE)


def test_every_combination_of_levels_is_a_stratum_named_in_factor_order():
    assert all_strata(TRIAL) == (
        "age_group=18-59|respiratory_support=conventional_oxygen",
        "age_group=18-59|respiratory_support=high_flow_or_ventilation",
        "age_group=60-75|respiratory_support=conventional_oxygen",
        "age_group=60-75|respiratory_support=high_flow_or_ventilation",
    )


def test_a_stratum_is_named_in_factor_order_whatever_the_order_given():
    levels = {"respiratory_support": "conventional_oxygen", "age_group": "60-75"}

    assert stratum_code(TRIAL, levels) == "age_group=60-75|respiratory_support=conventional_oxygen"


@pytest.mark.parametrize("code", all_strata(TRIAL))
def test_a_stratums_name_tells_its_levels(code):
    levels = levels_of(TRIAL, code)

    assert list(levels) == ["age_group", "respiratory_support"]
    assert stratum_code(TRIAL, levels) == code


@pytest.mark.parametrize(
    "code",
    [
        "",
        "age_group",
        "age_group=18-59",
        "age_group=18-60|respiratory_support=conventional_oxygen",
        "respiratory_support=conventional_oxygen|age_group=18-59",
        "age_group=18-59|respiratory_support=conventional_oxygen|",
        "age_group=60-75|age_group=18-59|respiratory_support=conventional_oxygen",
    ],
)
def test_a_name_that_is_no_stratum_is_refused(code):
    with pytest.raises(LevelsInvalid):
        levels_of(TRIAL, code)


@pytest.mark.requirement(18)
@pytest.mark.parametrize(
    ("age", "group"), [(17, None), (18, "18-59"), (59, "18-59"), (60, "60-75"), (75, "60-75"), (76, None)]
)
def test_the_age_group_follows_from_the_age(age, group):
    levels = stated_levels(TRIAL, {"respiratory_support": "conventional_oxygen"}, age=age)

    assert levels.get("age_group") == group
    assert levels["respiratory_support"] == "conventional_oxygen"


@given(age=st.integers(TRIAL.age_min, TRIAL.age_max), support=st.sampled_from(TRIAL.factors[1].levels))
def test_every_eligible_person_has_exactly_one_stratum(age, support):
    levels = stated_levels(TRIAL, {"respiratory_support": support}, age=age)

    assert list(levels) == ["age_group", "respiratory_support"]
    assert stratum_code(TRIAL, levels) in all_strata(TRIAL)


@pytest.mark.parametrize(
    ("stated", "faults"),
    [
        ({}, {"respiratory_support": "missing"}),
        ({"respiratory_support": "none"}, {"respiratory_support": "unknown_level"}),
        ({"respiratory_support": "conventional_oxygen", "sex": "male"}, {"sex": "unknown_factor"}),
        ({"respiratory_support": "conventional_oxygen", "age_group": "18-59"}, {"age_group": "derived"}),
    ],
)
def test_levels_that_cannot_be_stated_are_refused_by_factor(stated, faults):
    with pytest.raises(LevelsInvalid) as refusal:
        stated_levels(TRIAL, stated, age=40)

    assert refusal.value.faults == faults


@pytest.mark.parametrize(
    ("levels", "faults"),
    [
        ({"age_group": "18-59"}, {"respiratory_support": "missing"}),
        (
            {"age_group": "18-59", "respiratory_support": "air", "site": "PUREN"},
            {"site": "unknown_factor", "respiratory_support": "unknown_level"},
        ),
    ],
)
def test_levels_that_name_no_stratum_are_refused_by_factor(levels, faults):
    with pytest.raises(LevelsInvalid) as refusal:
        stratum_code(TRIAL, levels)

    assert refusal.value.faults == faults
