"""Measured values at a screening: optional, kept as written, and never against their answer."""

from __future__ import annotations

import pytest

from tests.world import a_participant, answers
from trialsite.audit.models import Entry
from trialsite.errors import FieldsInvalid

SEVERE = {"respiratory_rate": "34", "spo2_percent": "91.50", "pao2_mmhg": "63", "fio2": "0.21"}


def codes_of(refusal: FieldsInvalid) -> set[tuple[str, str]]:
    return {(fault.pointer, fault.code) for fault in refusal.faults}


@pytest.mark.requirement(15, 19)
def test_what_was_measured_is_kept_as_it_was_written(world):
    participant = a_participant(world, measurements=SEVERE)

    participant.refresh_from_db()
    assert participant.measurements == SEVERE
    assert participant.status == "eligible"


def test_nothing_needs_to_have_been_measured(world):
    assert a_participant(world).measurements == {}


@pytest.mark.requirement(19)
@pytest.mark.parametrize(
    ("measurements", "given", "wrong"),
    [
        (
            {"spo2_percent": "97"},
            {"I4B": True},
            ("#/eligibility/I4B", "contradicts_measurement"),
        ),
        (
            {"spo2_percent": "93"},
            {"I4B": False},
            ("#/eligibility/I4B", "contradicts_measurement"),
        ),
        (
            {"pao2_mmhg": "90", "fio2": "0.21"},
            {"I4C": True},
            ("#/eligibility/I4C", "contradicts_measurement"),
        ),
        (
            {"respiratory_rate": "30"},
            {"I4A": False},
            ("#/eligibility/I4A", "contradicts_measurement"),
        ),
        ({"spo2_percent": "9.1"}, {}, ("#/measurements/spo2_percent", "implausible")),
        ({"spo2_percent": "low"}, {}, ("#/measurements/spo2_percent", "not_a_decimal")),
        ({"pulse": "90"}, {}, ("#/measurements/pulse", "unknown")),
        ({"pao2_mmhg": "60"}, {}, ("#/measurements/fio2", "missing")),
    ],
)
def test_a_value_and_an_answer_that_contradict_each_other_are_not_taken(world, measurements, given, wrong):
    with pytest.raises(FieldsInvalid) as refusal:
        a_participant(world, measurements=measurements, eligibility=answers(**given))

    assert codes_of(refusal.value) == {wrong}


@pytest.mark.requirement(19)
def test_cyanosis_at_a_slow_breath_meets_the_criterion(world):
    only = answers(I4B=False, I4C=False)

    participant = a_participant(world, measurements={"respiratory_rate": "22"}, eligibility=only)

    assert participant.status == "eligible"


def test_no_value_is_on_the_trail(world):
    a_participant(world, measurements=SEVERE)

    assert not any(b"91.50" in bytes(entry.body) for entry in Entry.objects.all())


def test_the_trial_says_what_it_asks_for(world):
    trial = world.client("nurse").get("/api/v1/trial").json()

    asked = {row["code"]: row["measurement"] for row in trial["eligibility"] if row["measurement"]}
    assert asked["I4C"] == {
        "value": {"code": "pao2_mmhg", "unit": "mmHg", "minimum": "20", "maximum": "700"},
        "divided_by": {"code": "fio2", "unit": "fraction", "minimum": "0.21", "maximum": "1"},
        "at_least": None,
        "at_most": "300",
        "sufficient_only": False,
    }
    assert asked["I4A"]["sufficient_only"]
    assert set(asked) == {"I4A", "I4B", "I4C"}
