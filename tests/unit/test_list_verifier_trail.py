"""The verifier of the list and the trail: allocations that did not follow it, and inputs that say nothing."""

from __future__ import annotations

import csv
import shutil
import zipfile
from pathlib import Path

import pytest

from randomization import generator, release
from tests.unit.ceremonies import WITH_RESERVE, KeyRing, a_command, a_key_ring
from tests.unit.listed import (
    ONE,
    TWO,
    Word,
    a_list,
    an_export,
    arms_of_the_seed,
    committed,
    rows_of,
    taken,
    the_start,
)

ARMS = arms_of_the_seed()
RESERVED = "emergency=PUREN"


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> KeyRing:
    return a_key_ring(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def honest(tmp_path_factory, keys) -> Path:
    return a_list(tmp_path_factory.mktemp("honest") / "list", keys)


@pytest.fixture(scope="module")
def reserved(tmp_path_factory, keys) -> Path:
    """A list with an emergency list of six slots for one site."""
    return a_list(tmp_path_factory.mktemp("reserved") / "list", keys, trial=WITH_RESERVE, sites=["PUREN"])


@pytest.fixture
def judge(keys, tmp_path):
    """The verifier as an outsider runs it, with the trail of these events."""

    def judged(*folders, events, **options):
        arguments = [f"--list={folder}" for folder in folders]
        arguments += [f"--{name}={value}" for name, value in options.items()]
        export = an_export(tmp_path / "export.zip", events)
        return Word("--statistician", keys.public.statistician, "--export", export, *arguments)

    return judged


def three_in(folder: Path) -> list:
    """Return a trail of three people in two strata."""
    return [*the_start(folder), taken(folder, 0), taken(folder, 0, stratum=TWO), taken(folder, 1)]


@pytest.mark.requirement(5, 15)
def test_allocations_that_followed_the_list_are_said_to_have_followed_it(honest, judge):
    word = judge(honest, events=three_in(honest))

    assert (word.code, word.wrong) == (0, [])
    assert word.last.startswith("all 3 allocations followed the list; 0 slots were spoiled; not checked: ")
    assert "how a seed, or arms that were given, came about" in word.last
    assert [line["result"] for line in word.lines[-2:]] == ["not checked", "yes"]


@pytest.mark.requirement(15)
def test_note_seed_and_export_are_enough_for_a_yes(honest, judge, tmp_path):
    for name in ("commitment.note", "revealed.json"):
        shutil.copy(honest / name, tmp_path)

    word = judge(tmp_path, events=three_in(honest))

    assert word.code == 0
    assert "not checked: list 1: numbers and envelopes" in word.last
    assert judge(tmp_path, events=[*three_in(honest), taken(honest, 3)]).at(event=5)["slot"] == 2


@pytest.mark.requirement(9, 15)
def test_allocations_in_another_order_are_found(honest, judge):
    start = the_start(honest)
    for order, event, due in (((1, 0), 2, 0), ((0, 2, 1), 3, 1), ((0, 1, 3, 2), 4, 2)):
        word = judge(honest, events=[*start, *(taken(honest, slot) for slot in order)])

        assert word.places() == [(None, event, ONE, due)]
        assert word.wrong[0]["found"] == f"slot {order[event - 2]}"


@pytest.mark.requirement(9)
def test_a_slot_that_was_passed_over_is_found_once(honest, judge):
    word = judge(honest, events=[*the_start(honest), taken(honest, 0), taken(honest, 2), taken(honest, 3)])

    found = word.at(event=3, stratum=ONE, slot=1)
    assert (found["expected"], found["found"], found["of"]) == ("slot 1", "slot 2", 1)


@pytest.mark.requirement(11, 13)
def test_a_slot_that_was_given_twice_is_found(honest, judge):
    again = taken(honest, 0, person="somebody else")

    word = judge(
        honest, events=[*the_start(honest), taken(honest, 0), taken(honest, 1), again, taken(honest, 2)]
    )

    found = word.at(event=4, stratum=ONE)
    assert (found["expected"], found["found"], found["of"]) == ("slot 2", "slot 0", 1)


@pytest.mark.requirement(13)
def test_a_person_who_was_allocated_twice_is_found(honest, judge):
    twice = [taken(honest, 0, person="ada"), taken(honest, 0, person="ada", stratum=TWO)]

    word = judge(honest, events=[*the_start(honest), *twice])

    assert word.at(event=3, stratum=TWO, slot=0)["found"] == "participant ada of event 2"


@pytest.mark.requirement(17)
def test_an_allocation_beyond_the_list_or_in_no_stratum_of_it_is_found(honest, judge):
    end = len(ARMS[ONE])
    all_of_one = [*the_start(honest), *(taken(honest, slot) for slot in range(end))]

    beyond = judge(honest, events=[*all_of_one, taken(honest, end)])
    elsewhere = judge(honest, events=[*all_of_one, taken(honest, 0, stratum="age_group=0-17")])

    assert beyond.at(event=end + 2, stratum=ONE, slot=end)["expected"] == "a slot of a list"
    assert elsewhere.at(event=end + 2, stratum="age_group=0-17", slot=0)["expected"] == "a slot of a list"


@pytest.mark.requirement(15)
def test_a_number_of_another_slot_is_found_at_the_allocation(honest, judge):
    events = three_in(honest)
    numbers = {(row["stratum"], row["slot"]): row["randomization_number"] for row in rows_of(honest)}
    events[4]["about"]["randomization_number"] = numbers[ONE, 2]

    found = judge(honest, events=events).at(event=4, stratum=ONE, slot=1)

    assert (found["expected"], found["found"]) == (numbers[ONE, 1], numbers[ONE, 2])


@pytest.mark.requirement(5)
def test_an_allocation_before_the_list_was_committed_to_is_found(honest, judge):
    genesis, commitment = the_start(honest)

    word = judge(honest, events=[genesis, taken(honest, 0), commitment, taken(honest, 1)])

    assert word.places() == [(None, 1, ONE, 0)]
    assert word.wrong[0]["expected"] == "an earlier event with the note of list 1"


@pytest.mark.requirement(5)
def test_a_list_that_was_never_committed_to_is_found(honest, judge, keys, tmp_path):
    other = a_list(tmp_path / "other", keys, seed=bytes(32))
    genesis = the_start(honest)[0]

    never = judge(honest, events=[genesis])
    instead = judge(honest, events=[genesis, committed(other)])
    too = judge(honest, events=[*the_start(honest), committed(other, "list.extended")])

    assert never.at(list=1)["expected"] == "an event with its note"
    assert instead.at(event=1)["found"] == "another note"
    assert too.at(event=2)["expected"] == "the note of list 2"


def test_a_second_list_that_is_given_and_not_on_the_trail_is_found(honest, judge, keys, tmp_path):
    other = a_list(tmp_path / "other", keys, seed=bytes(32))

    word = judge(honest, other, events=three_in(honest))

    assert [found["list"] for found in word.wrong if found["expected"] == "an event with its note"] == [2]


@pytest.mark.requirement(11)
def test_events_that_do_not_count_on_are_found(honest, keys, tmp_path):
    export = an_export(tmp_path / "gap.zip", three_in(honest))
    with zipfile.ZipFile(export) as bundle:
        lines = bundle.read("entries.jsonl").splitlines(keepends=True)
    with zipfile.ZipFile(export, "w") as bundle:
        bundle.writestr("entries.jsonl", b"".join([*lines[:3], *lines[4:]]))

    word = Word("--statistician", keys.public.statistician, "--list", honest, "--export", export)

    assert word.wrong[0]["event"] == 3
    assert (word.wrong[0]["expected"], word.wrong[0]["found"]) == ("event 3", "event 4")


def test_a_spoiled_envelope_uses_up_its_slot_in_an_emergency_list_only(reserved, judge):
    def used(slot, **named):
        return taken(reserved, slot, stratum=RESERVED, **named)

    start = the_start(reserved)
    spoiled = used(1, kind="slot.spoiled")
    ordinary = taken(reserved, 0, kind="slot.spoiled")

    word = judge(reserved, events=[*start, used(0), spoiled, used(2)])
    assert word.last.startswith("all 2 allocations followed the list; 1 slots were spoiled; ")
    found = judge(reserved, events=[*start, used(0), spoiled, used(1)]).at(event=4)
    assert (found["stratum"], found["slot"], found["found"]) == (RESERVED, 2, "slot 1")
    found = judge(reserved, events=[*start, ordinary, taken(reserved, 1)]).at(event=2)
    assert (found["stratum"], found["found"]) == (ONE, "a spoiled slot")


@pytest.mark.requirement(6, 15)
def test_who_had_which_arm_is_written_once_all_of_it_holds(honest, judge, tmp_path):
    file = tmp_path / "allocations.csv"
    events = three_in(honest)

    assert judge(honest, events=[*events, taken(honest, 3)], allocations=file).code == 1
    assert not file.exists()
    assert judge(honest, events=events, allocations=file).code == 0

    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    numbers = {(row["stratum"], row["slot"]): row["randomization_number"] for row in rows_of(honest)}
    assert [row["participant"] for row in rows] == [f"{ONE}-0", f"{TWO}-0", f"{ONE}-1"]
    for row in rows:
        place = row["stratum"], int(row["slot"])
        arm = ARMS[place[0]][place[1]]
        assert (row["arm"], row["treatment"]) == (str(arm), ("UC-MSC", "PLACEBO")[arm])
        assert row["randomization_number"] == numbers[place]
    assert judge(honest, events=events, allocations=file).code == 2, "what is there is never replaced"


@pytest.mark.requirement(6, 57)
def test_what_two_officers_bring_out_of_a_ceremony_is_checked_and_proved(keys, tmp_path):
    made, half, proof = tmp_path / "list", tmp_path / "half.json", tmp_path / "proof.json"
    revealed, statistician = made / "revealed.json", keys.public.statistician
    known = ["--half", half, "--public-keys", keys.folder / "public.json"]

    assert generator.main(a_command(keys, made)) == 0
    for step in (
        ["begin", "--list", made, "--key", keys.folder / "release-3", "--with", "release-2", "--out", half],
        ["finish", "--list", made, "--key", keys.folder / "release-2", *known, "--out", revealed],
        ["prove", "--revealed", revealed, "--stratum", TWO, "--slot", "3", "--out", proof],
    ):
        assert release.main([str(word) for word in step]) == 0

    whole = Word(
        "--statistician", statistician, "--list", made, "--code-break-key", keys.folder / "code-break-1"
    )
    assert (whole.code, whole.wrong) == (0, [])
    assert (
        Word("--statistician", statistician, "--proof", proof, "--note", made / "commitment.note").code == 0
    )
