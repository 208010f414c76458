"""
The dose: target cells from the weight, and its limits. Exact decimal arithmetic.

    target cells = cells per kg x weight in kg
    volume to draw = target cells / (cells per mL x viability)

The sheet shows the target. The volume is worked out by the preparer, who counts the cells, and
stated with the contents; no process works it out.

Rounding is half up, once, at the end: cells to a whole multiple of the trial's step (1), volumes to
the trial's step in mL. The weight enters as measured. No binary fraction appears anywhere, so the
same inputs give the same dose on every machine. 70 kg at 0.5 x 10^6 cells/kg, 10^7 cells/mL and
85 % viable: 35 x 10^6 cells, 4.118 mL.
"""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Final

from trialsite.errors import Refused

ONE_CELL: Final = Decimal(1)
THOUSANDTH_ML: Final = Decimal("0.001")

# More digits than any product of a dose and a weight has, so that only the last step rounds.
_DIGITS: Final = 50


class WeightImplausible(Refused):
    """The weight lies outside the trial's range, or is dated in the future: a slip of the pen."""

    code = "weight_implausible"


class WeightTooOld(Refused):
    """The participant must be weighed again before the dose may be worked out."""

    code = "weight_too_old"


class ViabilityTooLow(Refused):
    """The cells are below the release limit. Unmasked side only."""

    code = "viability_too_low"


class VolumeTooLarge(Refused):
    """The volume does not fit the bag. Unmasked side only."""

    code = "volume_too_large"


def target_cells(weight_kg: Decimal, *, cells_per_kg: Decimal, step: Decimal = ONE_CELL) -> Decimal:
    """
    Return the cells to infuse, rounded half up to a multiple of ``step`` cells.

    :raises ValueError: if a number is not positive and finite.
    """
    _require_positive(weight_kg, cells_per_kg, step)
    with localcontext(prec=_DIGITS):
        return _to_step(cells_per_kg * weight_kg, step)


def volume_to_draw_ml(
    target: Decimal, *, cells_per_ml: Decimal, viability: Decimal, step_ml: Decimal = THOUSANDTH_ML
) -> Decimal:
    """
    Return the mL of suspension that hold ``target`` viable cells, rounded half up to ``step_ml``.

    ``viability`` is a fraction: .85 for 85 %.

    :raises ValueError: if a number is not positive and finite, or the viability is above 1.
    """
    _require_positive(target, cells_per_ml, viability, step_ml)
    if viability > 1:
        raise ValueError("viability is a fraction, at most 1")
    with localcontext(prec=_DIGITS):
        return _to_step(target / (cells_per_ml * viability), step_ml)


def check_weight(weight_kg: Decimal, *, min_kg: Decimal, max_kg: Decimal) -> None:
    """
    Refuse a weight that no adult of the trial has; both ends of the range are accepted.

    :raises WeightImplausible: if the weight is not a number from ``min_kg`` to ``max_kg``.
    """
    if not weight_kg.is_finite() or not min_kg <= weight_kg <= max_kg:
        raise WeightImplausible(
            f"The weight must be from {min_kg} kg to {max_kg} kg. Check it and enter it again."
        )


def check_weight_age(weighed_at: dt.datetime, *, at: dt.datetime, max_age_hours: int) -> None:
    """
    Refuse a weight that is too old at ``at``, or measured after it.

    :raises WeightTooOld: if it is older than ``max_age_hours``.
    :raises WeightImplausible: if it is dated later than ``at``.
    """
    if weighed_at > at:
        raise WeightImplausible("The weight is dated in the future. Check the time of weighing.")
    if at - weighed_at > dt.timedelta(hours=max_age_hours):
        raise WeightTooOld(f"The weight is more than {max_age_hours} hours old. Weigh the participant again.")


def check_viability(viability: Decimal, *, minimum: Decimal) -> None:
    """
    Refuse cells below the release limit; both are fractions.

    :raises ViabilityTooLow: if ``viability`` is below ``minimum``.
    """
    if not viability.is_finite() or viability < minimum:
        raise ViabilityTooLow("The viability is below the release limit.")


def check_volume(volume_ml: Decimal, *, capacity_ml: Decimal) -> None:
    """
    Refuse a volume that the bag cannot hold.

    :raises VolumeTooLarge: if ``volume_ml`` is more than ``capacity_ml``.
    """
    if not volume_ml.is_finite() or volume_ml > capacity_ml:
        raise VolumeTooLarge(f"The volume does not fit a bag of {capacity_ml} mL.")


def _require_positive(*numbers: Decimal) -> None:
    if not all(number.is_finite() and number > 0 for number in numbers):
        raise ValueError("doses are worked out from positive numbers")


def _to_step(value: Decimal, step: Decimal) -> Decimal:
    # Counting steps and multiplying back keeps steps like 0.05 exact, which quantize() would not.
    return (value / step).to_integral_value(rounding=ROUND_HALF_UP) * step
