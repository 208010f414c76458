"""Extensions: another list whose slots go on where the lists before end, and that moves none of them."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from randomization import generator
from randomization.domain.schedule import spec_of
from tests.unit.ceremonies import (
    STRATA,
    KeyRing,
    a_command,
    a_key_ring,
    a_trial_file,
    the_arms_in,
    the_commitment_in,
    the_slots_in,
    what_is_under,
)
from trialsite import protocol as protocols

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return a_key_ring(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def the_first(keys, tmp_path_factory) -> Path:
    """A trial's own list, with reserved ones; its tests copy it and write nothing there."""
    folder = tmp_path_factory.mktemp("first") / "list"
    assert generator.main(a_command(keys, folder)) == 0
    return folder


@pytest.fixture
def make(keys, tmp_path, capsys) -> Make:
    """Run the generator; return the list's folder, or fail with what it said."""

    def made(name: str, *more: object, **changed: object) -> Path:
        status = generator.main(a_command(keys, tmp_path / name, *more, **changed))
        said = capsys.readouterr().err
        if status:
            raise ValueError(said)
        return tmp_path / name

    return made


def ends_of(folder: Path) -> dict[str, int]:
    return {slot.stratum: slot.slot + 1 for slot in the_slots_in(folder)}


@pytest.mark.requirement(6, 17)
def test_an_extension_goes_on_where_each_stratum_ends(keys, the_first, make):
    before, ends = what_is_under(the_first), ends_of(the_first)

    extension = make("more", "--extends", the_first)

    slots = the_slots_in(extension)
    for stratum in STRATA:
        positions = [slot.slot for slot in slots if slot.stratum == stratum]
        assert positions == list(range(ends[stratum], ends[stratum] + len(positions)))
        assert len(positions) >= 12
    assert {slot.stratum for slot in slots} == set(STRATA)
    assert the_commitment_in(extension).extends == the_commitment_in(the_first).root
    assert the_commitment_in(the_first).extends is None
    assert what_is_under(the_first) == before
    # Each slot opens to an arm under the extension's own root.
    assert sum(map(len, the_arms_in(extension, keys).values())) == len(slots)


@pytest.mark.requirement(21)
def test_no_number_of_the_lists_before_comes_again(the_first, make, monkeypatch):
    used = [int(slot.randomization_number[1:]) for slot in the_slots_in(the_first)]
    draws = iter([*used, *range(10**6)])
    below = lambda _bound: next(draws)  # noqa: E731
    monkeypatch.setattr(generator, "Ceremony", functools.partial(generator.Ceremony, below=below))

    extension = make("more", "--extends", the_first)

    numbers = {slot.randomization_number for slot in the_slots_in(extension)}
    assert numbers.isdisjoint(slot.randomization_number for slot in the_slots_in(the_first))
    assert {len(number) for number in numbers} == {7}


@pytest.mark.requirement(6)
def test_a_second_extension_follows_the_first(the_first, make):
    second = make("second", "--extends", the_first, "--strata", STRATA[0])
    third = make("third", "--extends", the_first, second, "--strata", STRATA[1], STRATA[0])

    firsts = {slot.stratum: slot.slot for slot in reversed(the_slots_in(third))}
    assert firsts == {STRATA[0]: ends_of(second)[STRATA[0]], STRATA[1]: ends_of(the_first)[STRATA[1]]}
    # In the order of the trial file, whatever order was asked for.
    assert list(ends_of(third)) == [STRATA[0], STRATA[1]]
    assert the_commitment_in(third).extends == the_commitment_in(second).root


def test_a_reserved_list_is_extended_only_if_that_is_asked_for(the_first, make):
    extension = make("more", "--extends", the_first, "--strata", "--sites", "HANKOU")

    assert list(ends_of(extension)) == ["emergency=HANKOU"]
    assert the_slots_in(extension)[0].slot == ends_of(the_first)["emergency=HANKOU"]
    assert [path.name for path in (extension / "emergency").iterdir()] == ["HANKOU.json"]


