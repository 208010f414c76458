"""
Strata: every combination of the factors' levels, and how a participant comes to one.

A stratum's code names each factor and its level, in the order of the trial file:
``age_group=18-59|respiratory_support=conventional_oxygen``. The code is what the list, the leaves
and the database call the stratum, so it never changes once a list is sealed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from trialsite.protocol import Factor, Protocol

EMERGENCY = "emergency"


class LevelsInvalid(ValueError):
    """
    The stated levels do not name a stratum.

    ``faults`` gives for each factor one of ``missing``, ``unknown_factor``, ``unknown_level`` and
    ``derived`` (the level follows from the birth date and is not stated).
    """

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__(", ".join(f"{factor}: {fault}" for factor, fault in faults.items()))
        self.faults = dict(faults)


def all_strata(protocol: Protocol) -> tuple[str, ...]:
    """Return the code of every stratum; the last factor changes fastest."""
    names = [factor.code for factor in protocol.factors]
    combinations = itertools.product(*(factor.levels for factor in protocol.factors))
    return tuple(_joined(dict(zip(names, levels, strict=True))) for levels in combinations)


def emergency_stratum(site: str) -> str:
    """Return the code of the list that is reserved for a site: a stratum of its own, without levels."""
    return _joined({EMERGENCY: site})


def emergency_site(stratum: str) -> str:
    """Return the site that a reserved list belongs to."""
    return stratum.removeprefix(f"{EMERGENCY}=")


def leaf_order(protocol: Protocol) -> tuple[str, ...]:
    """Return the strata in the order in which any list of the trial has their leaves, reserved lists last."""
    reserved = protocol.sites if protocol.emergency else ()
    return (*all_strata(protocol), *(emergency_stratum(site.code) for site in reserved))


def stratum_code(protocol: Protocol, levels: Mapping[str, str]) -> str:
    """
    Return the code of the stratum that has ``levels``, one for every factor.

    :raises LevelsInvalid: if a factor or level is unknown, or a factor has no level.
    """
    faults = {code: "unknown_factor" for code in levels if code not in {f.code for f in protocol.factors}}
    for factor in protocol.factors:
        if factor.code not in levels:
            faults[factor.code] = "missing"
        elif levels[factor.code] not in factor.levels:
            faults[factor.code] = "unknown_level"
    if faults:
        raise LevelsInvalid(faults)
    return _joined({factor.code: levels[factor.code] for factor in protocol.factors})


def levels_of(protocol: Protocol, code: str) -> dict[str, str]:
    """
    Return the level of every factor in the stratum of that code, in factor order.

    :raises LevelsInvalid: if the trial has no such stratum.
    """
    named = (part.partition("=") for part in code.split("|"))
    levels = {factor: level for factor, _, level in named}
    if stratum_code(protocol, levels) != code:
        raise LevelsInvalid(dict.fromkeys(levels, "unknown_level"))
    return {factor.code: levels[factor.code] for factor in protocol.factors}


def stated_levels(protocol: Protocol, stated: Mapping[str, str], *, age: int) -> dict[str, str]:
    """
    Return the level of every factor: as ``stated``, or derived from ``age`` in whole years.

    Outside the trial's ages (a screen failure) the derived factor has no level and is left out.

    :raises LevelsInvalid: if a stated factor or level is unknown, missing, or derived.
    """
    derived = {f.code: age_level(f, age=age) for f in protocol.factors if f.derived_from}
    asked = {f.code: f.levels for f in protocol.factors if not f.derived_from}
    faults = {
        code: "derived" if code in derived else "unknown_factor" for code in stated if code not in asked
    }
    for code, levels in asked.items():
        if code not in stated:
            faults[code] = "missing"
        elif stated[code] not in levels:
            faults[code] = "unknown_level"
    if faults:
        raise LevelsInvalid(faults)
    found = {f.code: derived.get(f.code, stated.get(f.code)) for f in protocol.factors}
    return {code: level for code, level in found.items() if level is not None}


def age_level(factor: Factor, *, age: int) -> str | None:
    """Return the level, such as "18-59", that holds ``age``; None if none does."""
    for level in factor.levels:
        first, last = level.split("-")
        if int(first) <= age <= int(last):
            return level
    return None


def _joined(levels: Mapping[str, str]) -> str:
    return "|".join(f"{factor}={level}" for factor, level in levels.items())
