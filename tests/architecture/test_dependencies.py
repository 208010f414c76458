"""What is installed: each package for a stated reason, each lock the whole of the smaller one."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
LOCKS = {name: (ROOT / "requirements" / f"{name}.txt").read_text() for name in ("base", "test", "dev")}
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return {name.lower().replace("_", "-"): version for name, version in _PIN.findall(LOCKS[lock])}


def blocks(lock: str) -> dict[str, str]:
    """Return each package's pin with its hashes and without the comments on who asks for it."""
    lines = [line for line in LOCKS[lock].splitlines() if line and not line.lstrip().startswith("#")]
    found = re.split(r"\n(?=\S)", "\n".join(lines))
    return {block.partition("==")[0].partition("[")[0]: block for block in found}


def named(*path: str) -> set[str]:
    value = tomllib.loads(PYPROJECT)
    for step in path:
        value = value[step]
    return {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in value}


def unexplained(section: str, *, one_reason_for_several: bool) -> list[str]:
    """Return the packages of a list without a comment above: above each, or above its group."""
    without, explained = [], False
    for line in map(str.strip, section.splitlines()):
        if line.startswith('"'):
            without += [] if explained else [re.split(r"[\[<>=]", line.strip('",'))[0]]
            explained = explained and one_reason_for_several
        else:
            explained = line.startswith("#")
    return without


def test_every_dependency_has_its_reason():
    product = PYPROJECT.partition("\ndependencies = [\n")[2].partition("\n]\n")[0]
    tools = PYPROJECT.partition("\n[dependency-groups]\n")[2].partition("\n[")[0]

    assert '"django>=' in product
    assert unexplained(product, one_reason_for_several=False) == []
    # What it does is known to whoever reads Python.
    assert unexplained(tools, one_reason_for_several=True) == ["ruff"]


def test_a_dependency_without_a_reason_is_found():
    section = '# For a reason.\n"one>=1",\n"another>=1",'

    assert unexplained(section, one_reason_for_several=False) == ["another"]


def test_every_dependency_is_locked():
    assert named("project", "dependencies") <= pins("base").keys()
    assert named("dependency-groups", "test") <= pins("test").keys()
    assert named("dependency-groups", "dev") <= pins("dev").keys()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address(lock):
    assert not re.search(r"--(index-url|extra-index-url|find-links|trusted-host)|https?://", LOCKS[lock])
    assert "@ " not in LOCKS[lock]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_its_hashes(lock):
    assert [name for name, block in blocks(lock).items() if "--hash=sha256:" not in block] == []
    assert len(blocks(lock)) == len(pins(lock))


@pytest.mark.parametrize(("smaller", "larger"), [("base", "test"), ("test", "dev")])
def test_the_larger_lock_holds_the_smaller_one_exactly(smaller, larger):
    held = blocks(larger)

    assert [name for name, block in blocks(smaller).items() if held.get(name) != block] == []


def test_celery_is_of_the_line_that_was_chosen():
    # Celery 5.7 pins python-dateutil exactly, and a resolver in doubt falls back to an older Celery.
    assert metadata.version("celery").startswith("5.7.")
    assert pins("base")["celery"].startswith("5.7.")
