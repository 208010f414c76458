"""
Corrections of a participant's record: what can be pointed at, and what follows once randomized.

Rules:

1. A pointer (RFC 6901) names one value that screening asks for: ``/birth_date``, ``/strata/FACTOR``,
   ``/eligibility/CRITERION``, ``/measurements/CODE`` and so on. What follows from others is not
   corrected: the level of a derived factor is that of the corrected birth date.
2. Once somebody is randomized, a correction moves their true stratum and never the one that was used.
3. Whether criteria would be met by the corrected record is told and decides nothing: that somebody
   was ineligible is for a person to report.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from randomization.domain.eligibility import age_at_consent, evaluate
from randomization.domain.measurements import is_met
from randomization.domain.strata import age_level
from trialsite.protocol import Protocol

IDENTIFIER: Final = ("local_identifier",)
_PLAIN: Final = ("birth_date", "sex", "weight_kg", "consented_at", *IDENTIFIER)


class PointerUnknown(ValueError):
    """Nothing that may be corrected stands there; ``code`` is ``unknown`` or ``derived``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What screening asked, as it is known now; ``strata`` has a level for every factor that has one."""

    sex: str
    birth_date: dt.date
    weight_kg: Decimal
    consented_at: dt.datetime
    eligibility: Mapping[str, bool]
    measurements: Mapping[str, str]
    strata: Mapping[str, str]

    def value_at(self, steps: tuple[str, ...]) -> Any:
        """Return the value there; None where nothing was measured."""
        found = getattr(self, steps[0])
        return found.get(steps[1]) if len(steps) == 2 else found

    def corrected(self, steps: tuple[str, ...], value: Any) -> Facts:
        """Return the facts with the value there."""
        name = steps[0]
        new: Any = {**getattr(self, name), steps[1]: value} if len(steps) == 2 else value
        return dataclasses.replace(self, **{name: new})

    def age(self, zone: ZoneInfo) -> int:
        """Return the age in whole years on the day of consent in the site's zone."""
        return age_at_consent(birth_date=self.birth_date, consented_at=self.consented_at, zone=zone)


def steps_of(pointer: str, protocol: Protocol) -> tuple[str, ...]:
    """
    Return the steps of a pointer to something that may be corrected.

    :raises PointerUnknown: if it points at nothing of the kind.
    """
    steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/"))[1:]
    derived = {factor.code for factor in protocol.factors if factor.derived_from}
    named = {
        "strata": {factor.code for factor in protocol.factors},
        "eligibility": {criterion.code for criterion in protocol.eligibility},
        "measurements": {
            quantity.code
            for criterion in protocol.eligibility
            if criterion.measurement
            for quantity in criterion.measurement.quantities
        },
    }
    match steps:
        case ("strata", factor) if factor in derived:
            raise PointerUnknown("derived")
        case (name,) if name in _PLAIN:
            return steps
        case (name, code) if code in named.get(name, ()):
            return steps
    raise PointerUnknown("unknown")


def true_levels(protocol: Protocol, facts: Facts, *, zone: ZoneInfo) -> dict[str, str]:
    """Return the levels of the facts, the derived ones by their age; one that has none is left out."""
    age = facts.age(zone)
    derived = {f.code: age_level(f, age=age) for f in protocol.factors if f.derived_from}
    found = {f.code: derived.get(f.code, facts.strata.get(f.code)) for f in protocol.factors}
    return {code: level for code, level in found.items() if level is not None}


def unmet_by(protocol: Protocol, facts: Facts, *, zone: ZoneInfo) -> list[str]:
    """
    Return the codes of the criteria that these facts do not meet.

    Where an answer and its measured value contradict each other, as after the correction of one of
    them, neither is believed: the criterion is not met.
    """
    values = {code: Decimal(text) for code, text in facts.measurements.items()}
    answers = dict(facts.eligibility)
    for criterion in protocol.eligibility:
        asked = criterion.measurement
        if asked is None or any(quantity.code not in values for quantity in asked.quantities):
            continue
        met, answer = is_met(asked, values), answers[criterion.code]
        believed = met or asked.sufficient_only
        answers[criterion.code] = answer and believed if criterion.expected else answer or met
    return evaluate(protocol, answers, facts.age(zone))
