"""Answers, values and levels, checked against the trial: who is eligible, and in which stratum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn

from randomization.domain.eligibility import AnswersIncomplete, evaluate
from randomization.domain.measurements import value_faults
from randomization.domain.strata import LevelsInvalid, stated_levels
from randomization.models import Participant
from trialsite.errors import FieldFault, FieldsInvalid
from trialsite.protocol import Protocol

_LEVEL_FAULTS = {
    "missing": "This factor needs a level.",
    "unknown_factor": "The trial has no such factor.",
    "unknown_level": "The factor has no such level.",
    "derived": "This level follows from the birth date and is not stated.",
}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """
    What a verdict rests on, as an investigator states it.

    :param measurements: decimal texts by code.
    :param strata: the levels of the factors that are not derived.
    """

    eligibility: Mapping[str, bool]
    measurements: Mapping[str, str]
    strata: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """The codes of the unmet criteria, and the level of every factor that has one."""

    unmet: list[str]
    levels: dict[str, str]

    @property
    def status(self) -> Participant.Status:
        """Eligible, if nothing is unmet."""
        return Participant.Status.SCREEN_FAILED if self.unmet else Participant.Status.ELIGIBLE


def judge(findings: Findings, *, age: int, protocol: Protocol) -> Verdict:
    """
    Return the verdict on a person of that age in whole years at consent.

    :raises FieldsInvalid: if an answer or level is missing or unknown, or a value cannot be or
        contradicts its answer.
    """
    try:
        unmet = evaluate(protocol, findings.eligibility, age)
    except AnswersIncomplete as error:
        _refuse_answers(error)
    _refuse_values(findings, protocol=protocol)
    try:
        levels = stated_levels(protocol, findings.strata, age=age)
    except LevelsInvalid as error:
        faults = (
            FieldFault(("strata", factor[:64]), code, _LEVEL_FAULTS[code])
            for factor, code in error.faults.items()
        )
        raise FieldsInvalid(*faults) from None
    return Verdict(unmet, levels)


def weight_faults(weight_kg: Decimal, *, protocol: Protocol) -> list[FieldFault]:
    """Return that the weight is outside what the trial file calls plausible, if it is."""
    dose = protocol.dose
    if dose.weight_min_kg <= weight_kg <= dose.weight_max_kg:
        return []
    limits = f"{dose.weight_min_kg} to {dose.weight_max_kg} kg"
    return [FieldFault(("weight_kg",), "implausible", f"The weight must be {limits}.")]


def _refuse_answers(error: AnswersIncomplete) -> NoReturn:
    raise FieldsInvalid(
        *(
            FieldFault(("eligibility", code), "missing", "This criterion needs an answer.")
            for code in error.missing
        ),
        *(
            FieldFault(("eligibility", code[:64]), "unknown", "The trial has no such criterion.")
            for code in error.unknown
        ),
    ) from None


def _refuse_values(findings: Findings, *, protocol: Protocol) -> None:
    """A contradiction is told at the answer: the value may be the one that is wrong, and is named."""
    faults = [
        FieldFault(
            ("eligibility" if wrong.fault == "contradicts_measurement" else "measurements", wrong.code[:64]),
            wrong.fault,
            wrong.detail,
        )
        for wrong in value_faults(protocol, findings.eligibility, findings.measurements)
    ]
    if faults:
        raise FieldsInvalid(*faults)
