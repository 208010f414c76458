"""What a trail may tell, and the closed list of what it tells of."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.unit.trails import (
    AUDITOR,
    COMMITMENT,
    ORIGIN,
    SAFETY_DESK,
    Judge,
    a_sealed_event,
    a_trail,
    a_trial,
    an_allocation,
    an_event,
    the_beginning,
)
from trialsite.audit.kinds import MASKED_VISIBLE, SEALED, WRITERS, Kind, Side
from trialsite.sealing import PublicKey


@pytest.fixture
def judge(tmp_path) -> Judge:
    return Judge(tmp_path)


def test_a_trail_begins_with_its_genesis_and_has_one(judge):
    events = a_trial()

    assert "the trail does not begin with its genesis event" in judge.told(events[1:])[0]
    assert judge.told([*events, events[0]]) == ["a genesis event after the first"]
    events[0]["data"]["origin"] = "trial.example/another"
    assert judge.told(events) == [f"begins another log than {ORIGIN}"]


@pytest.mark.parametrize("lost", ["origin", "study"])
@pytest.mark.parametrize("left", [None, "", 7])
def test_a_genesis_names_its_log_and_its_study(judge, lost, left):
    events = a_trial()
    events[0]["data"] = {**events[0]["data"], lost: left}

    assert "the genesis event lacks its origin or study" in judge.told(events)
    del events[0]["data"][lost]
    assert judge.told(events) == ["the genesis event lacks its origin or study"]


@pytest.mark.requirement(11)
def test_slots_are_used_in_order_in_each_stratum(judge):
    skipped = [*a_trial(), an_allocation("p-4", slot=3), an_allocation("p-5", slot=4)]
    again = [*a_trial(), an_allocation("p-4", slot=1)]
    first = [*the_beginning(), an_allocation("p-1", slot=1)]

    assert judge.told(skipped) == ["stratum age=18-59 gives slot 3 where slot 2 is next"]
    assert judge.told(again) == ["stratum age=18-59 gives slot 1 where slot 2 is next"]
    assert judge.told(first) == ["stratum age=18-59 gives slot 1 where slot 0 is next"]


def a_spoiled_slot(slot: int, stratum: str = "emergency=PUREN") -> dict[str, Any]:
    return an_event("slot.spoiled", about={"stratum": stratum}, data={"slot": slot})


@pytest.mark.requirement(11, 83)
def test_of_an_emergency_list_alone_a_slot_may_be_spoiled_and_in_order(judge):
    envelopes = {"stratum": "emergency=PUREN"}
    used = [*a_trial(), a_spoiled_slot(0), an_allocation("p-4", slot=1, **envelopes), a_spoiled_slot(2)]

    assert judge.told(used) == []
    assert judge.told([*used, an_allocation("p-5", slot=2, **envelopes)]) == [
        "stratum emergency=PUREN gives slot 2 where slot 3 is next"
    ]
    assert judge.told([*used, a_spoiled_slot(4)]) == [
        "stratum emergency=PUREN gives slot 4 where slot 3 is next"
    ]
    for wrong in (a_spoiled_slot(2, "age=18-59"), an_event("slot.spoiled")):
        assert judge.told([*used, wrong]) == ["a slot is spoiled that is none of an emergency list"]


def test_a_participant_is_randomized_once(judge):
    events = [*a_trial(), an_allocation("p-1", slot=1, stratum="age=60-75")]

    assert judge.told(events) == ["participant p-1 is randomized a second time"]


@pytest.mark.requirement(5)
def test_the_list_comes_before_the_first_participant(judge):
    beginning = the_beginning()
    late = [*beginning[:2], beginning[3], an_allocation("p-1", slot=0), beginning[2]]

    assert judge.told(late) == [
        "a participant is randomized before the list is committed to",
        "the list is committed to after a participant was randomized",
    ]


@pytest.mark.requirement(5)
def test_the_list_is_committed_to_once(judge):
    other = an_event("list.committed", data={"root": "00" * 32, "note": COMMITMENT})

    assert judge.told([*the_beginning(), other]) == ["a list is committed to a second time"]
    assert judge.told([*the_beginning()[:2], other, *the_beginning()[2:]]) == [
        "a list is committed to a second time",
        "not what the trail's list.committed event says",
    ]


def test_nobody_is_randomized_before_the_trial_is_activated(judge):
    *beginning, activated = the_beginning()

    assert judge.told([*beginning, an_allocation("p-1", slot=0), activated]) == [
        "a participant is randomized before the trial is activated"
    ]


@pytest.mark.parametrize(
    ("missing", "fault"),
    [
        ("kit.released", "kit 7f3a is dispensed, not released"),
        ("kit.dispensed", "kit 7f3a is infused, not dispensed"),
    ],
)
@pytest.mark.requirement(25)
def test_a_kit_goes_through_every_hand(judge, missing, fault):
    assert judge.told([event for event in a_trial() if event["k"] != missing]) == [fault]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("infusion", ["0001", "0002"])
@pytest.mark.requirement(25)
def test_a_kit_is_infused_once(judge, infusion, late):
    about = {"kit": "7f3a", "infusion": infusion}
    again = an_event("infusion.started", about=about, data={"late": late})

    assert judge.told([*a_trial(), again]) == ["kit 7f3a is infused a second time"]


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ([], "not an event of version 1"),
        ({"v": 2}, "not an event of version 1"),
        ({**an_event("kit.released"), "k": "arm.revealed"}, "an event of unknown kind"),
        ({**an_event("kit.released"), "k": ["unblinding"]}, "an event of unknown kind"),
        ({**an_event("trial.loaded"), "t": "yesterday"}, "an event without its time"),
        ({**an_event("trial.loaded"), "t": "2026-02-30T12:00:00.000Z"}, "an event without its time"),
        ({**an_event("trial.loaded"), "t": "2026-03-01T12:00:00.000"}, "an event without its time"),
        ({**an_event("trial.loaded"), "about": None}, "an event without about and data"),
        (an_event("kit.released"), "kit.released does not name its kit"),
        (an_event("kit.released", about={"kit": 7}), "kit.released does not name its kit"),
        (an_event("participant.randomized"), "an allocation lacks its participant, stratum or slot"),
        (
            an_event(
                "participant.randomized", about={"participant": "p", "stratum": "s"}, data={"slot": True}
            ),
            "an allocation lacks its participant, stratum or slot",
        ),
    ],
)
def test_an_event_that_says_nothing_checkable_is_a_finding(judge, event, fault):
    assert judge.told([*a_trial(), event]) == [fault]


def test_an_event_in_another_spelling_is_a_finding(judge):
    bodies = (*a_trail().bodies, json.dumps(an_event("trial.loaded")).encode())

    verdict = judge(a_trail().changed(bodies=bodies))

    assert verdict.of("violation") == ["violation: event 15: not canonical JSON"]


STRANGER = PublicKey("stranger-1", "x25519", bytes(range(3, 35)))


def sealed_with(**changes: Any) -> dict[str, Any]:
    event = a_sealed_event({"step": "intent"})
    return {**event, **changes}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"act": "someone"}, "a sealed event has other fields than kind, time, id and sealed body"),
        ({"id": str(uuid.UUID(int=1))}, "the sealed body belongs to another event"),
        ({"sealed": {}}, "the sealed body is malformed"),
        ({"sealed": None}, "the sealed body is malformed"),
        ({"sealed": {"h": "[]", "w": {}, "c": ""}}, "the sealed body is malformed"),
        ({"sealed": {"h": "{", "w": {}, "c": ""}}, "the sealed body is malformed"),
        ({"sealed": {"h": 1, "w": {}, "c": ""}}, "the sealed body is malformed"),
        ({"sealed": {"h": '{"id":"","kids":[{}]}', "w": {}, "c": ""}}, "the sealed body is malformed"),
    ],
)
@pytest.mark.requirement(78)
def test_a_sealed_event_shows_nothing_more_and_holds_its_own_body(judge, change, fault):
    assert judge.told([*a_trial(), sealed_with(**change)]) == [fault]


def test_a_sealed_body_without_one_of_its_readers_shows(judge):
    stripped = sealed_with()
    del stripped["sealed"]["w"]["auditor-1"]

    assert judge.told([*a_trial(), stripped]) == [
        "the sealed body's readers are not those that its header names"
    ]


@pytest.mark.parametrize("kind", ["unblinding", "preparation"])
@pytest.mark.requirement(78)
def test_a_sealed_body_has_the_one_size_from_the_first_on(judge, kind):
    shorter = a_sealed_event({}, kind=kind, size=2047)
    longer = a_sealed_event({}, kind=kind, size=2049)

    assert judge.told([*a_trial(), a_sealed_event({}, kind=kind)]) == []
    assert (
        judge.told([*a_trial(), shorter, longer])
        == ["the sealed body has another size than that of its kind"] * 2
    )


@pytest.mark.requirement(78)
def test_a_sealed_body_is_for_two_readers_and_the_same_as_all_of_its_kind(judge):
    alone = a_sealed_event({}, AUDITOR)
    instead = a_sealed_event({}, SAFETY_DESK, STRANGER)
    more = a_sealed_event({}, AUDITOR, SAFETY_DESK, STRANGER)
    turned_round = a_sealed_event({}, SAFETY_DESK, AUDITOR)

    assert judge.told([*a_trial(), alone]) == ["the sealed body has fewer than 2 readers"]
    assert (
        judge.told([*a_trial(), sealed_with(), instead, more, turned_round])
        == ["the sealed body has other readers than those before it"] * 2
    )


@pytest.mark.parametrize("wrap", ["", "AAAA", "A" * 108, "A" * 106 + "B=", 7, None, "!"])
@pytest.mark.requirement(78)
def test_a_wrap_that_cannot_be_one_shows(judge, wrap):
    # 80 bytes are 107 characters and one to fill up, of which the last one's spare bits are zero.
    event = sealed_with()
    event["sealed"]["w"]["auditor-1"] = wrap

    assert judge.told([*a_trial(), event]) == ["the sealed body is malformed"]


@pytest.mark.parametrize("respell", [lambda text: text + "\n", lambda text: text + "=", lambda _: "!"])
def test_a_sealed_body_has_one_spelling_so_that_no_copy_hides(judge, respell):
    event = sealed_with()
    event["sealed"]["c"] = respell(event["sealed"]["c"])

    assert judge.told([*a_trial(), event]) == ["the sealed body is malformed"]


def test_a_sealed_body_played_again_shows(judge):
    event = sealed_with()

    assert judge.told([*a_trial(), event, event]) == ["the sealed body is a copy of an earlier one"]


def test_a_sealed_text_inside_a_clear_event_is_checked_too(judge):
    event = a_sealed_event({"what_happened": "he saw the bag"})
    short = a_sealed_event({"what_happened": "he saw the bag"}, size=972)
    clear = an_event("accidental_unblinding.reported", data={"id": event["id"], "sealed": event["sealed"]})
    moved = an_event("accidental_unblinding.reported", data={"id": "another", "sealed": event["sealed"]})
    small = an_event("accidental_unblinding.reported", data={"id": short["id"], "sealed": short["sealed"]})

    assert judge.told([*a_trial(), clear]) == []
    assert judge.told([*a_trial(), moved]) == ["the sealed body belongs to another event"]
    assert judge.told([*a_trial(), small]) == ["the sealed body has another size than that of its kind"]


def test_a_clock_that_went_back_is_noted_and_breaks_nothing(judge):
    events = [*a_trial(), an_event("trial.loaded", minute=60), an_event("trial.loaded", minute=50)]

    verdict = judge(a_trail(events))

    assert verdict.code == 0
    assert "note: event 16: its time lies before that of an earlier event" in verdict.lines


def test_every_kind_has_its_writers():
    assert set(WRITERS) == set(Kind)
    assert all(writers for writers in WRITERS.values())


@pytest.mark.requirement(78)
def test_masked_sides_neither_write_nor_see_what_is_sealed():
    for kind in SEALED:
        assert WRITERS[kind] == {Side.UNMASKED}
        assert kind not in MASKED_VISIBLE


@pytest.mark.requirement(50, 78)
def test_of_what_only_the_unmasked_side_writes_masked_roles_see_releases_alone():
    unmasked_alone = {kind for kind, writers in WRITERS.items() if writers == {Side.UNMASKED}}

    assert unmasked_alone & MASKED_VISIBLE == {Kind.KIT_RELEASED}


@pytest.mark.parametrize(
    ("late", "told"),
    [(True, []), (False, ["kit 0A1C2D3E is infused, not dispensed"])],
)
def test_only_a_late_entry_may_lack_the_handing_over(judge, late, told):
    kit = {"kit": "0A1C2D3E"}
    released = an_event("kit.released", about=kit)
    started = an_event("infusion.started", about=kit, data={"late": late})

    assert judge.told([*the_beginning(), released, started]) == told
    assert judge.told([*the_beginning(), started]) != []
