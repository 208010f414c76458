"""The verifier and what it cannot read: a verdict for every shape of garbage, never a traceback."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.unit.trails import (
    LOG,
    Judge,
    a_trail,
    a_trial,
)


@pytest.fixture
def kept(tmp_path) -> Path:
    """What the auditor has from before: the log's public key and yesterday's checkpoint."""
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "log.vkey").write_text(LOG.verifier.vkey + "\n")
    (folder / "yesterday.note").write_text(a_trail().note(9))
    return folder


@pytest.fixture
def judge(tmp_path) -> Judge:
    return Judge(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK", b"garbage" * 100, b"PK\x03\x04" + bytes(100), b"{}"])
def test_what_is_no_bundle_is_unreadable(judge, tmp_path, content):
    (tmp_path / "garbage.zip").write_bytes(content)

    assert judge(tmp_path / "garbage.zip").code == 2


def test_what_is_not_there_is_unreadable(judge, tmp_path):
    assert judge(tmp_path / "missing.zip").code == 2
    assert judge(tmp_path).code == 2
    assert judge(a_trail(), tmp_path / "missing").code == 2


@pytest.mark.parametrize("missing", ["entries.jsonl", "keys.txt", "manifest.note"])
def test_a_bundle_without_what_it_must_have_is_unreadable(judge, kept, missing):
    verdict = judge(a_trail(), kept, after_signing={missing: None})

    assert verdict.code == 2
    assert f"unreadable: {missing} is missing" in verdict.lines


def test_a_bundle_without_checkpoints_is_unreadable(judge, kept):
    assert (
        judge(a_trail(checkpoints=()), kept, after_signing={"checkpoints/000000000015.note": None}).code == 2
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"garbage",
        b"[]",
        b'{"seq": 15}',
        b'{"seq": "15", "body": ""}',
        b'{"seq": true, "body": ""}',
        b'{"seq": 15, "body": ""}',
        b'{"seq": 15, "body": "!"}',
        b'{"seq": 15, "body": "e31="}',
        b'{"seq": 15, "body": "e30=", "more": 1}',
        b'{"seq": 15, "seq": 15, "body": "e30="}',
        b'{"seq": 15, "body": 7}',
        b"[" * 100_000,
        b'{"seq": ' + b"1" * 5000 + b', "body": ""}',
        b" " * (1 << 21),
        b"\xff\xfe",
        b'{"seq": 15, "body": "\xed\xa0\x80"}',
    ],
)
def test_a_garbled_line_gives_a_verdict_and_no_traceback(judge, kept, line):
    files = a_trail().files()
    changes = {"entries.jsonl": files["entries.jsonl"] + line}

    verdict = judge(a_trail().changed(changes=changes), kept)

    assert verdict.code == (0 if not line else 1 if line.startswith(b'{"seq": 15, "body": ""}') else 2)


@pytest.mark.parametrize(
    "name", ["keys.txt", "manifest.note", "commitment.note", "checkpoints/000000000015.note"]
)
@pytest.mark.parametrize(
    "content", [b"\xff" * 10, b"\0", b"garbage\n", b"garbage\n\n\xe2\x80\x94 a b\n", b"x" * (2 << 20)]
)
def test_garbage_in_a_note_gives_a_verdict_and_no_traceback(judge, kept, name, content):
    assert judge(a_trail(), kept, after_signing={name: content}).code in (1, 2)


def test_a_file_that_stands_twice_is_unreadable(judge, tmp_path):
    path = a_trail().export(tmp_path / "bundle.zip")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("entries.jsonl", b"")

    assert judge(path).code == 2


def test_a_bundle_cut_or_changed_anywhere_never_crashes_the_verifier(judge, kept, tmp_path):
    whole = a_trail().export(tmp_path / "bundle.zip").read_bytes()
    broken = tmp_path / "broken.zip"

    for at in range(0, len(whole), 101):
        broken.write_bytes(whole[:at])
        assert judge(broken, kept).code == 2
        broken.write_bytes(whole[:at] + bytes((whole[at] ^ 0xFF,)) + whole[at + 1 :])
        judge(broken, kept)


@pytest.mark.parametrize(
    ("name", "content"),
    [("log.vkey", "garbage"), ("log.vkey", "\x00"), ("kept.note", "garbage"), ("keys.txt", "a+b+c")],
)
def test_garbage_among_what_was_kept_is_unreadable(judge, kept, name, content):
    (kept / name).write_text(content)

    assert judge(a_trail(), kept).code == 2


def test_what_a_bundle_says_cannot_steer_the_terminal(judge, kept):
    verdict = judge(a_trail(), kept, after_signing={"checkpoints/\x1b[2J\u202e.txt": b""})

    assert any(r"\x1b[2J\u202e" in line for line in verdict.of("violation"))


def test_a_garbled_trail_does_not_fill_the_screen(judge):
    events = [*a_trial(), *({"v": 0, "n": n} for n in range(500))]

    verdict = judge(a_trail(events))

    assert len(verdict.lines) < 220
    assert verdict.last == "verdict: violated (500 findings)"


def test_the_verifier_needs_neither_django_nor_the_canonical_json_package(tmp_path):
    bundle = a_trail().export(tmp_path / "bundle.zip")
    program = (
        "import sys; sys.modules.update(django=None, rfc8785=None, rest_framework=None);"
        "from trialsite.audit import verify; raise SystemExit(verify.main(sys.argv[1:]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_the_verifier_runs_as_the_manual_says(tmp_path):
    bundle = a_trail().export(tmp_path / "bundle.zip")
    command = [sys.executable, "-m", "trialsite.audit.verify"]

    holds = subprocess.run([*command, str(bundle)], capture_output=True, text=True, check=False)
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (holds.returncode, holds.stderr) == (0, "")
    assert wrong.returncode == 2
