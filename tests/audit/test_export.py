"""The export and its verifier: what holds, and every way in which it can be made not to."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.audit.conftest import NOON, ORIGIN, add_an_event, an_intruder_with_the_superusers_password
from trialsite.audit import notes, services, verify
from trialsite.audit.export import bundle
from trialsite.audit.kinds import Kind
from trialsite.audit.merkle import Frontier, leaf_hash, root_of
from trialsite.audit.models import Entry
from trialsite.audit.signing import sign_checkpoint
from trialsite.keyfiles import read_key_file
from trialsite.sealing import PublicKeys

HOLDS, VIOLATED, UNREADABLE = 0, 1, 2
ROOT = Path(__file__).resolve().parents[2]
Bodies = list[bytes]
SEAL = bytes(range(32))


@dataclass(frozen=True)
class Auditor:
    """What an auditor has: an export, and a folder of keys with yesterday's checkpoint."""

    export: Path
    keys: Path
    yesterday: str

    def verdict(
        self, content: bytes, *, keys: Path | None = None, capsys: pytest.CaptureFixture[str]
    ) -> tuple:
        """Return the verifier's exit code on these bytes, and what it printed."""
        self.export.write_bytes(content)
        code = verify.main([str(self.export), *(["--keys", str(keys)] if keys else [])])
        return code, capsys.readouterr().out


def the_story(list_note: str) -> None:
    """Write a short trial to the trail: one of each thing that the verifier follows."""
    committed = {"root": "00" * 32, "note": list_note}
    record(Kind.TRIAL_LOADED, {"trial": "t"})
    record(Kind.LIST_COMMITTED, {"list": "l"}, committed)
    record(Kind.TRIAL_ACTIVATED, {"trial": "t"})
    found = {"status": "eligible", "stratum": {"age": "18-59"}}
    for number in range(3):
        person = {"participant": f"p{number}"}
        record(Kind.PARTICIPANT_SCREENED, person, found)
        record(Kind.PARTICIPANT_RANDOMIZED, {**person, "stratum": "age=18-59"}, {"slot": number})
    for number in range(3):
        services.record_sealed(
            kind=Kind.PREPARATION, event_id=uuid.UUID(int=number), at=NOON, body={"treatment": "cells"}
        )
        record(Kind.KIT_RELEASED, {"kit": f"K{number}"})
    for kind in (Kind.KIT_DISPENSED, Kind.INFUSION_STARTED):
        record(kind, {"kit": "K1"})


def record(kind: Kind, about: dict[str, str], data: dict[str, object] | None = None) -> None:
    services.record(kind=kind, by="system:test", at=NOON, about=about, data=data)


def a_commitment(*, root: bytes = bytes(32), title: str = "NCT04293692") -> str:
    statistician = notes.SigningKey(f"{ORIGIN}/statistician", SEAL)
    text = f"{verify.COMMITMENT_TITLE}\n{title}\n{base64.b64encode(root).decode()}\n"
    return notes.sign_note(text, statistician)


@pytest.fixture
def an_auditor(a_trail, tmp_path, settings) -> tuple[Auditor, bytes]:
    """An auditor and an export made today; yesterday's checkpoint was taken along halfway."""
    the_story(a_commitment())
    yesterday = sign_checkpoint()
    for number in range(5):
        a_trail(number)
    sign_checkpoint()
    a_trail(99)
    keys = tmp_path / "auditor"
    keys.mkdir()
    (keys / "log.vkey").write_text(PublicKeys.load(settings.PUBLIC_KEYS_FILE).log + "\n")
    (keys / "yesterday.note").write_text(yesterday)
    export = bundle(commitment_note=a_commitment())
    return Auditor(export=tmp_path / "trail.zip", keys=keys, yesterday=yesterday), export


# How the bytes of an export are taken apart and put together again, by hands other than ours.


def files_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def bodies_of(files: dict[str, bytes]) -> Bodies:
    return [base64.b64decode(json.loads(line)["body"]) for line in files["entries.jsonl"].splitlines()]


def with_entries(files: dict[str, bytes], bodies: Bodies) -> dict[str, bytes]:
    lines = [
        json.dumps({"seq": n, "body": base64.b64encode(b).decode()}) + "\n" for n, b in enumerate(bodies)
    ]
    return {**files, "entries.jsonl": "".join(lines).encode()}


