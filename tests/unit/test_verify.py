"""The verifier against an honest trail, and against everyone who would have it say something else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.unit.trails import (
    ATTACKER,
    LOG,
    ORIGIN,
    STATISTICIAN,
    Judge,
    Trail,
    a_sealed_event,
    a_trail,
    a_trial,
    a_zip,
    an_event,
)
from trialsite.audit.canonical import canonical
from trialsite.audit.notes import Checkpoint, Signer, SigningKey, sign_checkpoint, sign_note

YESTERDAY = 9
OTHER_LOG = SigningKey("other.example/NCT04293692", bytes(32))


@pytest.fixture
def kept(tmp_path) -> Path:
    """What the auditor has from before: the log's public key and yesterday's checkpoint."""
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "log.vkey").write_text(LOG.verifier.vkey + "\n")
    (folder / "yesterday.note").write_text(a_trail().note(YESTERDAY))
    return folder


@pytest.fixture
def judge(tmp_path) -> Judge:
    return Judge(tmp_path)


# An honest trail.


@pytest.mark.requirement(75)
def test_an_honest_trail_holds(judge, kept):
    verdict = judge(a_trail(), kept)

    assert verdict.code == 0
    assert verdict.last == "verdict: holds"
    assert not verdict.of("violation")


def test_a_trail_that_only_its_own_keys_vouch_for_holds_and_says_so(judge):
    verdict = judge(a_trail())

    assert verdict.code == 0
    assert verdict.of("signer not proven")
    assert verdict.last == "verdict: holds, signer not proven"


def test_a_trail_before_its_list_holds(judge, kept):
    (kept / "yesterday.note").unlink()

    assert judge(a_trail(a_trial()[:2]).changed(commitment=""), kept).code == 0


def test_the_root_is_told_so_that_it_can_be_compared_by_eye(judge, kept):
    root = a_trail().note().splitlines()[2]

    assert any(root in line and ORIGIN in line for line in judge(a_trail(), kept).of("note"))


def test_what_needs_the_key_is_said_to_be_unchecked(judge, kept):
    events = [*a_trial(), a_sealed_event({"step": "intent"}), a_sealed_event({"step": "reveal"})]

    verdict = judge(a_trail(events), kept)

    assert verdict.code == 0
    assert any("2 sealed events" in line and "auditor's key" in line for line in verdict.of("note"))


def test_an_evaluation_is_called_one(judge):
    events = a_trial()
    events[0]["data"]["evaluation"] = True

    assert any("evaluation" in line for line in judge(a_trail(events)).of("note"))


# Someone who can write the database, and not sign.


def forged(trail: Trail, bodies: list[bytes]) -> Trail:
    """Return a bundle of other events with the genuine notes and a genuine manifest of all of it."""
    genuine = {name: content for name, content in trail.files().items() if name != "entries.jsonl"}
    changed = trail.changed(bodies=tuple(bodies))
    extra = {name: None for name in changed.files() if name not in genuine}
    return changed.changed(
        changes={
            **{name: genuine[name] for name in genuine},
            **extra,
            "entries.jsonl": changed.files()["entries.jsonl"],
        }
    )


def changed_byte(bodies: list[bytes]) -> list[bytes]:
    at = bodies[5].index(b"p-2")
    return [*bodies[:5], bodies[5][:at] + b"p-9" + bodies[5][at + 3 :], *bodies[6:]]


TAMPERINGS = {
    "one changed byte": changed_byte,
    "one changed byte at the end": lambda bodies: [
        *bodies[:-1],
        bodies[-1].replace(b"infusion.stopped", b"infusion.started"),
    ],
    "a removed event": lambda bodies: [*bodies[:6], *bodies[7:]],
    "the first event removed": lambda bodies: bodies[1:],
    "two swapped events": lambda bodies: [*bodies[:6], bodies[7], bodies[6], *bodies[8:]],
    "an event put in": lambda bodies: [*bodies[:6], canonical(an_event("kit.wasted")), *bodies[6:]],
    "an event put at the end": lambda bodies: [*bodies, canonical(an_event("kit.wasted"))],
    "an event repeated": lambda bodies: [*bodies[:6], bodies[5], *bodies[6:]],
    "a truncated tail": lambda bodies: bodies[:8],
    "a tail cut by one": lambda bodies: bodies[:-1],
    "everything removed": lambda bodies: bodies[:0],
}


@pytest.mark.parametrize("name", TAMPERINGS)
@pytest.mark.requirement(75, 76)
def test_tampering_shows_even_if_the_manifest_were_signed_anew(judge, kept, name):
    trail = a_trail()

    verdict = judge(forged(trail, TAMPERINGS[name](list(trail.bodies))), kept)

    assert verdict.code == 1
    assert verdict.last.startswith("verdict: violated")


@pytest.mark.parametrize("name", TAMPERINGS)
@pytest.mark.requirement(75, 76)
def test_tampering_shows_by_yesterdays_checkpoint_alone(judge, kept, name):
    # The whole log was signed anew with the log's own key: only what was kept can tell.
    trail = a_trail()
    bodies = TAMPERINGS[name](list(trail.bodies))
    survives = root_prefix(bodies) == root_prefix(list(trail.bodies))

    verdict = judge(trail.changed(bodies=tuple(bodies), checkpoints=()), kept)

    assert any("kept yesterday.note" in line for line in verdict.of("violation")) != survives


def root_prefix(bodies: list[bytes]) -> list[bytes] | None:
    return bodies[:YESTERDAY] if len(bodies) >= YESTERDAY else None


@pytest.mark.requirement(75)
def test_a_byte_changed_in_the_file_shows_against_the_manifest(judge, kept):
    trail = a_trail()
    for name in trail.files():
        content = bytearray(trail.files()[name])
        content[len(content) // 2] ^= 1

        verdict = judge(trail, kept, after_signing={name: bytes(content)})

        # A key that no longer parses leaves nothing to check by; all else is told as tampering.
        assert verdict.code == (2 if name == "keys.txt" else 1), name


@pytest.mark.parametrize("missing", ["commitment.note", "checkpoints/000000000004.note"])
def test_a_file_taken_out_shows(judge, kept, missing):
    verdict = judge(a_trail(), kept, after_signing={missing: None})

    assert verdict.code == 1
    assert f"violation: {missing}: listed in the manifest and missing" in verdict.lines


def test_a_file_put_in_shows(judge, kept):
    verdict = judge(a_trail(), kept, after_signing={"checkpoints/more.note": a_trail().note(4).encode()})

    assert verdict.code == 1
    assert "violation: checkpoints/more.note: not listed in the manifest" in verdict.lines


def test_an_event_that_bears_another_number_shows(judge, kept):
    renumbered = a_trail().files()["entries.jsonl"].replace(b'"seq": 6,', b'"seq": 7,')

    verdict = judge(a_trail().changed(changes={"entries.jsonl": renumbered}), kept)

    assert verdict.code == 1
    assert "violation: event 7: stands where event 6 belongs" in verdict.lines


# Someone who can sign, with a key of their own.


@pytest.mark.requirement(75)
def test_a_trail_signed_anew_with_another_key_shows(judge, kept):
    verdict = judge(a_trail().changed(log=ATTACKER), kept)

    assert verdict.code == 1
    assert any("no known key signed the note" in line for line in verdict.of("violation"))


def test_a_trail_signed_anew_under_another_name_shows(judge, kept):
    stranger = OTHER_LOG
    events = a_trial()
    events[0]["data"]["origin"] = stranger.name

    assert judge(a_trail(events).changed(log=stranger), kept).code == 1
    (kept / "log.vkey").write_text(f"{LOG.verifier}\n{stranger.verifier}\n")
    assert judge(a_trail(events).changed(log=stranger), kept).code == 1


def test_a_rebuilt_tree_under_an_old_checkpoint_shows(judge, kept):
    trail = a_trail()
    rebuilt = trail.changed(bodies=tuple(changed_byte(list(trail.bodies))), log=ATTACKER)
    old = {f"checkpoints/{size:012d}.note": trail.note(size).encode() for size in (4, 9, 15)}

    verdict = judge(rebuilt.changed(changes=old), kept)

    assert verdict.code == 1
    assert any("signed another root" in line for line in verdict.of("violation"))


def test_a_forged_checkpoint_among_genuine_ones_shows(judge, kept):
    trail = a_trail()
    wrong = sign_checkpoint(Checkpoint(ORIGIN, 6, bytes(32)), ATTACKER)

    verdict = judge(trail.changed(changes={"checkpoints/6.note": wrong.encode()}), kept)

    assert verdict.code == 1
    assert any(line.startswith("violation: checkpoints/6.note") for line in verdict.lines)


def test_a_checkpoint_with_a_genuine_signature_over_another_text_shows(judge, kept):
    text, signatures = a_trail().note().split("\n\n")
    moved = text.replace("\n15\n", "\n11\n") + "\n\n" + signatures

    verdict = judge(a_trail().changed(changes={"checkpoints/11.note": moved.encode()}), kept)

    assert any("checkpoints/11.note" in line and "is wrong" in line for line in verdict.of("violation"))


def test_a_split_view_by_the_log_itself_shows(judge, kept):
    other_view = a_trail().changed(bodies=tuple(changed_byte(list(a_trail().bodies)))).note(8)

    verdict = judge(a_trail().changed(changes={"checkpoints/8.note": other_view.encode()}), kept)

    assert any("checkpoints/8.note: signed another root" in line for line in verdict.of("violation"))


def test_a_manifest_signed_by_another_key_shows(judge, kept):
    honest = a_trail().export(kept / "bundle.zip")
    other = a_trail().changed(log=ATTACKER).export(kept / "other.zip")
    manifest = zip_files(other)["manifest.note"]

    verdict = judge(a_zip(honest, {**zip_files(honest), "manifest.note": manifest}), kept)

    assert any("manifest.note: no known key" in line for line in verdict.of("violation"))


def test_a_manifest_signed_by_the_statistician_or_another_log_is_not_the_logs(judge, kept):
    (kept / "log.vkey").write_text(f"{LOG.verifier}\n{STATISTICIAN.verifier}\n{OTHER_LOG.verifier}\n")
    files = zip_files(a_trail().export(kept / "bundle.zip"))
    text = files["manifest.note"].decode().split("\n\n")[0] + "\n"

    def signed_by(signer: Signer) -> Path:
        return a_zip(kept / "b.zip", {**files, "manifest.note": sign_note(text, signer).encode()})

    assert judge(signed_by(OTHER_LOG), kept).of("violation") == [
        "violation: manifest.note: not signed by the log"
    ]
    assert judge(signed_by(STATISTICIAN), kept).of("violation") == [
        "violation: manifest.note: no known key signed the note"
    ]


def zip_files(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_events_that_no_checkpoint_covers_show(judge, kept):
    last = "checkpoints/000000000015.note"

    verdict = judge(a_trail().changed(changes={last: None}), kept)

    assert any("no checkpoint covers the last 6 of 15 events" in line for line in verdict.of("violation"))


def test_a_kept_checkpoint_of_another_log_is_not_passed_over(judge, kept):
    other = SigningKey("other.example/x", bytes(32))
    (kept / "other.vkey").write_text(other.verifier.vkey)
    (kept / "other.note").write_text(sign_checkpoint(Checkpoint(other.name, 3, bytes(32)), other))

    verdict = judge(a_trail(), kept)

    assert any("of the log other.example/x" in line for line in verdict.of("violation"))
