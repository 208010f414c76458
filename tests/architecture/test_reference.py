"""The pages that are drawn from the code are those that are checked in, and leave nothing out."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from supply.domain import infusion_states, kit_states, preparation_states
from tests import validation
from trialsite.accounts.roles import Permission, Role
from trialsite.audit.kinds import Kind
from trialsite.deployment import reference

FOLDER = reference.ROOT / "docs" / "reference"


def the_page(name: str) -> str:
    return (FOLDER / name).read_text()


def test_the_reference_pages_are_those_of_the_code(capsys):
    call_command("reference_docs", check=True)


def test_a_page_that_is_not_up_to_date_is_named(tmp_path, monkeypatch):
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    for name, text in reference.pages().items():
        (tmp_path / "docs" / "reference" / name).write_text(text.replace("kit.wasted", "kit.lost"))
    monkeypatch.setattr("trialsite.deployment.management.commands.reference_docs.ROOT", tmp_path)

    with pytest.raises(CommandError, match=r"Not up to date: audit-events\.md\."):
        call_command("reference_docs", check=True)


def test_every_refusal_has_a_code_of_its_own_and_is_in_the_docs():
    kinds = reference.refused_kinds()

    assert len(kinds) > 40
    assert [kind.__name__ for kind in kinds if "code" not in vars(kind)] == []
    assert [kind.code for kind in kinds if f"| `{kind.code}` |" not in the_page("refusals.md")] == []


def test_one_code_has_one_status_everywhere():
    statuses: dict[str, set[int]] = {}
    for kind in reference.refused_kinds():
        statuses.setdefault(kind.code, set()).add(kind.status)

    assert {code: found for code, found in statuses.items() if len(found) > 1} == {}


def test_every_environment_variable_is_in_the_docs_and_is_read():
    read = reference.variable_names()

    assert read.keys() == reference.VARIABLES.keys()
    assert [name for name in read if f"| `{name}` |" not in the_page("settings.md")] == []


def test_every_setting_that_names_a_file_is_read_from_the_environment():
    ours = [name for name in dir(settings) if name.endswith("_FILE")]

    assert set(ours) <= reference.variable_names().keys()


def test_every_audit_kind_is_in_the_docs():
    assert [kind for kind in Kind if f"| `{kind.value}` |" not in the_page("audit-events.md")] == []


def test_every_role_and_permission_is_in_the_docs():
    page = the_page("permissions.md")

    assert [each.value for each in (*Role, *Permission) if f"| {each.value} |" not in page] == []


@pytest.mark.parametrize("machine", [infusion_states, kit_states, preparation_states])
def test_every_state_and_move_is_in_the_docs(machine):
    page = the_page("states.md")

    for act, move in machine.MOVES.items():
        assert f"| `{act}` |" in page
        for source in move.sources:
            assert f"    {source.value} --> {move.target.value}: {act}\n" in page


@pytest.mark.requirement(85)
def test_the_table_of_requirements_is_that_of_the_tests():
    assert validation.PAGE.read_text() == validation.page()


@pytest.mark.requirement(85)
def test_every_number_that_a_test_names_has_its_sentence():
    assert set(validation.shown()) <= set(validation.requirements())


def test_markers_are_read_from_functions_parameters_and_whole_files(tmp_path, monkeypatch):
    (tmp_path / "test_some.py").write_text(
        "pytestmark = pytest.mark.requirement(3)\n"
        "@pytest.mark.requirement(1, 2)\n"
        "def test_one(): ...\n"
        "@pytest.mark.parametrize('n', [pytest.param(1, marks=pytest.mark.requirement(4))])\n"
        "def test_two(n): ...\n"
    )
    monkeypatch.setattr(validation, "TESTS", tmp_path)

    shown = {
        number: [test.rpartition("::")[2] for test in tests] for number, tests in validation.shown().items()
    }

    assert shown == {1: ["test_one"], 2: ["test_one"], 3: ["test_one", "test_two"], 4: ["test_two"]}
