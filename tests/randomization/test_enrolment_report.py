"""The report of enrolment: totals, errors of randomization, and never an arm."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from randomization.models import Discontinuation, Participant, Transfer
from randomization.services.enrolment_report import enrolment_report
from tests.randomization.breaking import a_randomized_participant
from tests.randomization.test_consent import withdraw
from tests.randomization.test_randomization_errors import (
    TRUE,
    USED,
    duplicate,
    ineligible,
    post,
    wrong_stratum,
)
from tests.world import World, a_participant, answers, born
from trialsite.accounts.access import NotPermitted
from trialsite.clock.services import trial_now


def the_report(world: World, who: str = "study_manager") -> dict[str, Any]:
    answer = world.client(who).get("/api/v1/reports/enrolment")
    assert answer.status_code == 200, answer.content
    report: dict[str, Any] = answer.json()
    return report


def randomize(world: World, number: int, **other: Any) -> list[Participant]:
    return [a_randomized_participant(world, **other).participant for _ in range(number)]


@pytest.mark.requirement(88)
def test_everybody_is_counted_once_where_they_stand(world):
    a_participant(world, eligibility=answers(E5=True))
    a_participant(world, eligibility=answers(E5=True, E1=True))
    a_participant(world)
    withdraw(world, a_participant(world))
    first, *_ = randomize(world, 2)
    Discontinuation.objects.create(
        participant=first, scope="treatment", reason="wish", at=trial_now(), recorded_at=trial_now(),
        recorded_by=world.person("investigator"),
    )  # fmt: skip

    report = the_report(world)

    assert {name: report[name] for name in ("screened", "screen_failed", "randomized")} == {
        "screened": 6,
        "screen_failed": 2,
        "randomized": 2,
    }
    assert report["screen_failed_by_criterion"] == {"E1": 1, "E5": 2}
    assert report["eligible_not_randomized"] == 1
    assert report["discontinued"] == {"treatment": 2, "study": 0}


@pytest.mark.requirement(12, 88)
def test_strata_are_counted_as_used_and_as_true(world):
    moved, *_ = randomize(world, 3)
    randomize(world, 1, birth_date=born(years_ago=66))
    wrong_stratum(world, moved, TRUE)

    counts = {json.dumps(row["stratum"]): (row["used"], row["true"]) for row in the_report(world)["strata"]}

    assert counts[json.dumps(USED)] == (3, 2)
    assert counts[json.dumps(TRUE)] == (0, 1)
    assert len(counts) == 4
    assert sum(used for used, _ in counts.values()) == sum(true for _, true in counts.values()) == 4


@pytest.mark.requirement(89)
def test_the_rate_counts_participants_and_not_errors(world):
    wrong, other, *_ = randomize(world, 4)
    wrong_stratum(world, wrong, TRUE)
    ineligible(world, wrong, "E5")
    ineligible(world, wrong, "E1")
    post(world, wrong, "randomized-in-error")

    report = the_report(world)

    assert report["error_rate"] == {
        "participants": 1,
        "randomized": 4,
        "rate_percent": "25.00",
        "interval_95_percent": ["4.56", "69.94"],
        "level": "high",
    }
    assert report["errors_by_kind"] == {
        "randomized_in_error": 1,
        "wrong_stratum": 1,
        "ineligible": 1,
        "duplicate": 0,
    }
    duplicate(world, wrong, other)
    assert the_report(world)["error_rate"]["participants"] == 2


@pytest.mark.requirement(89)
def test_what_proved_right_after_all_is_no_error_of_the_rate(world):
    (participant,) = randomize(world, 1)
    wrong_stratum(world, participant, TRUE)
    wrong_stratum(world, participant, USED)

    assert the_report(world)["error_rate"]["level"] == "none"


@pytest.mark.requirement(89)
def test_a_wrong_stratum_that_a_correction_showed_counts_although_nobody_reported_it(world):
    (participant,) = randomize(world, 1)
    Participant.objects.filter(pk=participant.pk).update(true_stratum_levels={"age_group": "60-75"} | TRUE)

    assert the_report(world)["errors_by_kind"]["wrong_stratum"] == 1


@pytest.mark.requirement(89)
def test_an_error_counts_at_the_site_that_enrolled_also_after_a_transfer(world):
    moved, _ = randomize(world, 2)
    randomize(world, 3, by="investigator_2", site="HANKOU")
    ineligible(world, moved, "E5")
    for stop, goal in (("PUREN", "HANKOU"), ("HANKOU", "PUREN"), ("PUREN", "HANKOU")):
        Transfer.objects.create(
            participant=moved, from_site_id=stop, to_site_id=goal, reason="Ward closed.",
            at=trial_now(), recorded_by=world.person("study_manager"),
        )  # fmt: skip
    Participant.objects.filter(pk=moved.pk).update(site="HANKOU")

    sites = {row["site"]: row for row in the_report(world)["sites"]}

    assert [(row["randomized"], row["error_rate"]["level"]) for row in sites.values()] == [
        (3, "none"),
        (2, "high"),
    ]
    assert the_report(world, "investigator")["randomized"] == 2


def test_an_investigator_reads_the_counts_of_their_own_site_only(world):
    randomize(world, 2)
    randomize(world, 1, by="investigator_2", site="HANKOU")

    assert [row["site"] for row in the_report(world, "investigator")["sites"]] == ["PUREN"]
    assert the_report(world, "investigator_2")["randomized"] == 1
    assert the_report(world, "monitor")["randomized"] == 3
    with pytest.raises(NotPermitted):
        enrolment_report(by=world.person("nurse"), at=trial_now())


def test_before_anybody_is_screened_there_is_no_rate(world):
    report = the_report(world)

    assert report["screened"] == 0
    assert report["error_rate"]["rate_percent"] is None
    assert report["error_rate"]["interval_95_percent"] is None
    assert dt.datetime.fromisoformat(report["at"]) <= trial_now()