def signed_anew(files: dict[str, bytes], signer: notes.Signer) -> dict[str, bytes]:
    """Sign everything again so that it fits together: checkpoints, keys and manifest."""
    bodies = bodies_of(files)
    leaves = [leaf_hash(body) for body in bodies]
    sizes = [
        int(name[len("checkpoints/") : -len(".note")]) for name in files if name.startswith("checkpoints/")
    ]
    kept = {name: content for name, content in files.items() if not name.startswith("checkpoints/")}
    for size in {min(size, len(leaves)) for size in sizes}:
        checkpoint = notes.Checkpoint(ORIGIN, size, root_of(leaves[:size]))
        kept[f"checkpoints/{size:012d}.note"] = notes.sign_checkpoint(checkpoint, signer).encode()
    kept["keys.txt"] = f"{signer.verifier.vkey}\n".encode()
    del kept["manifest.note"]
    manifest = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in kept.items())
    return {**kept, "manifest.note": notes.sign_note(manifest, signer).encode()}


def change_one_byte(bodies: Bodies) -> Bodies:
    body = bodies[7]
    assert body.count(b'"slot":1') == 1
    return [*bodies[:7], body.replace(b'"act":"system:test"', b'"act":"system:rest"'), *bodies[8:]]


def remove_an_event(bodies: Bodies) -> Bodies:
    return [*bodies[:15], *bodies[16:]]


def swap_two_events(bodies: Bodies) -> Bodies:
    return [*bodies[:15], bodies[16], bodies[15], *bodies[17:]]


def cut_the_tail(bodies: Bodies) -> Bodies:
    return bodies[:10]


CHANGES = [change_one_byte, remove_an_event, swap_two_events, cut_the_tail]


@pytest.mark.requirement(75)
def test_a_real_export_holds_for_an_auditor_with_keys(an_auditor, capsys):
    auditor, export = an_auditor

    code, printed = auditor.verdict(export, keys=auditor.keys, capsys=capsys)

    assert (code, printed.splitlines()[-1]) == (HOLDS, "verdict: holds")
    assert "violation" not in printed
    assert "24 events" in printed


def test_without_keys_the_verifier_says_aloud_that_the_signer_is_not_proven(an_auditor, capsys):
    auditor, export = an_auditor

    code, printed = auditor.verdict(export, capsys=capsys)

    assert code == HOLDS
    assert printed.splitlines()[-1] == "verdict: holds, signer not proven"
    assert printed.startswith("signer not proven: ")


def test_the_same_trail_is_exported_byte_for_byte(an_auditor):
    _, export = an_auditor

    assert bundle(commitment_note=a_commitment()) == export


def test_the_newest_checkpoint_covers_the_whole_export(an_auditor):
    _, export = an_auditor

    files = files_of(export)
    newest = max(name for name in files if name.startswith("checkpoints/"))
    tree = Frontier()
    for body in bodies_of(files):
        tree.append(leaf_hash(body))
    assert notes.Checkpoint.parse(notes.split_note(files[newest])[0]) == notes.Checkpoint(
        ORIGIN, tree.size, tree.root
    )


@pytest.mark.requirement(75, 76)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_export_is_found(an_auditor, capsys, change):
    auditor, export = an_auditor
    files = files_of(export)

    changed = zipped(with_entries(files, change(bodies_of(files))))

    code, printed = auditor.verdict(changed, keys=auditor.keys, capsys=capsys)
    assert (code, printed.splitlines()[-1].partition(" (")[0]) == (VIOLATED, "verdict: violated")
    assert auditor.verdict(changed, capsys=capsys)[0] == VIOLATED


@pytest.mark.requirement(75)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_export_that_a_stranger_signed_anew_is_found_by_the_logs_key(an_auditor, capsys, change):
    auditor, export = an_auditor
    files = files_of(export)
    stranger = notes.SigningKey(ORIGIN, SEAL)

    forged = zipped(signed_anew(with_entries(files, change(bodies_of(files))), stranger))
    # The key alone: yesterday's checkpoint would give the stranger away too.
    (auditor.keys / "yesterday.note").unlink()

    code, printed = auditor.verdict(forged, keys=auditor.keys, capsys=capsys)
    assert code == VIOLATED
    assert "no known key signed the note" in printed


@pytest.mark.requirement(75)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_export_that_the_logs_own_key_signed_is_found_by_yesterdays_checkpoint(
    an_auditor, capsys, the_keys, change
):
    auditor, export = an_auditor
    files = files_of(export)
    thief = notes.SigningKey(ORIGIN, read_key_file(the_keys / "signer" / "log-1.key").secret)

    forged = zipped(signed_anew(with_entries(files, change(bodies_of(files))), thief))

    code, printed = auditor.verdict(forged, keys=auditor.keys, capsys=capsys)
    assert code == VIOLATED
    assert "kept yesterday.note" in printed


