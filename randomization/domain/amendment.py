"""
What an amendment of the trial file may change, and what stays as it is to the end of the trial.

May change: version, title, planned number, caps, eligibility and ages, versions of consent, texts
of arms, treatments and labels, windows and times (for participants who are screened from then on);
levels of factors and sites may be added; a site without participants may go. Everything else stays:
the study, the arms and what they are given, the ratio, the factors with the levels that they have.
A stratum's code is its levels, so slots that are sealed keep their place whatever is added.

What this module does not know of a trial file it does not let change.

Pure: no Django.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from randomization.domain.strata import all_strata
from trialsite.protocol import DESIGN_FIELDS, Protocol
from trialsite.protocol_reader import plain

Fault = tuple[str, str]
STAYS: Final = "stays as it is: an amendment does not change it"

# Free to change, and changed only as far as a rule below allows.
FREE: Final = frozenset(
    {
        "version",
        "title",
        "planned",
        "age_min",
        "age_max",
        "eligibility",
        "consent_version",
        "consent_versions_accepted",
        "min_interval_hours",
        "stability_minutes",
        "infusion_minutes",
        "dispatch_minutes",
        "label",
        "caps",
    }
)
LIMITED: Final = frozenset({"arms", "factors", "infusions", "dose", "treatments", "sites", "emergency"})


def amendment_faults(before: Protocol, after: Protocol, *, occupied: Collection[str]) -> Iterator[Fault]:
    """
    Yield every reason why ``after`` is no amendment of ``before``: its place, and what is wrong there.

    :param occupied: codes of the sites that have participants or a reserved list.
    """
    if after.version == before.version:
        yield "version", "must be another than that of the trial in force"
    for field in dataclasses.fields(Protocol):
        if field.name in FREE | LIMITED or field.name in DESIGN_FIELDS:
            continue
        if getattr(after, field.name) != getattr(before, field.name):
            yield field.name, STAYS
    for rule in (_arms, _factors, _infusions, _dose, _treatments):
        yield from rule(before, after)
    yield from _sites(before, after, occupied)
    if before.emergency and not after.emergency:
        yield "emergency", "stays: lists were reserved for sites"


def new_strata(before: Protocol, after: Protocol) -> tuple[str, ...]:
    """Return the codes of the strata that ``after`` adds, in its order."""
    known = set(all_strata(before))
    return tuple(code for code in all_strata(after) if code not in known)


def differences(before: Protocol, after: Protocol) -> Iterator[str]:
    """Yield a line for each public value that differs, ``place: old -> new``, for whoever approves it."""
    yield from _compared("", plain(before), plain(after))


def _arms(before: Protocol, after: Protocol) -> Iterator[Fault]:
    if [(arm.code, arm.treatment) for arm in after.arms] != [
        (arm.code, arm.treatment) for arm in before.arms
    ]:
        yield "arms", STAYS


def _factors(before: Protocol, after: Protocol) -> Iterator[Fault]:
    if [(factor.code, factor.derived_from) for factor in after.factors] != [
        (factor.code, factor.derived_from) for factor in before.factors
    ]:
        yield "factors", f"{STAYS}; levels may be added"
        return
    for index, (old, new) in enumerate(zip(before.factors, after.factors, strict=True)):
        if [level for level in new.levels if level in old.levels] != list(old.levels):
            yield f"factors[{index}].levels", "must hold every level that there is, in its order"


def _infusions(before: Protocol, after: Protocol) -> Iterator[Fault]:
    if len(after.infusions) != len(before.infusions):
        yield "infusions", "must be as many as before; their days and windows may change"


def _dose(before: Protocol, after: Protocol) -> Iterator[Fault]:
    for name in ("cells_per_kg", "volume_ml"):
        if getattr(after.dose, name) != getattr(before.dose, name):
            yield f"dose.{name}", STAYS


def _treatments(before: Protocol, after: Protocol) -> Iterator[Fault]:
    if set(after.treatments) != set(before.treatments):
        yield "treatments", STAYS
        return
    for code, old in before.treatments.items():
        for name in ("components", "contents"):
            if getattr(after.treatments[code], name) != getattr(old, name):
                yield f"treatments.{code}.{name}", STAYS


def _sites(before: Protocol, after: Protocol, occupied: Collection[str]) -> Iterator[Fault]:
    kept = {site.code: (index, site) for index, site in enumerate(after.sites)}
    for old in before.sites:
        if old.code not in kept:
            if old.code in occupied:
                yield (
                    "sites",
                    f"must hold {old.code}, which has participants or a reserved list; close it instead",
                )
            continue
        index, new = kept[old.code]
        for name in ("time_zone", "demonstration"):
            if getattr(new, name) != getattr(old, name):
                yield f"sites[{index}].{name}", STAYS


def _compared(place: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if place or key not in DESIGN_FIELDS:
                yield from _compared(f"{place}.{key}" if place else key, old.get(key), new.get(key))
    elif _records(old) and _records(new):
        by_code = [{record["code"]: record for record in records} for records in (old, new)]
        for code in sorted(by_code[0].keys() | by_code[1].keys()):
            yield from _compared(f"{place}[{code}]", by_code[0].get(code), by_code[1].get(code))
    elif old != new:
        yield f"{place}: {_shown(old)} -> {_shown(new)}"


def _records(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(item, dict) and "code" in item for item in value)


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
