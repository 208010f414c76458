"""Eligibility: every criterion answered, combined as the trial file says, age by birthdays at the site."""

from __future__ import annotations

import dataclasses
import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from randomization.domain.eligibility import AnswersIncomplete, age_at_consent, age_on, evaluate
from trialsite import protocol as protocols

TRIAL = protocols.load(protocols.DEFAULT_TRIAL_FILE)
WUHAN = ZoneInfo("Asia/Shanghai")
CODES = [criterion.code for criterion in TRIAL.eligibility]
SEVERITY = ["I4A", "I4B", "I4C"]


def an_eligible_persons_answers(**changed: bool) -> dict[str, bool]:
    return {criterion.code: criterion.expected for criterion in TRIAL.eligibility} | changed


def the_unmet(age: int = 40, **changed: bool) -> list[str]:
    return evaluate(TRIAL, an_eligible_persons_answers(**changed), age)


def test_a_person_who_answers_as_expected_is_eligible():
    assert the_unmet() == []


@pytest.mark.requirement(18)
@pytest.mark.parametrize(("age", "unmet"), [(17, ["I1"]), (18, []), (75, []), (76, ["I1"])])
def test_18_and_75_are_eligible_and_17_and_76_are_not(age, unmet):
    assert the_unmet(age=age) == unmet


@pytest.mark.requirement(18)
@pytest.mark.parametrize("age", [17, 40, 76])
def test_an_answer_that_denies_the_age_leaves_it_unmet(age):
    assert the_unmet(age=age, I1=False) == ["I1"]


@pytest.mark.requirement(19)
@pytest.mark.parametrize("code", SEVERITY)
def test_any_one_of_the_severity_criteria_suffices(code):
    answers = dict.fromkeys(SEVERITY, False) | {code: True}

    assert the_unmet(**answers) == []


@pytest.mark.requirement(19)
def test_without_any_severity_criterion_all_three_are_unmet():
    assert the_unmet(**dict.fromkeys(SEVERITY, False)) == SEVERITY


@pytest.mark.requirement(19)
def test_where_the_trial_file_says_all_one_severity_criterion_does_not_suffice():
    strict = tuple(
        dataclasses.replace(criterion, combine="all") if criterion.group == "severity" else criterion
        for criterion in TRIAL.eligibility
    )

    unmet = evaluate(
        dataclasses.replace(TRIAL, eligibility=strict), an_eligible_persons_answers(I4A=False), 40
    )

    assert unmet == ["I4A"]


@pytest.mark.parametrize("code", [code for code in CODES if code not in SEVERITY])
def test_each_other_criterion_alone_makes_a_person_ineligible(code):
    answers = an_eligible_persons_answers()

    assert evaluate(TRIAL, answers | {code: not answers[code]}, 40) == [code]


def test_the_unmet_are_named_in_the_order_of_the_trial_file():
    assert the_unmet(age=76, E11=True, E2=True, I3=False) == ["I1", "I3", "E2", "E11"]


@given(answered=st.sets(st.sampled_from(CODES)))
def test_every_criterion_must_be_answered(answered):
    answers = {code: value for code, value in an_eligible_persons_answers().items() if code in answered}
    missing = [code for code in CODES if code not in answered]

    if missing:
        with pytest.raises(AnswersIncomplete) as refusal:
            evaluate(TRIAL, answers, 40)
        assert list(refusal.value.missing) == missing
    else:
        assert evaluate(TRIAL, answers, 40) == []


def test_an_answer_to_no_criterion_is_refused():
    with pytest.raises(AnswersIncomplete) as refusal:
        the_unmet(E99=False)

    assert refusal.value.unknown == ("E99",)
    assert refusal.value.missing == ()


@pytest.mark.requirement(18)
@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        ("2002-03-01", "2020-02-29", 17),
        ("2002-03-01", "2020-03-01", 18),
        ("1944-03-02", "2020-03-01", 75),
        ("1944-03-01", "2020-03-01", 76),
        ("2020-03-01", "2020-03-01", 0),
        ("2020-03-02", "2020-03-01", -1),
        # Born on 29 February: the birthday is 1 March where the year has none.
        ("2004-02-29", "2022-02-28", 17),
        ("2004-02-29", "2022-03-01", 18),
        ("1944-02-29", "2020-02-28", 75),
        ("1944-02-29", "2020-02-29", 76),
    ],
)
def test_age_is_in_whole_years_by_birthdays(born, day, age):
    assert age_on(dt.date.fromisoformat(born), dt.date.fromisoformat(day)) == age


@pytest.mark.requirement(18, 43)
@pytest.mark.parametrize(
    ("consented_at", "age"),
    [
        # 23:59 and 00:00 in Wuhan, both still 29 February in UTC.
        ("2020-02-29T15:59:59+00:00", 17),
        ("2020-02-29T16:00:00+00:00", 18),
        ("2020-02-29T23:59:59+08:00", 17),
        ("2020-03-01T00:00:00+08:00", 18),
    ],
)
def test_age_is_taken_on_the_day_of_consent_at_the_site(consented_at, age):
    found = age_at_consent(
        birth_date=dt.date(2002, 3, 1), consented_at=dt.datetime.fromisoformat(consented_at), zone=WUHAN
    )

    assert found == age


def test_a_consent_without_an_offset_is_refused():
    with pytest.raises(ValueError, match="offset"):
        age_at_consent(
            birth_date=dt.date(2002, 3, 1),
            consented_at=dt.datetime.fromisoformat("2020-03-01T00:00:00"),
            zone=WUHAN,
        )
