"""Lists made elsewhere: what SAS, R and Stata write is read, and no refusal tells an arm."""

from __future__ import annotations

import base64
import io
import json
import math
import random
from collections.abc import Callable

import pytest

from randomization import generator
from randomization.domain.imported_list import Fault, ListFaulty, read_list
from randomization.domain.schedule import Spec, spec_of
from tests.unit.ceremonies import (
    STRATA,
    TRIAL,
    WITH_RESERVE,
    KeyRing,
    a_command,
    a_key_ring,
    a_trial,
    the_arms_in,
    the_commitment_in,
    what_is_under,
)

# Blocks of 4 and 6 by turns, 10 slots a stratum.
SEQUENCE = "ABBABAABAB"
BLOCKS = "1111222222"
HEAD = "stratum,block,slot,arm"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return a_key_ring(tmp_path_factory.mktemp("keys"))


def rows_of(strata: tuple[str, ...] = STRATA, *, first: int = 1) -> list[list[str]]:
    return [
        [stratum, block, str(slot), arm]
        for stratum in strata
        for slot, (block, arm) in enumerate(zip(BLOCKS, SEQUENCE, strict=True), start=first)
    ]


def a_csv(rows: list[list[str]] | None = None, *, head: str = HEAD) -> str:
    return "".join(f"{line}\n" for line in [head, *map(",".join, rows_of() if rows is None else rows)])


def the_spec(trial=TRIAL, **more) -> Spec:
    return spec_of(trial, length=8, imported=True, **more)


def read(text: str | bytes, *, trial=TRIAL, length: int = 8, **more) -> dict[str, str]:
    content = text if isinstance(text, bytes) else text.encode()
    arms = read_list(content, protocol=trial, spec=the_spec(trial, **more), length=length)
    return {stratum: "".join("ABC"[arm] for arm in row) for stratum, row in arms.items()}


def told(text: str | bytes, **more) -> list[str]:
    with pytest.raises(ListFaulty) as refusal:
        read(text, **more)
    return [str(fault) for fault in refusal.value.faults]


THE_LIST = dict.fromkeys(STRATA, SEQUENCE)


def by_factor(separator: str = ",") -> str:
    """As SAS writes a data set of factors: upper-case names, and every text quoted."""
    lines = ['"SEQUENCE","ARM","AGE_GROUP","RESPIRATORY_SUPPORT"']
    for stratum, _, slot, arm in rows_of(first=0):
        age, support = (part.partition("=")[2] for part in stratum.split("|"))
        treatment = {"A": "UC-MSC", "B": "PLACEBO"}[arm]
        lines.append(f'{slot},"{treatment}","{age}","{support}"')
    return "\r\n".join(lines).replace(",", separator)


@pytest.mark.requirement(5)
@pytest.mark.parametrize(
    "text",
    [
        a_csv(),
        a_csv(rows_of(first=0)),
        a_csv(random.Random(1).sample(rows_of(), 40)),
        a_csv().replace("\n", "\r\n"),
        a_csv().replace("\n", "\r"),
        "\ufeff" + a_csv(),
        a_csv().replace(",", ";"),
        a_csv().replace(",", "\t"),
        a_csv().replace(",", " , "),
        a_csv() + "\n,,,\n\n",
        a_csv([row[:1] + row[2:] for row in rows_of()], head="stratum,slot,arm"),
        by_factor(),
        by_factor().lower(),
        by_factor(";"),
    ],
)
def test_a_list_is_read_as_common_programs_write_it(text):
    assert read(text) == THE_LIST


@pytest.mark.requirement(5)
def test_reserved_lists_are_strata_of_the_file_too():
    strata = (*STRATA, "emergency=PUREN", "emergency=HANKOU")

    assert read(a_csv(rows_of(strata)), trial=WITH_RESERVE) == dict.fromkeys(strata, SEQUENCE)
    assert told(a_csv(rows_of(strata[:-1])), trial=WITH_RESERVE) == ["stratum 'emergency=HANKOU' is missing"]
    only = read(a_csv(rows_of(strata[-1:])), trial=WITH_RESERVE, strata=[], sites=["HANKOU"])
    assert list(only) == ["emergency=HANKOU"]