@pytest.mark.requirement(6)
def test_a_stratum_that_an_amendment_adds_begins_at_its_first_slot(the_first, make, tmp_path):
    levels = '"high_flow_or_ventilation"]', '"high_flow_or_ventilation", "none"]'
    amended = a_trial_file(tmp_path, levels)
    new = [code for code in spec_of(protocols.load(amended)).strata if code.endswith("=none")]

    extension = make("more", "--extends", the_first, "--strata", *new, trial=amended)

    assert {slot.stratum for slot in the_slots_in(extension)} == set(new)
    assert the_slots_in(extension)[0].slot == 0
    assert the_commitment_in(extension).trial == protocols.load(amended).content_hash


# By the notes alone, for a statistician who keeps no folder.


@pytest.mark.requirement(6, 21)
def test_a_note_and_the_positions_suffice_and_the_numbers_are_longer(the_first, make, tmp_path):
    ends = ends_of(the_first)
    (tmp_path / "first.json").write_text(json.dumps({STRATA[0]: ends[STRATA[0]]}))
    said = f"{STRATA[1]}={ends[STRATA[1]]}"

    extension = make(
        "more", "--strata", *STRATA[:2], "--extends", the_first / "commitment.note",
        "--first-slots", tmp_path / "first.json", said,
    )  # fmt: skip

    firsts = {slot.stratum: slot.slot for slot in reversed(the_slots_in(extension))}
    assert firsts == {stratum: ends[stratum] for stratum in STRATA[:2]}
    # Numbers that are not known cannot be met by those that are longer.
    assert {len(slot.randomization_number) for slot in the_slots_in(extension)} == {8}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([], "give --first-slots"),
        (["--first-slots", f"{STRATA[0]}=x"], "No such file"),
        (["--first-slots", "{folder}/slots.jsonl"], "not JSON"),
        (["--first-slots", "{folder}/seed.json"], "not a whole number"),
        (["--first-slots", "age_group=18-59=7"], "not made"),
        (["--strata", STRATA[0], "--first-slots", f"{STRATA[1]}=7"], "not made"),
    ],
)
def test_without_the_folders_the_positions_must_be_said(the_first, make, more, reason):
    more = [text.replace("{folder}", str(the_first)) for text in more]

    with pytest.raises(ValueError, match=reason):
        make("more", "--extends", the_first / "commitment.note", *more)


@pytest.mark.parametrize("position", [0, 1, 400])
def test_a_position_that_the_folders_contradict_is_refused(the_first, make, position):
    with pytest.raises(ValueError, match="ends before slot"):
        make("more", "--extends", the_first, "--first-slots", f"{STRATA[0]}={position}")


def test_lists_in_the_wrong_order_or_with_one_missing_are_refused(the_first, make):
    second = make("second", "--extends", the_first)

    for places in ([second], [second, the_first], [the_first, the_first]):
        with pytest.raises(ValueError, match="oldest first"):
            make("third", "--extends", *places)


def test_a_list_that_another_signed_or_that_was_altered_is_not_extended(the_first, make, tmp_path):
    copy = shutil.copytree(the_first, tmp_path / "copy")
    slots = copy / "slots.jsonl"
    slots.write_text("".join(slots.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="not the file that was signed"):
        make("more", "--extends", copy)

    note = copy / "commitment.note"
    note.write_text(note.read_text().replace("NCT", "NCX", 1))
    with pytest.raises(ValueError, match=r"commitment|signature"):
        make("more", "--extends", copy)


def test_a_list_of_another_study_is_not_extended(the_first, make, tmp_path):
    other = a_trial_file(tmp_path, ('protocol = "NCT04293692"', 'protocol = "NCT00000001"'))

    with pytest.raises(ValueError, match="of the study NCT04293692"):
        make("more", "--extends", the_first, trial=other)


def test_an_extension_may_itself_be_a_list_made_elsewhere(keys, the_first, make, tmp_path):
    rows = "".join(f"{STRATA[0]},{slot},{arm}\n" for slot, arm in enumerate("ABBABAAB"))
    (tmp_path / "list.csv").write_text(f"stratum,slot,arm\n{rows}")

    extension = make(
        "more", "--extends", the_first, "--strata", STRATA[0], "--from-csv", tmp_path / "list.csv", length=8
    )

    assert the_arms_in(extension, keys) == {STRATA[0]: [0, 1, 1, 0, 1, 0, 0, 1]}
    assert the_slots_in(extension)[0].slot == ends_of(the_first)[STRATA[0]]