def test_a_change_that_fits_together_is_not_found_without_keys_which_is_why_they_are_kept(an_auditor, capsys):
    auditor, export = an_auditor
    files = files_of(export)
    stranger = notes.SigningKey(ORIGIN, SEAL)

    forged = zipped(signed_anew(with_entries(files, change_one_byte(bodies_of(files))), stranger))

    code, printed = auditor.verdict(forged, capsys=capsys)
    assert (code, printed.splitlines()[-1]) == (HOLDS, "verdict: holds, signer not proven")


def forge_the_signature(files: dict[str, bytes], name: str) -> bytes:
    text, _ = notes.split_note(files[name])
    return notes.sign_note(text, notes.SigningKey(ORIGIN, SEAL)).encode()


def forge_the_root(files: dict[str, bytes], name: str) -> bytes:
    text, _ = notes.split_note(files[name])
    root = text.splitlines()[2]
    return files[name].replace(root.encode(), base64.b64encode(bytes(32)))


@pytest.mark.requirement(75)
@pytest.mark.parametrize("forge", [forge_the_signature, forge_the_root])
@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_a_forged_checkpoint_is_found(an_auditor, capsys, forge, which):
    auditor, export = an_auditor
    files = files_of(export)
    names = sorted(name for name in files if name.startswith("checkpoints/"))
    name = names[0 if which == "oldest" else -1]

    forged = zipped({**files, name: forge(files, name)})

    code, printed = auditor.verdict(forged, keys=auditor.keys, capsys=capsys)
    assert code == VIOLATED
    assert f"violation: {name}: " in printed


def test_an_export_cut_back_to_an_older_checkpoint_is_found(an_auditor, capsys):
    auditor, export = an_auditor
    files = files_of(export)
    older = with_entries(files, bodies_of(files)[:13])

    code, printed = auditor.verdict(zipped(older), keys=auditor.keys, capsys=capsys)

    assert code == VIOLATED
    assert "the bundle has 13" in printed


@pytest.mark.requirement(75)
def test_a_body_rewritten_in_the_database_is_found_although_its_leaf_was_left(an_auditor, capsys):
    auditor, _ = an_auditor
    entry = Entry.objects.get(position=7)
    with an_intruder_with_the_superusers_password():
        Entry.objects.filter(position=7).update(body=bytes(entry.body).replace(b'"slot":1', b'"slot":2'))

    code, printed = auditor.verdict(bundle(commitment_note=a_commitment()), keys=auditor.keys, capsys=capsys)

    assert code == VIOLATED
    assert "gives slot 2 where slot 1 is next" in printed


@pytest.mark.requirement(5)
@pytest.mark.parametrize("other", [{"root": SEAL}, {"title": "Another list"}], ids=["root", "text"])
def test_another_commitment_to_the_list_is_found(an_auditor, capsys, other):
    auditor, _ = an_auditor

    content = bundle(commitment_note=a_commitment(**other))

    code, printed = auditor.verdict(content, keys=auditor.keys, capsys=capsys)
    assert code == VIOLATED
    assert "violation: commitment.note: not what the trail's list.committed event says" in printed


@pytest.mark.parametrize(
    "garble",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda content: content[:-40], id="cut short"),
        pytest.param(lambda _: zipped({"entries.jsonl": b""}), id="no trail inside"),
    ],
)
def test_what_is_no_export_is_unreadable_and_not_violated(
    an_auditor, capsys, garble: Callable[[bytes], bytes]
):
    auditor, export = an_auditor

    code, printed = auditor.verdict(garble(export), keys=auditor.keys, capsys=capsys)

    assert (code, printed.splitlines()[-1]) == (UNREADABLE, "verdict: unreadable")


@pytest.mark.requirement(75, 84)
def test_the_verifier_runs_from_the_command_line_with_the_export_alone(an_auditor, tmp_path):
    auditor, export = an_auditor
    auditor.export.write_bytes(export)
    files = files_of(export)
    changed = tmp_path / "changed.zip"
    changed.write_bytes(zipped(with_entries(files, change_one_byte(bodies_of(files)))))

    ran = [
        subprocess.run(
            [sys.executable, "-m", "trialsite.audit.verify", str(path), "--keys", str(auditor.keys)],
            cwd=ROOT,
            env={},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        for path in (auditor.export, changed)
    ]

    assert [run.returncode for run in ran] == [HOLDS, VIOLATED]
    assert [run.stderr for run in ran] == ["", ""]
    assert ran[0].stdout.endswith("verdict: holds\n")


def test_an_export_goes_on_where_events_follow_it(an_auditor, capsys):
    auditor, _ = an_auditor

    add_an_event(100)

    code, _ = auditor.verdict(bundle(commitment_note=a_commitment()), keys=auditor.keys, capsys=capsys)
    assert code == HOLDS
