"""
What must hold of a trial beyond the types of its fields.

Each rule is a generator of faults, ``(place, reason)``; a protocol without faults may be used. The
rules of the design (block sizes, lengths of lists) are silent where a public document left it out.

Pure: no Django.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from trialsite.protocol_caps import cap_faults
from trialsite.protocol_screening import screening_faults

if TYPE_CHECKING:
    from trialsite.protocol import ContentField, Dose, Factor, Protocol

Fault = tuple[str, str]

# Codes name strata ("factor=level|factor=level") and appear in addresses: no separators, no spaces.
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
AGES = re.compile(r"(0|[1-9][0-9]{0,2})-(0|[1-9][0-9]{0,2})")
ARM_CODES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SMALLEST_BLOCK = 4
# The code of a stratum "emergency=SITE" is that of a site's reserved list.
RESERVED_FACTOR = "emergency"
DAY_HOURS = 24


def faults(protocol: Protocol) -> Iterator[Fault]:
    """Yield every fault of ``protocol``: its place as a dotted key, and the reason."""
    for rule in (_codes, _numbers, _arms, _design, _factors, _eligibility, _infusions, _intervals):
        yield from rule(protocol)
    for rule in (_times, _dose, _treatments, _sites, _kits, cap_faults, screening_faults):
        yield from rule(protocol)


def _codes(protocol: Protocol) -> Iterator[Fault]:
    for place, code in (
        ("protocol", protocol.protocol),
        *_record_codes(protocol),
        *_treatment_codes(protocol),
    ):
        if not CODE.fullmatch(code):
            yield place, "must be letters, digits, '_', '.' and '-' only"


def _record_codes(protocol: Protocol) -> Iterator[tuple[str, str]]:
    for list_name in ("arms", "factors", "eligibility", "sites"):
        for index, record in enumerate(getattr(protocol, list_name)):
            yield f"{list_name}[{index}].code", record.code
            for number, level in enumerate(getattr(record, "levels", ())):
                yield f"{list_name}[{index}].levels[{number}]", level


def _treatment_codes(protocol: Protocol) -> Iterator[tuple[str, str]]:
    for code, treatment in protocol.treatments.items():
        yield f"treatments.{code}", code
        for index, component in enumerate(treatment.components):
            yield f"treatments.{code}.components[{index}]", component
        for index, field in enumerate(treatment.contents):
            yield f"treatments.{code}.contents[{index}].code", field.code


def _numbers(protocol: Protocol) -> Iterator[Fault]:
    for name in ("planned", "min_interval_hours", "stability_minutes", "infusion_minutes"):
        if getattr(protocol, name) < 1:
            yield name, "must be at least 1"
    if protocol.age_min < 0:
        yield "age_min", "must not be negative"
    if protocol.age_max < protocol.age_min:
        yield "age_max", "must not be less than age_min"


def _arms(protocol: Protocol) -> Iterator[Fault]:
    codes = "".join(arm.code for arm in protocol.arms)
    if len(protocol.arms) < 2 or codes != ARM_CODES[: len(protocol.arms)]:
        yield "arms", "must be A, B and so on, in this order, two or more"
    for index, arm in enumerate(protocol.arms):
        if arm.treatment not in protocol.treatments:
            yield f"arms[{index}].treatment", f"{arm.treatment!r} is not among the treatments"
    if len({arm.treatment for arm in protocol.arms}) != len(protocol.arms):
        yield "arms", "must receive different treatments"
    if len(protocol.ratio) != len(protocol.arms) or min(protocol.ratio, default=0) < 1:
        yield "ratio", "must be a whole number of 1 or more for each arm"


def _design(protocol: Protocol) -> Iterator[Fault]:
    if protocol.emergency and protocol.emergency.slots is not None and protocol.emergency.slots < 1:
        yield "emergency.slots", "must be at least 1"
    if protocol.list_length is None:
        return
    if protocol.list_length < 1:
        yield "list_length", "must be at least 1"
    yield from _blocks(protocol) if protocol.design is None else _big_stick(protocol)


def _blocks(protocol: Protocol) -> Iterator[Fault]:
    whole = max(sum(protocol.ratio), 1)
    for index, size in enumerate(protocol.block_sizes):
        place = f"block_sizes[{index}]"
        if size % whole:
            yield place, f"must be a multiple of {whole}, the sum of the ratio"
        elif size < SMALLEST_BLOCK:
            yield place, "must be at least 4: the second slot of a block of 2 is certain"
    if len(protocol.block_sizes) < 2:
        yield "block_sizes", "must be two sizes or more, or a block's end can be counted off"
    if any(later <= size for size, later in pairwise(protocol.block_sizes)):
        yield "block_sizes", "must be increasing"


def _big_stick(protocol: Protocol) -> Iterator[Fault]:
    if protocol.design and protocol.design.kind != "big_stick":
        yield "design.kind", "must be big_stick; permuted blocks are named by block_sizes alone"
    if protocol.design and protocol.design.mti < 2:
        yield "design.mti", "must be at least 2: with 1 every second slot is certain"
    if protocol.ratio != (1, 1):
        yield "design", "must be permuted blocks where the ratio is not [1, 1]"


def _factors(protocol: Protocol) -> Iterator[Fault]:
    if not protocol.factors:
        yield "factors", "must not be empty"
    for index, factor in enumerate(protocol.factors):
        place = f"factors[{index}]"
        if factor.code == RESERVED_FACTOR:
            yield f"{place}.code", "names the lists that are reserved for sites"
        if len(factor.levels) < 2:
            yield f"{place}.levels", "must be two or more"
        if len(set(factor.levels)) != len(factor.levels):
            yield f"{place}.levels", "must be different"
        if factor.derived_from == "birth_date":
            yield from _age_levels(protocol, factor, f"{place}.levels")
        elif factor.derived_from is not None:
            yield f"{place}.derived_from", "must be birth_date or be left out"


def _age_levels(protocol: Protocol, factor: Factor, place: str) -> Iterator[Fault]:
    expected = protocol.age_min
    for index, level in enumerate(factor.levels):
        ages = AGES.fullmatch(level)
        if ages is None:
            yield f"{place}[{index}]", 'must be a range of ages such as "18-59"'
            return
        first, last = int(ages[1]), int(ages[2])
        if first != expected or last < first:
            yield f"{place}[{index}]", f"must begin at {expected}: each age has exactly one level"
            return
        expected = last + 1
    if expected != protocol.age_max + 1:
        yield place, f"must end at {protocol.age_max}: each age has exactly one level"


def _eligibility(protocol: Protocol) -> Iterator[Fault]:
    groups: dict[str, tuple[str, str]] = {}
    for index, criterion in enumerate(protocol.eligibility):
        place = f"eligibility[{index}]"
        if criterion.kind not in ("inclusion", "exclusion"):
            yield f"{place}.kind", "must be inclusion or exclusion"
        if criterion.combine not in ("all", "any"):
            yield f"{place}.combine", "must be all or any"
        if criterion.derived_from not in (None, "birth_date"):
            yield f"{place}.derived_from", "must be birth_date or be left out"
        same = (criterion.kind, criterion.combine)
        if groups.setdefault(criterion.group, same) != same:
            yield f"{place}.group", f"{criterion.group!r} already has another kind or combine"
    derived = [criterion for criterion in protocol.eligibility if criterion.derived_from]
    if [(criterion.kind, criterion.combine) for criterion in derived] != [("inclusion", "all")]:
        yield "eligibility", "must have exactly one age criterion: an inclusion, all, derived from birth_date"


def _infusions(protocol: Protocol) -> Iterator[Fault]:
    if not protocol.infusions:
        yield "infusions", "must not be empty"
    for index, infusion in enumerate(protocol.infusions):
        place = f"infusions[{index}]"
        if infusion.number != index + 1:
            yield f"{place}.number", f"must be {index + 1}: infusions are numbered from 1 in order"
        if infusion.day < 1:
            yield f"{place}.day", "must be at least 1: there is no Day 0"
        for name in ("opens_days_before", "closes_days_after"):
            if getattr(infusion, name) < 0:
                yield f"{place}.{name}", "must not be negative"


def _intervals(protocol: Protocol) -> Iterator[Fault]:
    for index, (earlier, later) in enumerate(pairwise(protocol.infusions), start=1):
        if later.day <= earlier.day:
            yield f"infusions[{index}].day", "must be later than the infusion before"
        elif (later.day - earlier.day) * DAY_HOURS < protocol.min_interval_hours:
            yield f"infusions[{index}].day", "must leave room for min_interval_hours"


def _times(protocol: Protocol) -> Iterator[Fault]:
    if protocol.stability_minutes <= protocol.infusion_minutes:
        yield "stability_minutes", "must be longer than infusion_minutes"
    minutes = protocol.dispatch_minutes
    if not minutes:
        yield "dispatch_minutes", "must not be empty"
    for index, minute in enumerate(minutes):
        if not 0 <= minute <= 59:
            yield f"dispatch_minutes[{index}]", "must be a minute of the hour, 0 to 59"
    if any(later <= minute for minute, later in pairwise(minutes)):
        yield "dispatch_minutes", "must be increasing"


def _dose(protocol: Protocol) -> Iterator[Fault]:
    dose = protocol.dose
    for name in ("cells_per_kg", "cells_step", "draw_step_ml", "volume_ml", "weight_min_kg"):
        if getattr(dose, name) <= 0:
            yield f"dose.{name}", "must be more than 0"
    if dose.rounding != "half_up":
        yield "dose.rounding", "must be half_up"
    if dose.bag_capacity_ml < dose.volume_ml:
        yield "dose.bag_capacity_ml", "must hold volume_ml"
    if not 0 <= dose.min_viability_percent <= Decimal(100):
        yield "dose.min_viability_percent", "must be 0 to 100"
    if not 0 < dose.delivered_tolerance_percent <= Decimal(100):
        yield "dose.delivered_tolerance_percent", "must be more than 0 and at most 100"
    yield from _weight(dose)


def _weight(dose: Dose) -> Iterator[Fault]:
    if dose.weight_max_kg <= dose.weight_min_kg:
        yield "dose.weight_max_kg", "must be more than weight_min_kg"
    if dose.weight_max_age_hours < 1:
        yield "dose.weight_max_age_hours", "must be at least 1"


def _treatments(protocol: Protocol) -> Iterator[Fault]:
    asked = {}
    for code, treatment in protocol.treatments.items():
        place = f"treatments.{code}"
        if code not in {arm.treatment for arm in protocol.arms}:
            yield place, "is given in no arm"
        if not treatment.components or len(set(treatment.components)) != len(treatment.components):
            yield f"{place}.components", "must be one or more different components"
        for index, field in enumerate(treatment.contents):
            yield from _content(field, f"{place}.contents[{index}]")
        asked[code] = [(field.code, field.text, field.kind, field.unit) for field in treatment.contents]
    if len({tuple(contents) for contents in asked.values()}) > 1:
        # Another number of values, or of screens, would tell the arm to whoever looks on.
        yield "treatments", "must ask for the same contents in the same order in every treatment"


def _content(field: ContentField, place: str) -> Iterator[Fault]:
    if field.kind not in ("decimal", "text"):
        yield f"{place}.kind", "must be decimal or text"
    if field.kind == "text" and (field.minimum is not None or field.maximum is not None):
        yield place, "must have no minimum or maximum: it is a text"
    if field.minimum is not None and field.maximum is not None and field.maximum < field.minimum:
        yield f"{place}.maximum", "must not be less than minimum"


def _sites(protocol: Protocol) -> Iterator[Fault]:
    if not protocol.sites:
        yield "sites", "must not be empty"
    for index, site in enumerate(protocol.sites):
        try:
            zoneinfo.ZoneInfo(site.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            yield f"sites[{index}].time_zone", f"{site.time_zone!r} is not a known time zone"


def _kits(protocol: Protocol) -> Iterator[Fault]:
    kits = protocol.kits
    if kits.mode != "on_demand":
        yield "kits.mode", "must be on_demand"
    if not re.fullmatch(r"[0-9]{14}", kits.gtin) or _gtin_sum(kits.gtin) % 10:
        yield "kits.gtin", "must be 14 digits with a right check digit"
    # GS1 General Specifications 3.4.1: AI 10 holds 1 to 20 characters.
    if not re.fullmatch(r"[A-Za-z0-9-]{1,20}", kits.lot):
        yield "kits.lot", "must be 1 to 20 letters, digits and '-'"


def _gtin_sum(gtin: str) -> int:
    """Return the weighted digit sum, a multiple of ten for a right one (GS1 General Specifications 7.9.1)."""
    return sum(int(digit) * (3, 1)[index % 2] for index, digit in enumerate(gtin))
