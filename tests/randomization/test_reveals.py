"""Where codes were broken, for the statistician who works out offline what it tells of the rest."""

from __future__ import annotations

import json

import pytest

from randomization import predictability
from randomization.models import Unblinding
from tests.randomization.breaking import a_randomized_participant, ask, forget_used_codes
from trialsite import protocol
from trialsite.clock.services import trial_now

pytestmark = pytest.mark.usefixtures("unmasked_face")

PATH = "/api/v1/reveals"


def reveals(world, **query):
    answer = world.client("statistician").get(PATH, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.mark.requirement(65)
def test_the_statistician_sees_where_a_code_was_broken_and_neither_arm_nor_person(world):
    first, second, _third = [a_randomized_participant(world) for _ in range(3)]
    ask(world, participant=second.participant_id)

    answer = reveals(world)

    assert answer["count"] == 1
    (shown,) = answer["results"]
    assert set(shown) == {"stratum", "slot", "revealed_at", "kind", "used"}
    assert (shown["stratum"], shown["slot"], shown["kind"]) == (first.stratum_id, 1, "emergency")
    assert shown["used"] == 3
    for never in (second.participant_id, second.participant.screening_number, second.randomization_number):
        assert str(never) not in json.dumps(answer)


def test_reveals_come_in_their_order_with_the_slots_that_were_used_by_then(world):
    first = a_randomized_participant(world)
    ask(world, key="one", participant=first.participant_id)
    later = [a_randomized_participant(world) for _ in range(2)]
    forget_used_codes()
    ask(world, key="two", participant=later[0].participant_id)

    shown = [(each["slot"], each["used"]) for each in reveals(world)["results"]]

    assert shown == [(0, 1), (1, 3)]


def test_each_stratum_counts_its_own_slots(world):
    a_randomized_participant(world)
    other = a_randomized_participant(world, strata={"respiratory_support": "high_flow_or_ventilation"})
    ask(world, participant=other.participant_id)

    (shown,) = reveals(world)["results"]

    assert (shown["stratum"], shown["slot"], shown["used"]) == (other.stratum_id, 0, 1)
    assert reveals(world, stratum=other.stratum_id)["count"] == 1
    assert reveals(world, stratum="age_group=none")["count"] == 0


def test_what_was_asked_for_and_never_shown_told_nobody_anything(world, allocation):
    Unblinding.objects.create(
        participant=allocation.participant,
        requested_by=world.person("investigator"),
        category="emergency",
        reveal_to="requester",
        requested_at=trial_now(),
        intent_position=1,
    )

    assert reveals(world)["results"] == []


@pytest.mark.requirement(54, 65)
@pytest.mark.parametrize(
    "who", ["investigator", "pharmacist", "monitor", "study_manager", "preparer", "safety_officer", "auditor"]
)
def test_nobody_but_the_statistician_sees_positions(world, allocation, who):
    ask(world, participant=allocation.participant_id)

    answer = world.client(who).get(PATH)

    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    assert allocation.stratum_id not in answer.content.decode()


def test_the_saved_answer_is_what_the_offline_command_reads(world, tmp_path, capsys):
    broken = [a_randomized_participant(world) for _ in range(4)][2]
    ask(world, participant=broken.participant_id)
    saved = tmp_path / "reveals.json"
    saved.write_bytes(world.client("statistician").get(PATH).content)
    trial = str(protocol.DEFAULT_TRIAL_FILE)

    status = predictability.main(["--trial", trial, "--reveals", str(saved), "--json"])

    assert status == 0
    (stratum,) = json.loads(capsys.readouterr().out)["strata"]
    (reveal,) = stratum["reveals"]
    assert (stratum["stratum"], reveal["slot"], reveal["used"]) == (broken.stratum_id, 2, 4)
    assert reveal["rise"] == pytest.approx(0.5)
