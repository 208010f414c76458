"""
Measured values, held against the answers that rest on them.

Rules:

1. A value is optional. One that is given is written as a decimal text, of something the trial asks for,
   and lies within what is plausible.
2. A quotient needs both its values.
3. An answer that contradicts its value is a mistake in one of them, so neither is believed: whoever
   screens looks again. The limit itself meets the criterion.
4. Where other findings meet a criterion too (``sufficient_only``), only a value that meets it against
   the answer no is a contradiction.

All arithmetic is exact: a quotient is compared by multiplying.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from trialsite.protocol import Protocol
from trialsite.protocol_reader import DECIMAL
from trialsite.protocol_screening import Measurement, Quantity


class ValueFault(NamedTuple):
    """
    One value that cannot stand: its ``code``, and what is wrong with it.

    ``fault`` is one of ``unknown``, ``not_a_decimal``, ``implausible``, ``missing`` and
    ``contradicts_measurement``; for the last, ``code`` is the criterion's.
    """

    code: str
    fault: str
    detail: str


def value_faults(
    protocol: Protocol, answers: Mapping[str, bool], measured: Mapping[str, str]
) -> Iterator[ValueFault]:
    """
    Yield what is wrong with the values of ``measured``, and with the answers that contradict them.

    :param answers: the answer to every criterion.
    :param measured: decimal texts by code.
    """
    known = {
        quantity.code: quantity
        for criterion in protocol.eligibility
        if criterion.measurement
        for quantity in criterion.measurement.quantities
    }
    wrong = [fault for code, text in measured.items() for fault in _of_one_value(known.get(code), code, text)]
    yield from wrong
    if wrong:
        return
    values = {code: Decimal(text) for code, text in measured.items()}
    for criterion in protocol.eligibility:
        if criterion.measurement:
            yield from _against_answer(criterion.code, criterion.measurement, answers, values)


def _of_one_value(quantity: Quantity | None, code: str, text: str) -> Iterator[ValueFault]:
    if quantity is None:
        yield ValueFault(code, "unknown", "The trial asks for no such value.")
    elif not DECIMAL.fullmatch(text):
        yield ValueFault(code, "not_a_decimal", 'Write a decimal, such as "92.5".')
    elif not quantity.minimum <= Decimal(text) <= quantity.maximum:
        limits = f"{quantity.minimum} to {quantity.maximum} {quantity.unit}"
        yield ValueFault(code, "implausible", f"The value must be {limits}.")


def _against_answer(
    criterion: str, asked: Measurement, answers: Mapping[str, bool], values: Mapping[str, Decimal]
) -> Iterator[ValueFault]:
    absent = [quantity.code for quantity in asked.quantities if quantity.code not in values]
    if len(absent) == len(asked.quantities):
        return
    if absent:
        yield ValueFault(absent[0], "missing", "The other value says nothing without this one.")
        return
    met, answer = is_met(asked, values), answers[criterion]
    if met and not answer:
        yield ValueFault(criterion, "contradicts_measurement", "The answer is no, and the value says yes.")
    if answer and not met and not asked.sufficient_only:
        yield ValueFault(criterion, "contradicts_measurement", "The answer is yes, and the value says no.")


def is_met(asked: Measurement, values: Mapping[str, Decimal]) -> bool:
    """Say whether the value, or the quotient of the two, is within the limit or at it."""
    value = values[asked.value.code]
    divisor = Decimal(1) if asked.divided_by is None else values[asked.divided_by.code]
    if asked.at_least is not None:
        return value >= asked.at_least * divisor
    assert asked.at_most is not None  # noqa: S101 - the trial file has one of the two
    return value <= asked.at_most * divisor