def changed(row: int, column: int, value: str) -> str:
    rows = rows_of()
    rows[row - 2][column] = value
    return a_csv(rows)


def swapped(one: int, other: int, column: int) -> str:
    rows = rows_of()
    a, b = rows[one - 2], rows[other - 2]
    a[column], b[column] = b[column], a[column]
    return a_csv(rows)


UNREADABLE = "the arm is neither an arm's letter nor a treatment's code of the trial file"
NO_STRATUM = "the stratum is not one of this list's"
NO_RATIO = "the block does not keep the ratio 1:1"
NO_SLOT = "slot is not a whole number of 0 or more"


@pytest.mark.requirement(5)
@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["the file is empty"]),
        (b"\xff\xfes\x00", ["the file is not UTF-8 text"]),
        (a_csv().replace("A\n", '"A\n', 1), ["the file is not CSV: unexpected end of data"]),
        (a_csv(head="stratum,block,slot"), ["row 1: column 'arm' is missing"]),
        (a_csv(head="stratum,block,slot,slot"), [
            "row 1: column 'arm' is missing", "row 1: two columns have the same name",
        ]),
        (a_csv(head="stratum,block,number,arm"), [
            "row 1: there must be one column 'slot' or 'sequence'",
            "row 1: 1 of 4 columns are not known here: leave them out",
        ]),
        (a_csv(head="site,block,slot,arm"), [
            "row 1: column 'age_group' is missing",
            "row 1: column 'respiratory_support' is missing",
            "row 1: 1 of 4 columns are not known here: leave them out",
        ]),
        (changed(5, 3, "A,extra"), ["row 5: there are not as many cells as columns"]),
        (changed(7, 2, "six"), [f"row 7: {NO_SLOT}"]),
        (changed(7, 2, "-6"), [f"row 7: {NO_SLOT}"]),
        (changed(7, 3, "Control group"), [f"row 7: {UNREADABLE}"]),
        (changed(7, 3, ""), [f"row 7: {UNREADABLE}"]),
        (changed(7, 1, ""), ["row 7: the block is not named"]),
        (changed(7, 0, "age_group=18-59"), [f"row 7: {NO_STRATUM}"]),
        (by_factor().replace("18-59", "18-60", 1), [f"row 2: {NO_STRATUM}"]),
        (changed(7, 2, "5"), ["row 7: the slot is there already"]),
        (changed(2, 2, "11"), ["row 3: the stratum begins with another slot than 0 or 1"]),
        (changed(11, 2, "12"), ["row 11: the slot does not follow the one before it: there is a gap"]),
        (swapped(5, 6, 3), [f"row 2: {NO_RATIO}"]),
        (changed(11, 1, "1"), [f"row 6: {NO_RATIO}"]),
        (changed(2, 1, "2"), [f"row 2: {NO_RATIO}"]),
        (a_csv(rows_of()[:-1]), [f"row 36: {NO_RATIO}"]),
        (a_csv(rows_of()[:-6]), [f"stratum {STRATA[3]!r} has 4 slots, and needs 8"]),
        (a_csv(rows_of(STRATA[:3])), [f"stratum {STRATA[3]!r} is missing"]),
        (a_csv([]), [f"stratum {stratum!r} is missing" for stratum in STRATA]),
    ],
)  # fmt: skip
def test_a_faulty_list_is_refused_with_the_reason(text, faults):
    assert told(text) == faults


