"""The verifier of the list, which knows the formats from their documents only, and lists that do not hold."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest

from randomization.domain.beacon import beacon_of
from tests.unit.ceremonies import (
    SEED,
    STRATA,
    TRIAL,
    WITH_RESERVE,
    KeyRing,
    a_key_ring,
    a_trial,
)
from tests.unit.listed import (
    ONE,
    TWO,
    Word,
    a_list,
    an_export,
    arms_of_the_seed,
    ceremony_root,
    change_lines,
    change_slot,
    committed,
    note_lines,
    rows_of,
    sign_again,
    taken,
    the_start,
)
from trialsite.audit import notes
from trialsite.protocol import Arm, Design

ARMS = arms_of_the_seed()
PLACES = [(stratum, slot) for stratum in (ONE, TWO) for slot in range(len(ARMS[stratum]))]
NAMES = ("arm 0 (UC-MSC)", "arm 1 (PLACEBO)")
# A round of drand's quicknet that was published.
ROUND = "b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b"


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> KeyRing:
    return a_key_ring(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def honest(tmp_path_factory, keys) -> Path:
    return a_list(tmp_path_factory.mktemp("honest") / "list", keys)


@pytest.fixture
def copied(honest, tmp_path) -> Path:
    """An honest list that a test may change."""
    return Path(shutil.copytree(honest, tmp_path / "list"))


@pytest.fixture
def judge(keys, tmp_path):
    """The verifier as an outsider runs it: lists in their order, and events if there is a trail."""

    def judged(*folders, events=None, key=False, **options):
        arguments = [f"--list={folder}" for folder in folders]
        arguments += [f"--export={an_export(tmp_path / 'export.zip', events)}"] if events is not None else []
        arguments += [f"--code-break-key={keys.folder / 'code-break-1'}"] if key else []
        arguments += [f"--{name}={value}" for name, value in options.items()]
        return Word("--statistician", keys.public.statistician, *arguments)

    return judged


A, B = TRIAL.arms
THREE = a_trial(arms=(A, B, Arm("C", "HALF", "Half the cells")), ratio=(1, 1, 2), block_sizes=(4, 8))
MTI = a_trial(design=Design(kind="big_stick", mti=3), block_sizes=())


@pytest.mark.requirement(6)
@pytest.mark.parametrize(
    ("trial", "spec"),
    [
        (TRIAL, {"strata": None, "length": 24}),
        (WITH_RESERVE, {"strata": None, "sites": None}),
        (a_trial(ratio=(2, 1), block_sizes=(6, 9)), {"length": 30}),
        (a_trial(ratio=(2, 3), block_sizes=(5, 10)), {"length": 30}),
        (THREE, {"length": 30}),
        (MTI, {"length": 40}),
    ],
    ids=["blocks", "reserved lists", "2:1", "2:3", "three arms", "big stick"],
)
def test_a_list_of_every_design_is_made_again_by_a_second_program(tmp_path, keys, judge, trial, spec):
    made = a_list(tmp_path / "list", keys, trial=trial, **spec)

    word = judge(made, key=True)

    assert (word.code, word.wrong) == (0, [])
    assert word.last.startswith("this is the list that was signed")


@pytest.mark.requirement(6)
def test_a_list_made_elsewhere_is_the_one_that_was_committed_to(tmp_path, keys, judge):
    arms = {ONE: [0, 1, 1, 0], TWO: [1, 0]}
    made = a_list(tmp_path / "list", keys, arms=arms, imported=True, length=None, revealed={"arms": arms})

    assert judge(made, key=True).code == 0


def test_other_arms_brought_out_of_a_list_made_elsewhere_are_found(tmp_path, keys, judge):
    arms, others = {ONE: [0, 1, 1, 0], TWO: [1, 0]}, {ONE: [0, 1, 0, 1], TWO: [1, 0]}
    made = a_list(tmp_path / "list", keys, arms=arms, imported=True, length=None, revealed={"arms": others})

    found = judge(made).at(list=1, stratum=ONE, slot=2)

    assert (found["expected"], found["found"]) == (NAMES[0], NAMES[1])


def with_a_beacon(folder: Path, keys: KeyRing, seed0: bytes) -> Path:
    beacon = beacon_of(number=657413, seed0=seed0, signature=ROUND)
    return a_list(
        folder,
        keys,
        seed=beacon.mix(seed0),
        sealed={"beacon": beacon, "seed0": seed0},
        revealed={"seed0": seed0.hex()},
    )


def test_a_seed_mixed_with_a_beacon_follows_from_what_was_fixed_before(tmp_path, keys, judge):
    made = with_a_beacon(tmp_path / "list", keys, SEED)

    assert judge(made).code == 0


@pytest.mark.parametrize("seed0", [None, "00" * 32])
def test_a_seed_that_does_not_come_from_the_beacon_is_found(tmp_path, keys, judge, seed0):
    made = with_a_beacon(tmp_path / "list", keys, SEED)
    revealed = json.loads((made / "revealed.json").read_text())
    del revealed["seed0"]
    (made / "revealed.json").write_text(json.dumps({**revealed, **({"seed0": seed0} if seed0 else {})}))

    word = judge(made)

    assert word.code == 1
    assert "seed0 is the one named with the beacon" in word.wrong[0]["text"]


def test_another_round_than_the_one_named_is_found(tmp_path, keys, judge):
    made = with_a_beacon(tmp_path / "list", keys, SEED)
    sign_again(made, keys, beacon=note_lines(made)["beacon"].replace("b713718a", "b713718b"))

    (found,) = judge(made).wrong

    assert "the seed is seed0 mixed with the beacon" in found["text"]


@pytest.mark.requirement(6, 16)
@pytest.mark.parametrize("index", range(len(PLACES)))
def test_an_arm_that_was_changed_before_sealing_is_named(tmp_path, keys, judge, index):
    stratum, slot = PLACES[index]
    arms = {name: list(row) for name, row in ARMS.items()}
    arms[stratum][slot] ^= 1
    made = a_list(tmp_path / "list", keys, arms=arms)

    word = judge(made, key=True)

    line, envelope = [found for found in word.wrong if found.get("stratum")]
    for found in (line, envelope):
        assert (found["list"], found["stratum"], found["slot"]) == (1, stratum, slot)
        assert found["expected"] == NAMES[ARMS[stratum][slot]]
        assert found["found"] == NAMES[1 - ARMS[stratum][slot]]
    assert word.code == 1


@pytest.mark.requirement(6)
def test_an_arm_that_was_changed_before_sealing_is_found_by_the_root_alone(tmp_path, keys, judge):
    made = a_list(tmp_path / "list", keys, arms={**ARMS, TWO: [1 - arm for arm in ARMS[TWO]]})
    (made / "slots.jsonl").unlink()

    (found,) = judge(made).wrong

    assert "their root is the one signed" in found["text"]


@pytest.mark.requirement(6)
@pytest.mark.parametrize("index", range(len(PLACES)))
def test_a_leaf_that_was_changed_is_named(copied, keys, judge, index):
    change_slot(copied, keys, index, leaf="ab" * 32)

    found = judge(copied).at(list=1, stratum=PLACES[index][0], slot=PLACES[index][1])

    assert found["found"] == f"the leaf {'ab' * 32}"


@pytest.mark.parametrize("index", range(len(PLACES)))
@pytest.mark.parametrize("wrong", ["A" * 127, "A" * 132, "A" * 127 + "=", "*" * 128, "a copy"])
def test_an_envelope_of_another_form_or_of_another_slot_is_named(copied, keys, judge, index, wrong):
    other = rows_of(copied)[index - 1]["envelope"]
    change_slot(copied, keys, index, envelope=other if wrong == "a copy" else wrong)

    (found,) = judge(copied).wrong

    # The later of two that are the same.
    place = PLACES[max(index, (index - 1) % len(PLACES))] if wrong == "a copy" else PLACES[index]
    assert (found["list"], found["stratum"], found["slot"]) == (1, *place)


@pytest.mark.requirement(56)
@pytest.mark.parametrize("index", range(len(PLACES)))
def test_an_envelope_that_holds_something_else_is_named_by_the_code_break_key(copied, keys, judge, index):
    change_slot(copied, keys, index, envelope=base64.b64encode(bytes(range(96))).decode())

    assert judge(copied).code == 0
    found = judge(copied, key=True).at(list=1, stratum=PLACES[index][0], slot=PLACES[index][1])
    assert found["found"] == "an envelope that does not open"


def test_a_key_of_other_envelopes_accuses_nobody(copied, keys, judge, tmp_path):
    other = tmp_path / "auditor-1"
    other.write_text((keys.folder / "code-break-1").read_text().replace("code-break-1", "auditor-1"))

    word = judge(copied, **{"code-break-key": other})

    assert word.code == 2
    assert "a key of other envelopes" in word.last


@pytest.mark.requirement(56)
def test_two_envelopes_that_changed_places_are_named(copied, keys, judge):
    rows = rows_of(copied)
    change_slot(copied, keys, 0, envelope=rows[1]["envelope"])
    change_slot(copied, keys, 1, envelope=rows[0]["envelope"])

    (found,) = judge(copied, key=True).wrong

    assert (found["stratum"], found["slot"], found["of"]) == (ONE, 0, 2)


@pytest.mark.parametrize("index", range(1, len(PLACES)))
def test_a_number_that_two_slots_have_is_named(copied, keys, judge, index):
    change_slot(copied, keys, index, randomization_number=rows_of(copied)[0]["randomization_number"])

    (found,) = judge(copied).wrong

    assert (found["list"], found["stratum"], found["slot"]) == (1, *PLACES[index])


@pytest.mark.requirement(15)
@pytest.mark.parametrize("index", range(len(PLACES)))
def test_a_number_that_was_changed_after_signing_is_named_by_file_and_by_allocation(
    copied, keys, judge, index
):
    stratum, slot = PLACES[index]
    events = the_start(copied) + [taken(copied, each, stratum=stratum) for each in range(slot + 1)]
    note = (copied / "commitment.note").read_text()
    change_slot(copied, keys, index, randomization_number="R000000")
    (copied / "commitment.note").write_text(note)

    file, allocation = judge(copied, events=events).wrong

    assert "slots.jsonl is the file signed for" in file["text"]
    assert (allocation["stratum"], allocation["slot"]) == (stratum, slot)
    assert allocation["expected"] == "R000000"


@pytest.mark.requirement(6)
@pytest.mark.parametrize("index", range(len(PLACES) - 1))
def test_neighbouring_lines_that_changed_places_are_named(copied, keys, judge, index):
    def swapped(lines: list[str]) -> list[str]:
        lines[index : index + 2] = reversed(lines[index : index + 2])
        return lines

    change_lines(copied, keys, swapped)

    (found,) = judge(copied).wrong

    assert (found["stratum"], found["slot"]) == PLACES[index]
    assert found["found"] == f"that of {json.dumps(PLACES[index + 1][0])}, slot {PLACES[index + 1][1]}"


@pytest.mark.requirement(6)
@pytest.mark.parametrize("index", range(len(PLACES) - 1))
def test_neighbouring_slots_whose_contents_changed_places_are_named(copied, keys, judge, index):
    first, second = rows_of(copied)[index : index + 2]
    for place, row in ((index, second), (index + 1, first)):
        change_slot(
            copied, keys, place, **{name: row[name] for name in ("envelope", "leaf", "randomization_number")}
        )

    (found,) = judge(copied).wrong

    assert (found["stratum"], found["slot"]) == PLACES[index]
    assert found["of"] == 2


@pytest.mark.parametrize("kept", range(len(PLACES)))
def test_a_file_that_ends_early_is_named_with_its_first_missing_slot(copied, keys, judge, kept):
    change_lines(copied, keys, lambda lines: lines[:kept])

    (found,) = judge(copied).wrong

    assert (found["stratum"], found["slot"], found["found"]) == (*PLACES[kept], "the end of slots.jsonl")


def test_a_file_that_ends_within_a_line_or_goes_on_too_long_is_found(copied, keys, judge):
    change_lines(copied, keys, lambda lines: [*lines[:-1], lines[-1][:-1]])
    assert judge(copied).at(stratum=TWO)["slot"] == PLACES[-1][1]

    change_lines(copied, keys, lambda lines: [*lines, "\n", lines[0]])
    (found,) = judge(copied).wrong
    assert found["expected"] == f"{len(PLACES)} lines"


def test_a_line_that_is_not_its_canonical_spelling_is_named(copied, keys, judge):
    change_lines(copied, keys, lambda lines: [lines[0], lines[1].replace(",", ", "), *lines[2:]])

    (found,) = judge(copied).wrong

    assert (found["stratum"], found["slot"]) == (ONE, 1)


@pytest.mark.requirement(6)
def test_another_seed_is_found(copied, judge):
    revealed = json.loads((copied / "revealed.json").read_text())
    (copied / "revealed.json").write_text(json.dumps({**revealed, "seed": "00" * 32}))

    word = judge(copied)

    assert "seed and specification are those committed to" in word.wrong[0]["text"]
    assert word.at(list=1, stratum=ONE, slot=0)["expected"] in NAMES


OTHERS = [
    {"blocks": [4]},
    {"blocks": [6, 4]},
    {"length": 5},
    {"arms": ["PLACEBO", "UC-MSC"]},
    {"strata": [TWO, ONE]},
    {"ratio": [2, 2]},
    {"trial": "00" * 32},
    {"study": "NCT00000000"},
    {"first": {ONE: 0}},
    {"blocks": [3]},
    {"length": 10**12},
    {"strata": [ONE, ONE]},
    {"unknown": 1},
]


@pytest.mark.requirement(6)
@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_another_specification_is_found(copied, judge, other):
    revealed = json.loads((copied / "revealed.json").read_text())
    revealed["spec"].update(other)
    (copied / "revealed.json").write_text(json.dumps(revealed))

    word = judge(copied)

    assert word.code == 1
    assert any("seed and specification are those committed to" in found["text"] for found in word.wrong)
    assert any("the specification is as signed" in found["text"] for found in word.wrong)


@pytest.mark.requirement(5)
def test_no_byte_of_the_note_can_be_altered(copied, judge):
    note = (copied / "commitment.note").read_bytes()
    for place in range(len(note)):
        (copied / "commitment.note").write_bytes(note[:place] + bytes([note[place] ^ 1]) + note[place + 1 :])

        word = judge(copied)

        assert word.code == 1, place
        assert word.places() == [(1, None, None, None)]


@pytest.mark.requirement(5)
@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("study", "NCT00000000"),
        ("root", base64.b64encode(bytes(32)).decode()),
        ("commitment", "00" * 32),
        ("leaves", "999"),
        ("spec", "00" * 32),
        ("trial", "00" * 32),
        ("slots", "00" * 32),
        ("extends", base64.b64encode(bytes(32)).decode()),
        ("beacon", f"drand-quicknet 1 {'00' * 32} {ROUND}"),
        ("title", "irt-list-commitment/v2"),
        ("leaves", "012"),
    ],
)
def test_each_line_of_the_note_is_compared(copied, keys, judge, line, value):
    sign_again(copied, keys, **{line: value})

    word = judge(copied)

    assert word.code == 1
    assert word.wrong[0]["list"] == 1


def test_a_note_of_other_software_is_not_the_one_on_the_trail(copied, keys, judge):
    events = the_start(copied)
    sign_again(copied, keys, software="00" * 32)

    (found,) = judge(copied, events=events).wrong

    assert (found["event"], found["expected"]) == (1, "the note of list 1")


def test_a_note_signed_by_somebody_else_under_the_same_name_is_refused(copied, judge):
    text = (copied / "commitment.note").read_text().split("\n\n")[0] + "\n"
    stranger = notes.SigningKey("statistician-1", bytes(32))
    (copied / "commitment.note").write_text(notes.sign_note(text, stranger))

    assert judge(copied).places() == [(1, None, None, None)]


def an_extension(folder: Path, keys: KeyRing, before: Path, **changes) -> Path:
    sealed = {
        "extends": ceremony_root(before),
        "taken": [row["randomization_number"] for row in rows_of(before)],
    }
    ends = {stratum: len(arms) for stratum, arms in ARMS.items()}
    changes = {"first": ends, "seed": bytes(32), **changes}
    return a_list(folder, keys, sealed={**sealed, **changes.pop("sealed", {})}, **changes)


@pytest.mark.requirement(6)
def test_an_extension_goes_on_where_the_list_ended(tmp_path, honest, keys, judge):
    more = an_extension(tmp_path / "more", keys, honest, strata=[ONE, STRATA[2]])
    end = len(ARMS[ONE])
    start = [*the_start(honest), *(taken(honest, slot) for slot in range(end))]

    word = judge(
        honest,
        more,
        events=[
            *start,
            committed(more, "list.extended"),
            taken(more, end),
            taken(more, 0, stratum=STRATA[2]),
            taken(honest, 0, stratum=TWO),
        ],
    )

    assert (word.code, word.wrong) == (0, [])
    assert word.last.startswith(f"all {end + 3} allocations followed the list")


def test_an_extension_of_another_list_is_found(tmp_path, honest, keys, judge):
    more = an_extension(tmp_path / "more", keys, honest, sealed={"extends": bytes(32)})

    (found,) = judge(honest, more).wrong

    assert (found["list"], found["expected"]) == (2, note_lines(honest)["root"])
    assert judge(more, honest).code == 1


def test_an_extension_that_leaves_slots_out_or_moves_them_is_found(tmp_path, honest, keys, judge):
    for name, first in (("gap", len(ARMS[ONE]) + 1), ("again", len(ARMS[ONE]) - 1)):
        more = an_extension(tmp_path / name, keys, honest, first={ONE: first, TWO: len(ARMS[TWO])})

        (found,) = judge(honest, more).wrong

        assert found["list"] == 2
        assert str(len(ARMS[ONE])) in found["expected"]
        assert str(first) in found["found"]


def test_a_number_of_the_first_list_does_not_come_again_in_an_extension(tmp_path, honest, keys, judge):
    more = an_extension(tmp_path / "more", keys, honest)
    change_slot(more, keys, 2, randomization_number=rows_of(honest)[5]["randomization_number"])

    (found,) = judge(honest, more).wrong

    assert (found["list"], found["stratum"], found["slot"]) == (2, ONE, len(ARMS[ONE]) + 2)
