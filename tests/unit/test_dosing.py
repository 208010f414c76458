"""The dose: domain table d7, exactly."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supply.domain import dosing

PER_KG = Decimal(500_000)
NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("weight", "millions"), [(40, 20), (50, 25), (60, 30), (70, 35), (80, 40), (100, 50), (120, 60)]
)
@pytest.mark.requirement(32)
def test_target_cells_are_half_a_million_for_each_kilogram(weight: int, millions: int) -> None:
    assert dosing.target_cells(Decimal(weight), cells_per_kg=PER_KG) == millions * 1_000_000


@pytest.mark.parametrize(
    ("weight", "cells"),
    [
        ("72.35", 36_175_000),
        ("72.3", 36_150_000),
        ("0.000001", 1),
        ("0.0000029", 1),
        ("0.000003", 2),
        ("0.0000009", 0),
    ],
)
@pytest.mark.requirement(32)
def test_cells_are_whole_and_halves_go_up(weight: str, cells: int) -> None:
    assert dosing.target_cells(Decimal(weight), cells_per_kg=PER_KG) == cells


@pytest.mark.requirement(32)
def test_a_coarser_step_of_the_trial_file_is_kept() -> None:
    target = dosing.target_cells(Decimal("72.35"), cells_per_kg=PER_KG, step=Decimal(1_000_000))

    assert target == 36_000_000


@given(weight=st.decimals(min_value=1, max_value=300, places=2))
@pytest.mark.requirement(32)
def test_the_dose_does_not_depend_on_the_arithmetic_settings_of_the_process(weight: Decimal) -> None:
    with localcontext(prec=3):
        target = dosing.target_cells(weight, cells_per_kg=PER_KG)

    assert target == int(weight * 100) * 5000


@pytest.mark.requirement(34)
def test_the_volume_of_the_reference_case() -> None:
    volume = dosing.volume_to_draw_ml(
        Decimal(35_000_000), cells_per_ml=Decimal(10_000_000), viability=Decimal("0.85")
    )

    assert str(volume) == "4.118"


@pytest.mark.parametrize(("step", "volume"), [("0.01", "4.12"), ("0.05", "4.10"), ("0.1", "4.1"), ("1", "4")])
@pytest.mark.requirement(34)
def test_the_volume_is_rounded_to_the_step_of_the_trial_file(step: str, volume: str) -> None:
    drawn = dosing.volume_to_draw_ml(
        Decimal(35_000_000),
        cells_per_ml=Decimal(10_000_000),
        viability=Decimal("0.85"),
        step_ml=Decimal(step),
    )

    assert str(drawn) == volume


@pytest.mark.parametrize("weight", ["0", "-1", "NaN", "Infinity"])
def test_no_dose_is_worked_out_from_nonsense(weight: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        dosing.target_cells(Decimal(weight), cells_per_kg=PER_KG)


def test_a_viability_in_percent_is_not_taken_for_a_fraction() -> None:
    with pytest.raises(ValueError, match="fraction"):
        dosing.volume_to_draw_ml(Decimal(1), cells_per_ml=Decimal(1), viability=Decimal(85))


@pytest.mark.parametrize("weight", ["29.9", "200.1", "0", "-70", "NaN", "Infinity"])
@pytest.mark.requirement(33)
def test_an_implausible_weight_is_refused(weight: str) -> None:
    with pytest.raises(dosing.WeightImplausible) as refusal:
        dosing.check_weight(Decimal(weight), min_kg=Decimal(30), max_kg=Decimal(200))

    assert refusal.value.code == "weight_implausible"


@pytest.mark.parametrize("weight", ["30", "70.5", "200"])
@pytest.mark.requirement(33)
def test_weights_at_the_ends_of_the_range_are_accepted(weight: str) -> None:
    dosing.check_weight(Decimal(weight), min_kg=Decimal(30), max_kg=Decimal(200))


@pytest.mark.requirement(33)
def test_a_weight_may_be_just_as_old_as_the_limit_and_no_older() -> None:
    limit = NOON - dt.timedelta(hours=48)

    dosing.check_weight_age(limit, at=NOON, max_age_hours=48)
    with pytest.raises(dosing.WeightTooOld) as refusal:
        dosing.check_weight_age(limit - dt.timedelta(seconds=1), at=NOON, max_age_hours=48)

    assert refusal.value.code == "weight_too_old"


@pytest.mark.requirement(33)
def test_a_weight_from_the_future_is_refused() -> None:
    with pytest.raises(dosing.WeightImplausible):
        dosing.check_weight_age(NOON + dt.timedelta(seconds=1), at=NOON, max_age_hours=48)


@pytest.mark.requirement(34)
def test_a_bag_that_cannot_hold_the_volume_or_cells_below_the_limit_are_refused() -> None:
    dosing.check_viability(Decimal("0.70"), minimum=Decimal("0.70"))
    dosing.check_volume(Decimal(150), capacity_ml=Decimal(150))

    with pytest.raises(dosing.ViabilityTooLow):
        dosing.check_viability(Decimal("0.699"), minimum=Decimal("0.70"))
    with pytest.raises(dosing.VolumeTooLarge):
        dosing.check_volume(Decimal("150.01"), capacity_ml=Decimal(150))
