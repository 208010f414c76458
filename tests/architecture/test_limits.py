"""What can be read at one sitting, and what must never stand in a file."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FUNCTION, LONGEST_FILE = 70, 500
PRODUCT = ("trialsite", "randomization", "supply", "tests")

# Shapes of secrets, of places on somebody's machine, and of private package indexes.
FORBIDDEN = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "a key file": r"^trialsite-key/v1 \S+ \S+ \S+ [A-Za-z0-9+/]{20,}",
    "a knox token": r"\birt_[0-9a-f]{32,}",
    "a cloud key": r"\bAKIA[0-9A-Z]{16}\b|\bghp_[A-Za-z0-9]{30,}|\bxox[bp]-[A-Za-z0-9-]{10,}",
    "a place on somebody's machine": r"(?<![\w.$}])/(?:work|root|home/(?!trialsite\b)\w+|Users)/[\w.]",
    "a package index": r"--(?:extra-)?index-url[ =]\S|https?://[^\s\"']*(?:pypi|artifactory|nexus|/simple)\b",
    "a password in an address": r"[a-z]+://[\w.-]+:(?!\.\.\.|…|%|\$|\{|PASSWORD|password)[^\s@/\"'{}<>]{6,}@[\w.-]+",
}
# A place inside the image, which the build's cache is mounted at.
EXCEPTED = {("Dockerfile", "a place on somebody's machine")}


def tracked() -> list[Path]:
    """Return the files that are, or are about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a repository")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def python_files() -> list[Path]:
    return [
        path
        for package in PRODUCT
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in path.parts
    ]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_function_is_longer_than_a_page():
    long = [
        f"{path.relative_to(ROOT)}: {name} has {lines} lines"
        for path in python_files()
        for name, lines in functions(path)
        if lines > LONGEST_FUNCTION
    ]

    assert long == []


def test_no_file_is_longer_than_can_be_read():
    long = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in python_files()
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    ]

    assert long == []


def found_in(text: str) -> list[str]:
    return [what for what, shape in FORBIDDEN.items() if re.search(shape, text, re.MULTILINE)]


@pytest.mark.requirement(61)
def test_no_file_holds_a_secret_or_names_a_machine():
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [(str(path.relative_to(ROOT)), what) for what in found_in(text)]

    assert set(found) - EXCEPTED == set()


@pytest.mark.requirement(61)
def test_no_key_file_or_dump_is_in_the_repository():
    suffixes = {".key", ".pem", ".p12", ".pfx", ".dump", ".sqlite3", ".env"}

    assert [path.name for path in tracked() if path.suffix in suffixes or path.name == ".env"] == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("-----BEGIN " + "PRIVATE KEY-----", "a private key"),
        ("trialsite-key/v1 " + "x25519 log-1 2026-01-01T00:00:00Z " + "A" * 43 + "=", "a key file"),
        ("token = '" + "irt_" + "0f" * 32 + "'", "a knox token"),
        ("AKIA" + "A" * 16, "a cloud key"),
        ("see /" + "home/somebody/notes", "a place on somebody's machine"),
        ("see /" + "root/.cache", "a place on somebody's machine"),
        ("--index-url" + " https://example.org", "a package index"),
        ("https" + "://packages.example.org/simple", "a package index"),
        ("postgresql" + "://irt_masked:hunter22@db", "a password in an address"),
    ],
)
def test_what_must_not_stand_in_a_file_is_recognized(text, what):
    assert what in found_in(text)
