"""The design report: the contract's keys, its words, its page, and what it refuses. No database is there."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from randomization.domain.operating.definitions import DEFINITIONS
from trialsite import protocol

TOP = Path(__file__).parents[2]
CONTRACT = {
    "correct_guess_share", "certain_share", "expected_max_imbalance", "max_imbalance_pmf",
    "expected_abs_imbalance", "total_split", "worst_case_stock_per_arm", "method",
}  # fmt: skip


def printed(*arguments: str) -> str:
    out = io.StringIO()
    call_command("design_report", *arguments, stdout=out)
    return out.getvalue()


@cache
def reported(*arguments: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(printed("--json", *arguments))
    return report


def test_the_trials_own_design_is_reported_by_default():
    report = reported()

    trial = protocol.load(protocol.DEFAULT_TRIAL_FILE)
    assert report["study"] == trial.protocol
    assert report["design"]["block_sizes"] == list(trial.block_sizes)
    assert (report["design"]["planned"], report["design"]["strata"]) == (48, 4)
    assert (report["method"], report["design"]["remark"]) == ("exact", "")


def test_every_key_of_the_contract_is_there_with_its_definition():
    report = reported("--emergency", "8")

    assert set(report) >= CONTRACT
    assert set(report["definitions"]) == set(DEFINITIONS) == set(report) - {"study", "design", "definitions"}
    assert all(len(words) > 20 for words in report["definitions"].values())


def test_the_figures_of_four_and_six_in_four_strata_are_those_of_the_tables():
    report = reported("--block-sizes", "4,6", "--strata", "4", "--planned", "48")

    assert report["correct_guess_share"] == pytest.approx(
        {"convergence": 0.68991750, "bayes": 0.68991750}, abs=1e-8
    )
    assert report["certain_share"] == pytest.approx({"bayes": 0.05615, "known_borders": 0.27514}, abs=5e-6)
    assert report["expected_max_imbalance"] == pytest.approx(
        sum(int(value) * chance for value, chance in report["max_imbalance_pmf"].items())
    )
    assert set(report["max_imbalance_pmf"]) == {"1", "2", "3"}
    assert report["total_split"]["p_equal"] == pytest.approx(0.391477, abs=1e-6)
    assert report["total_split"]["sd"] == pytest.approx(2.033007, abs=1e-6)
    assert sum(report["total_split"]["pmf"].values()) == pytest.approx(1)
    assert report["total_split"]["largest_possible"] == 12
    assert report["run_lengths"]["longest_possible"] == 6
    assert report["long_run_correct_guess_share"] == pytest.approx(52 / 75)


def test_the_mean_difference_is_given_after_each_participant():
    means = reported("--block-sizes", "4")["expected_abs_imbalance"]

    assert len(means) == 48
    assert means[:4] == pytest.approx([1, 2 / 3, 1, 0])
    assert means[44:] == pytest.approx(means[:4])


def test_stock_that_cannot_run_out_counts_infusions_and_remakes():
    stock = reported("--remake-allowance", "0.11")["worst_case_stock_per_arm"]

    # 133.2 bags are 134.
    assert (stock["participants"], stock["bags"], stock["bags_with_remakes"]) == (30, 120, 134)
    assert stock["in_any_k_of_one_stratum"][:12] == [1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 8, 9]
    # Four strata, each with the end of one block of six and the beginning of the next.
    assert stock["in_any_k_of_all_strata"][22:25] == [23, 24, 24]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "24:24 is not promised: it comes about in about 39 of 100 trials."),
        (("--strata", "8"), "24:24 is not promised: it comes about in about 28 of 100 trials."),
        (
            ("--block-sizes", "4", "--strata", "1"),
            "24:24 is not promised: it comes about in more than 99 of 100 trials.",
        ),
        (
            ("--ratio", "2:1", "--block-sizes", "6,9"),
            "32:16 is not promised: it comes about in about 35 of 100 trials.",
        ),
        (("--planned", "47"), "47 participants cannot end exactly in the ratio."),
    ],
)
def test_an_exact_split_is_never_promised(arguments, words):
    assert reported(*arguments)["total_split"]["in_words"] == words
    assert words in printed(*arguments)


def test_prevalences_change_the_split_and_not_the_stratum():
    equal, unequal = reported(), reported("--prevalence", "0.5,0.2,0.2,0.1")

    assert unequal["design"]["prevalence"] == [0.5, 0.2, 0.2, 0.1]
    assert unequal["total_split"]["p_equal"] != equal["total_split"]["p_equal"]
    assert unequal["correct_guess_share"] == equal["correct_guess_share"]


def test_a_stratum_that_nobody_falls_into_has_no_part_in_the_worst_case():
    assert (
        reported("--prevalence", "1,0")["worst_case_stock_per_arm"]
        == reported("--strata", "1")["worst_case_stock_per_arm"]
    )


def test_the_emergency_lists_are_shown_to_cost_balance_and_slots():
    without, report = reported("--emergency", "0"), reported("--emergency", "8")

    emergency = report["emergency_list"]
    assert without["emergency_list"] is None
    assert (emergency["slots_per_site"], emergency["slots_reserved"]) == (8, 8 * emergency["sites"])
    first, *others = emergency["by_used"]
    assert first["p_equal"] == pytest.approx(report["total_split"]["p_equal"])
    assert all(row["sd"] > first["sd"] for row in others)
    assert all(row["used"] + row["unused"] == emergency["slots_reserved"] for row in emergency["by_used"])
    assert emergency["largest_possible"] > report["total_split"]["largest_possible"]


def test_who_is_randomized_from_an_emergency_list_is_missing_from_the_strata():
    report = reported("--block-sizes", "4", "--strata", "1", "--emergency", "8")

    # 48 fill whole blocks. 47 and one from a reserved list leave one cut after three and one after one.
    rows = {row["used"]: row["sd"] ** 2 for row in report["emergency_list"]["by_used"]}
    assert (rows[0], rows[1]) == (pytest.approx(0), pytest.approx(1 + 1))


def test_other_designs_stand_beside_the_trials_with_what_speaks_against_them():
    rows = {row["name"]: row for row in reported()["alternatives"]}

    assert next(iter(rows)) == "blocks of 4 or 6"
    offered = {name for name, row in rows.items() if row["offered"]}
    assert offered == {
        "blocks of 4 or 6", "blocks of 4 or 6 or 8", "big stick, difference at most 2",
        "big stick, difference at most 3", "big stick, difference at most 4",
    }  # fmt: skip
    assert rows["blocks of 2 or 4 or 6"]["remark"] == "too much is certain in a block of 2"
    assert rows["simple (a coin for each)"]["p_equal_trial"] == pytest.approx(0.114567, abs=1e-6)
    assert rows["big stick, difference at most 3"]["correct_guess_share_bayes"] == pytest.approx(
        0.578704, abs=1e-6
    )
    assert {row["method"] for row in rows.values()} == {"exact"}
    assert all(bool(row["remark"]) != row["offered"] for row in rows.values())


def test_the_table_of_the_documentation_is_what_the_report_says():
    keys = (
        "correct_guess_share_bayes", "certain_share_bayes", "certain_share_known_borders",
        "expected_max_imbalance", "p_equal_stratum", "p_equal_trial", "sd_trial", "longest_possible_run",
        "participants_per_arm",
    )  # fmt: skip

    lines = [
        " | ".join(
            [row["name"], *(f"{row[key]:.4f}" for key in keys[:7]), *(str(row[key]) for key in keys[7:])]
        )
        for row in reported()["alternatives"]
    ]

    page = (TOP / "docs" / "design-report.md").read_text(encoding="utf-8")
    assert [line for line in lines if f"| {line} |\n" not in page] == []


def test_the_trials_design_is_among_them_with_the_same_figures():
    report = reported("--block-sizes", "4,8")

    first = report["alternatives"][0]
    assert first["correct_guess_share_bayes"] == report["correct_guess_share"]["bayes"]
    assert first["certain_share_known_borders"] == report["certain_share"]["known_borders"]
    assert first["p_equal_trial"] == report["total_split"]["p_equal"]
    assert first["participants_per_arm"] == report["worst_case_stock_per_arm"]["participants"]


def test_three_arms_are_reported_by_their_first_two():
    report = reported("--ratio", "1:1:1", "--block-sizes", "6,9")

    assert report["total_split"]["in_words"].startswith("That the first two arms end in their ratio")
    assert 1 / 3 < report["correct_guess_share"]["bayes"] < 0.6


def test_a_large_trial_is_answered_with_standard_errors_where_it_is_sampled():
    large = ("--planned", "400", "--strata", "24", "--block-sizes", "4,6")

    report = reported(*large)

    assert report["method"] == "simulated"
    assert set(report["standard_error"]) == {"total_split.p_equal"}
    assert 0 < report["standard_error"]["total_split.p_equal"] < 0.02
    assert report["correct_guess_share"]["bayes"] == pytest.approx(52 / 75, abs=2e-3)
    assert json.loads(printed("--json", *large)) == report


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--block-sizes", "5"), "a block of 5 is no multiple of 2"),
        (("--block-sizes", "4,4"), "must be different"),
        (("--block-sizes", "4;6"), "whole numbers separated by ','"),
        (("--block-sizes", "0,4"), "from 2 to 60"),
        (("--block-sizes", "2,4,6,8,10,12,14,16,18"), "at most 8"),
        (("--block-sizes", ""), "whole numbers"),
        (("--block-sizes", "400"), "from 2 to 60"),
        (("--planned", "0"), "--planned: must be from 1 to 1000"),
        (("--planned", "1000000"), "--planned: must be from 1 to 1000"),
        (("--planned", "many"), "invalid int value"),
        (("--strata", "0"), "--strata: must be from 1 to 64"),
        (("--strata", "65"), "--strata: must be from 1 to 64"),
        (("--prevalence", "0.5,0.4"), "add up to 1"),
        (("--prevalence", "0.5,0.5", "--strata", "4"), "has 2 shares for 4 strata"),
        (("--prevalence", "1.5,-0.5"), "add up to 1"),
        (("--prevalence", "nan"), "must be numbers"),
        (("--prevalence", "half"), "must be numbers"),
        (("--prevalence", ",".join(["0"] * 99 + ["1"])), "from 1 to 64"),
        (("--ratio", "2:1"), "a block of 4 is no multiple of 3"),
        (("--ratio", "1"), "2 to 4 arms"),
        (("--ratio", "0:1"), "from 1 to 10"),
        (("--remake-allowance", "-1"), "from 0 to 10"),
        (("--remake-allowance", "much"), "such as 0.1"),
        (("--emergency", "-1"), "--emergency: must be from 0"),
        (("--trial", "/nowhere.toml"), "/nowhere.toml"),
        (("--html", "/nowhere/page.html"), "No such file"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(arguments, words):
    with pytest.raises(CommandError, match=re.escape(words)):
        printed(*arguments)


def test_a_trial_file_without_a_design_is_refused(tmp_path):
    text = protocol.DEFAULT_TRIAL_FILE.read_text(encoding="utf-8")
    file = tmp_path / "trial.toml"
    file.write_text(text.replace("block_sizes = [4, 6]\n", ""), encoding="utf-8")

    with pytest.raises(CommandError, match="block_sizes"):
        printed("--trial", str(file))


def test_a_big_stick_of_the_trial_file_is_reported(tmp_path):
    text = protocol.DEFAULT_TRIAL_FILE.read_text(encoding="utf-8")
    file = tmp_path / "trial.toml"
    design = '\n[design]\nkind = "big_stick"\nmti = 3\n'
    file.write_text(text.replace("block_sizes = [4, 6]\n", "") + design, encoding="utf-8")

    report = reported("--trial", str(file))

    assert (report["design"]["mti"], report["design"]["block_sizes"]) == (3, None)
    assert report["correct_guess_share"]["bayes"] == pytest.approx(0.578704, abs=1e-6)
    assert report["long_run_correct_guess_share"] is None


def test_the_command_runs_where_no_database_is_and_nothing_is_set():
    bare = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME")}

    run = subprocess.run(
        [sys.executable, TOP / "manage.py", "design_report"],
        capture_output=True, text=True, check=True, env=bare, cwd=TOP, timeout=60,
    )  # fmt: skip

    assert "24:24 is not promised" in run.stdout
    assert run.stderr == ""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    assert printed("--html", str(file), "--emergency", "8") == ""
    return file


def test_the_page_says_what_the_text_says_and_is_its_owners_only(page):
    text = page.read_text(encoding="utf-8")

    assert "24:24 is not promised: it comes about in about 39 of 100 trials." in text
    assert "nobody who is masked may see it" in text
    for words in DEFINITIONS.values():
        assert words[:60].replace("'", "&#x27;") in text
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_a_page_that_was_readable_by_others_is_so_no_more(tmp_path):
    file = tmp_path / "report.html"
    file.touch(mode=0o644)

    printed("--html", str(file))

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        ("--planned", "1", "--strata", "1"),
        ("--planned", "2", "--block-sizes", "2"),
        ("--ratio", "1:1:1", "--block-sizes", "6"),
    ],
)
def test_the_smallest_trials_have_a_page_too(tmp_path, arguments):
    file = tmp_path / "report.html"

    printed("--html", str(file), *arguments)

    assert file.read_text(encoding="utf-8").count("<svg") == 5


class Page(HTMLParser):
    """What stands on a page: the tags with their attributes, and whether each is closed."""

    EMPTY = {"meta"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_can_be_read_aloud(page):
    text = page.read_text(encoding="utf-8")
    shown = Page(text)
    names = [tag for tag, _ in shown.tags]

    assert not {"script", "link", "img", "iframe", "object"} & set(names)
    assert not re.search(r"https?:|url\(|@import|javascript|\son\w+=|src=|href=", text)
    assert shown.tags[0] == ("html", {"lang": "en"})
    assert names.count("caption") == names.count("table") >= 6
    assert all(given.get("scope") in ("row", "col") for tag, given in shown.tags if tag == "th")
    identifiers = [given["id"] for _, given in shown.tags if "id" in given]
    assert len(identifiers) == len(set(identifiers))


def test_every_drawing_has_a_name_and_a_description_and_stays_inside_its_frame(page):
    drawings = re.findall(r"<svg.*?</svg>", page.read_text(encoding="utf-8"), re.DOTALL)

    assert len(drawings) == 5
    for drawing in map(ET.fromstring, drawings):
        _, _, width, height = map(float, drawing.attrib["viewBox"].split())
        title, description = drawing.find("title"), drawing.find("desc")
        assert title is not None
        assert description is not None
        assert title.text
        assert description.text
        assert drawing.attrib["role"] == "img"
        assert drawing.attrib["aria-labelledby"].split() == [title.attrib["id"], description.attrib["id"]]
        for part in drawing.iter():
            for name in ("x", "x1", "x2", "cx"):
                assert 0 <= float(part.attrib.get(name, 0)) <= width
            for name in ("y", "y1", "y2", "cy"):
                assert 0 <= float(part.attrib.get(name, 0)) <= height


def test_stock_for_the_emergency_lists_is_told_beside_that_of_the_trials_list():
    report = reported()

    # Two sites' lists are two more strata that can end three ahead: (48 + 18) / 2.
    assert report["worst_case_stock_per_arm"]["participants"] == 30
    assert report["emergency_list"]["worst_case_stock_per_arm"] == {
        "participants": 33,
        "bags": 132,
        "bags_with_remakes": 146,
    }
