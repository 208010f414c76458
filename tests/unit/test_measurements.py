"""Measured values against the answers that rest on them: limits, quotients, slips of the pen."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from randomization.domain.measurements import is_met, value_faults
from trialsite import protocol as protocols
from trialsite.protocol_screening import Measurement, Quantity

TRIAL = protocols.load(protocols.DEFAULT_TRIAL_FILE)
ANSWERS = {criterion.code: criterion.expected for criterion in TRIAL.eligibility}
RATIO = next(c.measurement for c in TRIAL.eligibility if c.code == "I4C" and c.measurement)


def faults(answers: dict[str, bool] | None = None, **measured: str) -> set[tuple[str, str]]:
    found = value_faults(TRIAL, ANSWERS | (answers or {}), measured)
    return {(fault.code, fault.fault) for fault in found}


@pytest.mark.requirement(19)
@pytest.mark.parametrize(
    ("measured", "answers", "wrong"),
    [
        # The limit itself meets the criterion.
        ({"spo2_percent": "93"}, {"I4B": True}, set()),
        ({"spo2_percent": "93.0"}, {"I4B": True}, set()),
        ({"spo2_percent": "93"}, {"I4B": False}, {"I4B"}),
        ({"spo2_percent": "93.1"}, {"I4B": False}, set()),
        ({"spo2_percent": "93.1"}, {"I4B": True}, {"I4B"}),
        # 30 breaths a minute suffice; fewer say nothing against cyanosis.
        ({"respiratory_rate": "30"}, {"I4A": True}, set()),
        ({"respiratory_rate": "30"}, {"I4A": False}, {"I4A"}),
        ({"respiratory_rate": "29"}, {"I4A": False}, set()),
        ({"respiratory_rate": "29"}, {"I4A": True}, set()),
        # 63 mmHg at 21 % oxygen is a ratio of exactly 300.
        ({"pao2_mmhg": "63", "fio2": "0.21"}, {"I4C": True}, set()),
        ({"pao2_mmhg": "63", "fio2": "0.21"}, {"I4C": False}, {"I4C"}),
        ({"pao2_mmhg": "63.1", "fio2": "0.21"}, {"I4C": False}, set()),
        ({"pao2_mmhg": "63.1", "fio2": "0.21"}, {"I4C": True}, {"I4C"}),
        ({"spo2_percent": "99", "pao2_mmhg": "300", "fio2": "0.5"}, {}, {"I4B", "I4C"}),
        ({}, {"I4A": False, "I4B": False, "I4C": False}, set()),
    ],
)
def test_an_answer_that_its_value_contradicts_is_named(measured, answers, wrong):
    assert faults(answers, **measured) == {(code, "contradicts_measurement") for code in wrong}


@pytest.mark.parametrize(
    ("measured", "wrong"),
    [
        ({"temperature": "38.5"}, ("temperature", "unknown")),
        ({"spo2_percent": "101"}, ("spo2_percent", "implausible")),
        ({"spo2_percent": "29.9"}, ("spo2_percent", "implausible")),
        ({"spo2_percent": "93 %"}, ("spo2_percent", "not_a_decimal")),
        ({"spo2_percent": "9e1"}, ("spo2_percent", "not_a_decimal")),
        ({"spo2_percent": "NaN"}, ("spo2_percent", "not_a_decimal")),
        ({"spo2_percent": "-93"}, ("spo2_percent", "implausible")),
        # A percentage where a fraction is asked for.
        ({"pao2_mmhg": "80", "fio2": "50"}, ("fio2", "implausible")),
        ({"pao2_mmhg": "80"}, ("fio2", "missing")),
        ({"fio2": "0.5"}, ("pao2_mmhg", "missing")),
        # 10.6 kPa are 80 mmHg.
        ({"pao2_mmhg": "10.6", "fio2": "0.5"}, ("pao2_mmhg", "implausible")),
    ],
)
def test_a_value_that_cannot_be_is_named(measured, wrong):
    assert faults(**measured) == {wrong}


@given(pao2=st.integers(200, 7000), fio2=st.integers(21, 100))
def test_a_quotient_is_compared_without_rounding(pao2, fio2):
    values = {"pao2_mmhg": Decimal(pao2) / 10, "fio2": Decimal(fio2) / 100}

    assert is_met(RATIO, values) is (pao2 * 10 <= 300 * fio2)


@pytest.mark.parametrize(("value", "met"), [("5.9", False), ("6", True), ("6.1", True)])
def test_a_quotient_may_have_to_reach_its_limit(value, met):
    asked = Measurement(
        value=Quantity("distance_m", "m", Decimal(0), Decimal(1000)),
        divided_by=Quantity("time_min", "min", Decimal(1), Decimal(60)),
        at_least=Decimal(3),
    )

    assert is_met(asked, {"distance_m": Decimal(value), "time_min": Decimal(2)}) is met
