"""What an auditor brings to the verifier: which files are read, for whom their keys speak, what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.trails import (
    ATTACKER,
    COMMITMENT,
    LOG,
    STATISTICIAN,
    Judge,
    a_trail,
    a_trial,
    the_trail_of,
)
from trialsite.audit.notes import SigningKey, sign_note


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


def test_a_statisticians_key_that_only_public_keys_json_calls_so_is_no_logs(judge, kept):
    for path in kept.iterdir():
        path.unlink()
    plain = SigningKey("plain.example/NCT04293692", bytes(range(1, 33)))
    public = {"log": LOG.verifier.vkey, "statistician": plain.verifier.vkey}
    (kept / "public_keys.json").write_text(json.dumps(public))
    (kept / "more.vkey").write_text(plain.verifier.vkey)

    forgery = judge(the_trail_of(COMMITMENT, log=plain), kept).of("violation")

    assert "violation: checkpoints/000000000015.note: no known key signed the note" in forgery
    assert (
        judge(the_trail_of(sign_note(COMMITMENT.split("\n\n")[0] + "\n", plain)), kept).last
        == "verdict: holds"
    )


def test_keys_may_come_as_keys_txt_with_remarks(judge, kept):
    (kept / "log.vkey").rename(kept / "keys.txt")
    (kept / "keys.txt").write_text(f"# from the ethics office\n\n{LOG.verifier}\n{STATISTICIAN.verifier}\n")

    verdict = judge(a_trail(), kept)

    assert verdict.last == "verdict: holds"
    assert not any("statistician" in line for line in verdict.lines)


def test_a_kept_checkpoint_without_a_key_is_not_compared_by_the_bundles_own(judge, kept):
    (kept / "log.vkey").unlink()

    assert judge(a_trail(), kept).last == "verdict: unreadable"
    assert judge(a_trail().changed(log=ATTACKER), kept).last == "verdict: unreadable"


READ = (
    'read are *.vkey and keys.txt (a verifier key on each line), public_keys.json (its "log" and '
    '"statistician") and *.note'
)


def the_public_keys() -> str:
    reader = {"kid": "auditor-1", "alg": "x25519", "raw": "AAAA"}
    return json.dumps(
        {"auditor": reader, "log": LOG.verifier.vkey, "statistician": STATISTICIAN.verifier.vkey}
    )


def test_keys_may_come_as_the_deployments_public_keys(judge, kept):
    (kept / "log.vkey").unlink()
    (kept / "public_keys.json").write_text(the_public_keys())

    verdict = judge(a_trail(), kept)

    assert verdict.last == "verdict: holds"
    assert not any("statistician" in line for line in verdict.lines)
    assert judge(a_trail().changed(log=ATTACKER), kept).code == 1
    assert judge(the_trail_of(sign_note(COMMITMENT.split("\n\n")[0] + "\n", LOG)), kept).code == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"log": 7}',
        b'{"log": ""}x',
        b'{"log": "garbage"}',
        b'{"statistician": null}',
        b'{"statistician": "garbage"}',
        b'{"log": "\\ud800"}',
        b"[" * 100_000,
    ],
)
def test_public_keys_that_are_none_are_unreadable(judge, kept, content):
    (kept / "public_keys.json").write_bytes(content)

    assert judge(a_trail(), kept).last == "verdict: unreadable"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.pub", LOG.verifier.vkey),
        ("log.VKEY", LOG.verifier.vkey),
        ("keys.txt", "# none yet\n"),
        ("statistician.vkey", STATISTICIAN.verifier.vkey),
        ("witness.vkey", LOG.witness.vkey),
        ("public_keys.json", "{}"),
        ("public_keys.json", json.dumps({"statistician": STATISTICIAN.verifier.vkey})),
        ("public_keys.json", json.dumps({"log": STATISTICIAN.verifier.vkey})),
    ],
)
def test_a_folder_without_a_key_of_a_log_gives_no_verdict_on_the_trail(judge, kept, name, content):
    (kept / "log.vkey").unlink()
    (kept / name).write_text(content)

    verdict = judge(a_trail(), kept)

    assert (verdict.code, verdict.last) == (2, "verdict: unreadable")
    assert verdict.of("unreadable") == [f"unreadable: {kept}: no verifier key of a log; {READ}"]


def test_a_folder_that_cannot_be_listed_gives_no_verdict_on_the_trail(judge, kept, monkeypatch):
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    absent, file = judge(a_trail(), kept / "absent"), judge(a_trail(), kept / "log.vkey")
    monkeypatch.setattr(Path, "iterdir", refuse)
    closed = judge(a_trail(), kept)

    assert [verdict.code for verdict in (absent, file, closed)] == [2, 2, 2]
    assert absent.lines[0] == f"unreadable: {kept / 'absent'}: No such file or directory; {READ}"
    assert file.lines[0] == f"unreadable: {kept / 'log.vkey'}: Not a directory; {READ}"
    assert closed.lines[0] == f"unreadable: {kept}: Permission denied; {READ}"


def test_every_file_that_is_not_read_is_named(judge, kept):
    (kept / "README").write_text("the ethics office's")
    (kept / "checkpoint.txt").write_text(a_trail().note(4))
    (kept / "older").mkdir()

    verdict = judge(a_trail(), kept)

    assert verdict.lines[:3] == ["ignored: README", "ignored: checkpoint.txt", "ignored: older"]
    assert verdict.of("ignored") == verdict.lines[:3]
    assert verdict.last == "verdict: holds"


def test_every_kept_note_that_was_compared_and_agrees_is_named(judge, kept):
    (kept / "first.note").write_text(a_trail().note(4))
    (kept / "list.note").write_text(COMMITMENT)
    agreed = ["first.note", "yesterday.note"]

    verdict = judge(a_trail(), kept)

    assert [line for line in verdict.lines if "kept checkpoint" in line] == [
        f"note: kept checkpoint {name} agrees" for name in agreed
    ]
    assert "note: kept commitment list.note agrees" in verdict.lines


def test_a_kept_note_that_does_not_agree_is_not_said_to(judge, kept):
    events = a_trial()
    events[6]["data"] = {"changed": True}
    (kept / "early.note").write_text(a_trail().note(4))
    (kept / "list.note").write_text(COMMITMENT.replace("48", "52"))

    verdict = judge(a_trail(events), kept)

    assert [line for line in verdict.lines if "agrees" in line] == ["note: kept checkpoint early.note agrees"]
    assert any("kept yesterday.note" in line for line in verdict.of("violation"))


def test_a_bundle_cannot_crowd_out_what_is_said_of_the_auditors_own_files(judge, kept):
    events = [*a_trial(), *({"v": 0, "n": n} for n in range(500))]
    (kept / "last.note").write_text(a_trail(events).note())

    verdict = judge(a_trail(events), kept)

    assert "note: kept checkpoint last.note agrees" in verdict.lines


def test_many_kept_checkpoints_do_not_crowd_out_a_finding(judge, kept):
    for number in range(300):
        (kept / f"{number}.note").write_text(a_trail().note(4))
        (kept / f"{number}.txt").write_text("")
    events = [*a_trial(), a_trial()[0]]

    verdict = judge(a_trail(events), kept)

    assert verdict.of("violation") == ["violation: event 15: a genesis event after the first"]
    assert sum("agrees" in line for line in verdict.lines) == 301


def test_a_witnesss_key_under_the_statisticians_name_is_no_statisticians(judge, kept):
    (kept / "witness.vkey").write_text(STATISTICIAN.witness.vkey)

    assert any("no statistician's key was given" in line for line in judge(a_trail(), kept).of("note"))