def test_a_block_is_not_taken_up_again_after_another():
    rows = [[STRATA[0], "1221"[slot // 4], str(slot), "ABBA"[slot % 4]] for slot in range(16)]

    assert told(a_csv(rows), strata=[STRATA[0]]) == ["row 14: the block is taken up again after another"]


@pytest.mark.requirement(5)
def test_twenty_faults_are_told():
    refusal = ListFaulty([Fault(row, "is wrong") for row in range(2, 42)])

    assert len(refusal.faults) == 40
    assert str(refusal).count("\n") == 20
    assert str(refusal).endswith("and 20 more")


def written(arms: str, *, head: str = HEAD, blocks: str = BLOCKS) -> str:
    """A list in which every arm has the name that it has here, under these columns."""
    name = dict(zip("AB", arms.split("/"), strict=True))
    return a_csv(
        [[row[0], blocks[n % 10], row[2], name[row[3]]] for n, row in enumerate(rows_of())], head=head
    )


@pytest.mark.requirement(61)
@pytest.mark.parametrize(
    ("arms", "changes"),
    [
        # One arm is misspelt, or both are; or its name has a separator, or is missing, or is a number.
        ("UCMSC/PLACEBO", {}),
        ("UCMSC/Placebo group", {}),
        ("A/", {}),
        ("A/Placebo, saline", {}),
        ('A/"', {}),
        ("1/PLACEBO", {"head": "stratum,block,arm,slot"}),
        # Columns under each other's names; blocks that are named like arms; no row of names.
        ("A/B", {"head": "stratum,block,arm,slot"}),
        ("A/B", {"head": "arm,block,slot,stratum"}),
        ("A/B", {"head": "stratum,arm,slot,block"}),
        ("A/B", {"head": "stratum,arm,slot,block", "blocks": "AAAABBBBBB"}),
        ("/B", {"head": "stratum,arm,slot,block", "blocks": "AAAABBBBBB"}),
        ("A/B", {"head": f"{STRATA[0]},1,1,A"}),
        ("PLACEBO/UC-MSC", {"head": f"{STRATA[0]},1,1,PLACEBO"}),
    ],
)
def test_a_refusal_tells_no_arm_and_does_not_change_when_the_arms_are_exchanged(arms, changes):
    one, other = arms.split("/")

    said, exchanged = (told(written(text, **changes)) for text in (arms, f"{other}/{one}"))

    assert said == exchanged
    told_rows = [fault for fault in said if fault.startswith("row ") and not fault.startswith("row 1: ")]
    # One of a stratum at the most.
    assert len(told_rows) <= len(STRATA)
    named = " ".join(said).replace("'arm'", "")
    assert not any(f"'{name}'" in named or f"'{name.lower()}'" in named for name in (one, other))
    assert not any(name in named for name in (one, other) if len(name) > 1)


def unblocked(sequence: str) -> str:
    rows = [[STRATA[0], str(slot), arm] for slot, arm in enumerate(sequence)]
    return a_csv(rows, head="stratum,slot,arm")


def is_plausible(sequence: str, *, trial=TRIAL) -> bool:
    try:
        read(unblocked(sequence), trial=trial, length=1, strata=[STRATA[0]])
    except ListFaulty as refusal:
        return "further from" not in str(refusal)
    return True


@pytest.mark.requirement(1)
@pytest.mark.parametrize(
    ("sequence", "plausible"),
    [
        ("A" * 30 + "B" * 30, True),
        ("A" * 39 + "B" * 21, True),
        ("A" * 40 + "B" * 20, False),
        ("A" * 20 + "B" * 40, False),
        ("AB", True),
        ("AAAB", True),
        ("AAAA", False),
        ("A", False),
        ("BBBBBBBA", True),
        ("BBBBBBBBBBA", False),
    ],
)
def test_without_blocks_a_stratum_is_as_balanced_as_chance_alone_would_have_it(sequence, plausible):
    assert is_plausible(sequence) is plausible


@pytest.mark.requirement(1)
def test_the_rule_for_lists_without_blocks_refuses_one_simple_randomization_in_a_hundred():
    draws = random.Random(7)
    lists = ["".join(draws.choices("AB", k=60)) for _ in range(1000)]

    refused = sum(not is_plausible(sequence) for sequence in lists) / len(lists)

    # Binomial with n = 60: 0.0135 lies beyond the rule; four standard deviations of 1,000.
    assert abs(refused - 0.0135) < 4 * math.sqrt(0.0135 / 1000)


@pytest.mark.requirement(1)
def test_a_ratio_is_asked_of_a_list_made_elsewhere_too():
    two_to_one = a_trial(ratio=(2, 1), block_sizes=(6, 9))

    assert is_plausible("AAB" * 20, trial=two_to_one)
    assert not is_plausible("AB" * 30, trial=two_to_one)
    assert "row 2: the block does not keep the ratio 2:1" in told(a_csv(), trial=two_to_one)


def test_blocks_of_two_are_refused():
    rows = [[STRATA[0], str(slot // 2), str(slot), "AB"[slot % 2]] for slot in range(8)]

    assert told(a_csv(rows), strata=[STRATA[0]])[0] == "row 2: the block has fewer than 4 slots"


# The command.


@pytest.fixture
def sealed(keys, tmp_path, capsys) -> Callable[..., tuple[int, str]]:
    def run(text: str, *more: object) -> tuple[int, str]:
        (tmp_path / "list.csv").write_text(text)
        command = a_command(keys, tmp_path / "list", "--from-csv", tmp_path / "list.csv", "--sites", *more)
        return generator.main([*command, "--length", "8"]), capsys.readouterr().err

    return run


@pytest.mark.requirement(5, 6)
def test_a_list_made_elsewhere_is_sealed_slot_by_slot(keys, tmp_path, sealed):
    status, said = sealed(a_csv())

    assert status == 0
    assert "destroy it" in said
    arms = the_arms_in(tmp_path / "list", keys)
    assert {stratum: "".join("AB"[arm] for arm in row) for stratum, row in arms.items()} == THE_LIST
    assert the_commitment_in(tmp_path / "list").leaves == 40


@pytest.mark.requirement(61)
def test_nothing_of_a_list_made_elsewhere_is_left_in_plain_but_itself(keys, tmp_path, sealed):
    sealed(a_csv())
    (tmp_path / "list.csv").unlink()

    for content in what_is_under(tmp_path).values():
        assert SEQUENCE.encode() not in content
        assert b"0,1,1,0" not in content


def test_a_list_may_come_on_standard_input(keys, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(a_csv().encode())))

    status = generator.main(
        [*a_command(keys, tmp_path / "list", "--from-csv", "-", "--sites"), "--length", "8"]
    )

    assert status == 0
    assert "destroy" not in capsys.readouterr().err


def test_a_faulty_list_is_not_sealed(tmp_path, sealed):
    status, said = sealed(changed(7, 3, "?"))

    assert status == 2
    assert "destroy it" in said
    assert "\nrow 7: " in said
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]


def test_the_salts_of_a_list_made_elsewhere_are_fresh(keys, tmp_path, sealed):
    sealed(a_csv())
    (tmp_path / "list").rename(tmp_path / "one")
    sealed(a_csv())

    assert the_commitment_in(tmp_path / "one").root != the_commitment_in(tmp_path / "list").root


@pytest.mark.requirement(4)
def test_the_specification_says_that_the_list_was_made_elsewhere():
    document = the_spec().document()

    assert document["design"] == {"kind": "imported"}
    assert not {"blocks", "length"} & set(document)
    assert Spec.read(document) == the_spec()


def test_a_bundle_of_a_list_made_elsewhere_brings_its_arms_sealed(keys, tmp_path, sealed):
    sealed(a_csv())

    revealed = base64.b64decode(json.loads((tmp_path / "list" / "seed.json").read_bytes())["revealed"])

    assert len(revealed) == 4096 + 28
