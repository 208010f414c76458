"""The description of the interface is made from the code, and is true."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client

from tests.people import NOON, a_trail
from trialsite.api import readiness
from trialsite.audit.services import GenesisMissing
from trialsite.keyfiles import write_key_file


def test_the_checked_in_description_is_what_the_code_says() -> None:
    call_command("write_api_reference", "--check", stdout=StringIO())


def test_a_description_that_fell_behind_is_noticed(tmp_path: Path) -> None:
    stale = tmp_path / "api.yaml"
    stale.write_text("openapi: 3.1.0\n")

    with pytest.raises(CommandError, match="out of date"):
        call_command("write_api_reference", "--check", "--file", stale)


def test_each_face_describes_itself_to_anyone() -> None:
    answer = Client().get("/api/v1/openapi.yaml")

    description = yaml.safe_load(answer.content)
    assert description["openapi"] == "3.1.0"
    assert "/api/v1/me" in description["paths"]
    assert not any("unblindings" in path.split("/") for path in description["paths"])


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_inline_script() -> None:
    answer = Client().get("/api/v1/docs")

    page = answer.content.decode()
    assert answer.status_code == 200
    assert not re.findall(r'(?:src|href)="(?!/static/|openapi\.yaml)', page)
    assert not re.search(r"<script>|<style>|\son\w+=", page)
    assert "script-src 'self'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]


def test_the_process_is_alive_without_a_database() -> None:
    answer = Client().get("/livez")

    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


@pytest.fixture
def a_ready_process(db: None, factor_keys: dict[str, str], settings: LazySettings, tmp_path: Path) -> None:
    """The masked face with its two keys and a trail."""
    a_trail()
    settings.FACTOR_KEY_FILE = factor_keys["masked"]
    settings.IDENTITY_KEY_FILE = str(tmp_path / "identity.key")
    write_key_file(settings.IDENTITY_KEY_FILE, "hmac-sha256", "identity-1", b"i" * 32, NOON)


@pytest.mark.usefixtures("a_ready_process")
def test_a_process_with_all_it_needs_is_ready() -> None:
    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


@pytest.mark.usefixtures("a_ready_process")
@pytest.mark.parametrize("wrong", ["no key", "a key that others may read", "no trail", "no database"])
def test_a_process_that_lacks_something_is_not_ready(
    wrong: str, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wrong == "no key":
        settings.IDENTITY_KEY_FILE = ""
    elif wrong == "a key that others may read":
        Path(settings.IDENTITY_KEY_FILE).chmod(0o444)
    elif wrong == "no trail":
        monkeypatch.setattr(readiness, "genesis", Mock(side_effect=GenesisMissing))
    else:
        away = Mock(side_effect=OperationalError("10.0.0.7"))
        monkeypatch.setattr(readiness, "connection", Mock(cursor=away))

    answer = Client().get("/readyz")

    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "10.0.0.7" not in answer.json()["detail"]
    assert settings.FACTOR_KEY_FILE not in answer.json()["detail"]
