"""What a preparer states about a bag: checked against what the trial file asks. Unmasked side only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from supply.domain import dosing
from trialsite.errors import FieldFault, FieldsInvalid
from trialsite.protocol import ContentField, Dose, Treatment

NOT_APPLICABLE: Final = "not applicable"
LONGEST_VALUE: Final = 100
_PERCENT: Final = Decimal(100)


def has_cells(treatment: Treatment) -> bool:
    """Say whether the treatment has cells to count: a bag without them is not asked for any."""
    return any(field.code == "total_cells" and not field.not_applicable for field in treatment.contents)


def target_cells(treatment: Treatment, weight_kg: Decimal, dose: Dose) -> Decimal | None:
    """Return the cells to infuse, or None where the treatment has none."""
    if not has_cells(treatment):
        return None
    return dosing.target_cells(weight_kg, cells_per_kg=dose.cells_per_kg, step=dose.cells_step)


def check_contents(treatment: Treatment, contents: Mapping[str, str]) -> None:
    """
    Refuse contents that are not exactly what the trial file asks for: every field, and no other.

    :raises FieldsInvalid: with every fault found.
    """
    asked = {field.code: field for field in treatment.contents}
    faults = [
        FieldFault(("contents", code), "unknown_field", "The trial does not ask for this.")
        for code in contents
        if code not in asked
    ]
    for code, field in asked.items():
        faults.extend(_faults(field, contents.get(code)))
    if faults:
        raise FieldsInvalid(*faults)


def _faults(field: ContentField, value: str | None) -> Iterator[FieldFault]:
    place = ("contents", field.code)
    if value is None:
        yield FieldFault(place, "required", "The trial asks for this.")
    elif value == NOT_APPLICABLE:
        if not field.not_applicable:
            yield FieldFault(place, "not_applicable", "This has a value here.")
    elif field.kind == "text":
        if not value.strip() or len(value) > LONGEST_VALUE:
            yield FieldFault(place, "invalid", "This must be a short text.")
    elif not _in_range(field, value):
        unit = f" in {field.unit}" if field.unit else ""
        yield FieldFault(place, "out_of_range", f"This must be a number{unit} in the range that is asked.")


def _in_range(field: ContentField, value: str) -> bool:
    number = _number(value)
    if number is None:
        return False
    above = field.minimum is None or number >= field.minimum
    below = field.maximum is None or number <= field.maximum
    return above and below


def check_release(contents: Mapping[str, str], dose: Dose) -> None:
    """
    Refuse cells below the release limit and volumes that no bag holds.

    :raises supply.domain.dosing.ViabilityTooLow, supply.domain.dosing.VolumeTooLarge:
    """
    viability = _number(contents.get("viability_percent", ""))
    if viability is not None:
        dosing.check_viability(viability / _PERCENT, minimum=dose.min_viability_percent / _PERCENT)
    for code in ("volume_drawn_ml", "final_volume_ml"):
        volume = _number(contents.get(code, ""))
        if volume is not None:
            dosing.check_volume(volume, capacity_ml=dose.bag_capacity_ml)


def quality_findings(contents: Mapping[str, str], *, target: Decimal | None, dose: Dose) -> list[str]:
    """
    Return what the unmasked side should know of a bag that may still be given.

    ``dose_outside_tolerance``: the viable cells are further from the target than the trial allows.
    A low yield is a fact of living cells; whether the bag is given is for the second person to say.
    """
    delivered = _number(contents.get("total_cells", ""))
    if target is None or delivered is None:
        return []
    tolerance = target * dose.delivered_tolerance_percent / _PERCENT
    return ["dose_outside_tolerance"] if abs(delivered - target) > tolerance else []


def _number(value: str) -> Decimal | None:
    """Return the number that ``value`` writes in digits, or None."""
    if not value.isascii() or len(value) > LONGEST_VALUE or not value.replace(".", "", 1).isdigit():
        return None
    try:
        return Decimal(value)
    except InvalidOperation:
        return None
