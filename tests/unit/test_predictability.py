"""The offline command that says what reveals told: what it reads, what it refuses, what it prints."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from randomization import predictability
from randomization.domain.operating.definitions import REVEAL_DEFINITIONS
from randomization.domain.strata import leaf_order
from trialsite import protocol

TOP = Path(__file__).parents[2]
TRIAL = protocol.DEFAULT_TRIAL_FILE
STRATUM, OTHER = leaf_order(protocol.load(TRIAL))[:2]
HEADER = "stratum,slot,arm,revealed_at,used\n"


@pytest.fixture
def answered(tmp_path, capsys):
    """Run the command on the text of a file; return its status, what it printed and what it complained."""

    def run(text: str, *arguments: str) -> tuple[int, str, str]:
        file = tmp_path / "reveals"
        file.write_text(text, encoding="utf-8")
        status = predictability.main(["--trial", str(TRIAL), "--reveals", str(file), *arguments])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def reported(answered):
    def run(text: str) -> dict[str, Any]:
        status, out, err = answered(text, "--json")
        assert (status, err) == (0, "")
        report: dict[str, Any] = json.loads(out)
        return report

    return run


def test_each_reveal_is_reported_in_its_stratum_and_order(reported):
    rows = (
        f"{STRATUM},5,,2020-03-01T10:00:00+08:00,8\n{OTHER},0,A,,\n{STRATUM},6,,2020-03-01T11:00:00+08:00,9\n"
    )

    report = reported(HEADER + rows)

    assert (report["study"], report["design"], report["method"]) == (
        "NCT04293692",
        "blocks of 4 or 6",
        "exact",
    )
    first, second = report["strata"]
    assert (first["stratum"], [reveal["slot"] for reveal in first["reveals"]]) == (STRATUM, [5, 6])
    assert (second["stratum"], second["reveals"][0]["arm"]) == (OTHER, "A")
    reveal = first["reveals"][0]
    assert reveal["rise"] == pytest.approx(0.5)
    assert reveal["rise_in_use"] + reveal["rise_to_come"] == pytest.approx(reveal["rise"])
    assert [slot["slot"] for slot in reveal["slots"]] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert reveal["slots"][5] == {"slot": 6, "before": pytest.approx(0.5), "after": pytest.approx(17 / 30)}


def test_every_value_has_its_definition(reported):
    report = reported(f"stratum,slot\n{STRATUM},3\n")

    named = " ".join([*REVEAL_DEFINITIONS, *REVEAL_DEFINITIONS.values()])
    for value in report["strata"][0]["reveals"][0]:
        assert value in named or value in ("slot", "arm", "revealed_at", "used")
    assert report["definitions"] == dict(REVEAL_DEFINITIONS)


def test_the_saved_answer_of_the_server_reads_like_the_table(reported):
    rows = [
        {
            "stratum": STRATUM,
            "slot": 2,
            "revealed_at": "2020-03-01T02:00:00Z",
            "kind": "emergency",
            "used": 3,
        },
        {
            "stratum": STRATUM,
            "slot": 4,
            "revealed_at": "2020-03-02T02:00:00Z",
            "kind": "emergency",
            "used": 7,
        },
    ]
    table = HEADER + "".join(
        f"{row['stratum']},{row['slot']},,{row['revealed_at']},{row['used']}\n" for row in rows
    )

    answer = {"count": 2, "next": None, "previous": None, "results": rows}

    assert reported(json.dumps(answer)) == reported(json.dumps(rows)) == reported(table)


def test_no_reveal_told_nothing(reported):
    assert reported(HEADER)["strata"] == []
    assert reported("[]")["strata"] == []


def test_certain_slots_are_counted(reported):
    report = reported(f"stratum,slot,arm\n{STRATUM},0,B\n{STRATUM},1,B\n{STRATUM},2,B\n")

    # Three of one arm at the beginning are half a block of six: its other half is certain.
    reveals = report["strata"][0]["reveals"]
    assert [reveal["certain_after"] for reveal in reveals] == [0, 0, 3]
    assert (reveals[2]["became_certain"], reveals[2]["largest_posterior"]) == (3, 1)


def test_a_slot_beyond_the_list_of_the_file_is_one_of_an_extension(reported):
    report = reported(f"stratum,slot\n{STRATUM},99\n")

    assert report["strata"][0]["slots"] == 100


def test_the_text_and_the_page_say_it_too(answered, tmp_path):
    rows, page = f"stratum,slot\n{STRATUM},3\n{STRATUM},4\n", tmp_path / "page.html"

    _, text, _ = answered(rows)
    status, nothing, _ = answered(rows, "--html", str(page))

    assert (status, nothing) == (0, "")
    shown = page.read_text(encoding="utf-8")
    summary = (
        "Blocks of 4 or 6: 2 reveals raised the expected number of right guesses among the other slots by"
    )
    for place in (text, shown):
        assert summary in place
        assert STRATUM in place
        assert "nobody who is masked may see it" in place
    assert "<script" not in shown
    assert "http" not in shown
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "columns stratum and slot"),
        ("stratum,arm\n", "columns stratum and slot"),
        ("stratum,slot\nnowhere,1\n", "line 2: the trial has no such stratum"),
        (f"stratum,slot\n{STRATUM},\n", "line 2: slot is missing"),
        (f"stratum,slot\n{STRATUM}\n", "line 2: slot is missing"),
        (f"stratum,slot\n{STRATUM},-1\n", "slot must be a whole number"),
        (f"stratum,slot\n{STRATUM},1.5\n", "slot must be a whole number"),
        (f"stratum,slot\n{STRATUM},99999\n", "slot must be a whole number from 0 to 5000"),
        (f"stratum,slot\n{STRATUM},1,A\n", "has more than"),
        (f"stratum,slot,colour\n{STRATUM},1,red\n", "has more than"),
        (f"stratum,slot,arm\n{STRATUM},1,C\n", "arm must be one of A, B"),
        (f"stratum,slot,used\n{STRATUM},5,5\n", "slot 5 was not used yet"),
        (f"stratum,slot,revealed_at\n{STRATUM},1,yesterday\n", "revealed_at is no time"),
        (f"stratum,slot,revealed_at\n{STRATUM},1,2020-03-01T10:00:00\n", "revealed_at has no offset"),
        (
            f"stratum,slot,revealed_at\n{STRATUM},1,2020-03-02T10:00:00Z\n{STRATUM},2,2020-03-01T10:00:00Z\n",
            "not in the order of their times",
        ),
        (f"stratum,slot,arm\n{STRATUM},1,A\n{STRATUM},1,B\n", "slot 1 cannot have this arm"),
        (f'stratum,slot\n"{STRATUM},1\n', "line"),
        ("{", "not JSON"),
        ('{"results": 3}', "no list of reveals"),
        ("[1]", "no list of reveals"),
        ('{"next": "?page=2", "results": []}', "one page of several"),
        (f'[{{"stratum": "{STRATUM}", "slot": true}}]', "slot must be a whole number"),
        ('[{"stratum": ["x"], "slot": 1}]', "no such stratum"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(answered, text, words):
    status, out, err = answered(text)

    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_files_that_cannot_be_read_are_refused(tmp_path, capsys):
    binary = tmp_path / "reveals"
    binary.write_bytes(b"\xff\xfe\x00")

    for trial, reveals in ((TRIAL, tmp_path / "none"), (tmp_path / "none", binary), (TRIAL, binary)):
        assert predictability.main(["--trial", str(trial), "--reveals", str(reveals)]) == 2
        assert capsys.readouterr().err.startswith("predictability: ")


def test_the_command_needs_no_django(tmp_path):
    file = tmp_path / "reveals.csv"
    file.write_text(f"stratum,slot\n{STRATUM},3\n", encoding="utf-8")
    program = (
        "import sys; sys.modules['django'] = None\n"
        "from randomization.predictability import main\n"
        f"raise SystemExit(main(['--trial', {str(TRIAL)!r}, '--reveals', {str(file)!r}]))"
    )

    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=TOP, timeout=60
    )

    assert STRATUM in run.stdout
