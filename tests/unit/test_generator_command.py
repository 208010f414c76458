"""The ceremony at the command line: all or nothing, no plain word on disk, and every wrong input refused."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import resource
import secrets
import signal
import stat
import subprocess
import sys

import pytest

from randomization import generator, release
from randomization.ceremony import making
from randomization.ceremony.folder import write_new
from randomization.ceremony.software import SOFTWARE
from randomization.domain.schedule import commitment, generate_arms, spec_of
from tests.unit.ceremonies import (
    SEED,
    STRATA,
    TOP,
    KeyRing,
    a_command,
    a_key_ring,
    a_trial_file,
    the_arms_in,
    the_commitment_in,
    the_slots_in,
    what_is_under,
)
from trialsite import protocol as protocols
from trialsite.audit import notes

# A round of the network that was published.
SIGNATURE = "b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return a_key_ring(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def the_seed(monkeypatch):
    monkeypatch.setattr(secrets, "token_bytes", lambda size=32: SEED[:size])


@pytest.mark.requirement(5, 61)
def test_the_command_leaves_no_arm_and_no_seed_on_disk(keys, tmp_path, the_seed, capsys):
    status = generator.main(a_command(keys, tmp_path / "list"))

    assert status == 0
    written = what_is_under(tmp_path)
    assert set(written) == {
        "list/slots.jsonl",
        "list/commitment.note",
        "list/seed.json",
        "list/emergency/PUREN.json",
        "list/emergency/HANKOU.json",
    }
    said = capsys.readouterr()
    for text in (*written.values(), said.out.encode(), said.err.encode()):
        assert SEED not in text
        assert SEED.hex().encode() not in text
        assert base64.b64encode(SEED) not in text
        assert b"PLACEBO" not in text
    # A slot's line with any other field than the five is refused here.
    assert [slot.slot for slot in the_slots_in(tmp_path / "list")[:3]] == [0, 1, 2]
    sealed_seed = json.loads(written["list/seed.json"])
    assert set(sealed_seed) == {"v", "study", "root", "officers", "sealed", "revealed"}
    assert (len(base64.b64decode(sealed_seed["revealed"])) - 28) % 4096 == 0


@pytest.mark.requirement(6)
def test_a_list_written_line_by_line_is_the_one_made_in_memory(keys, tmp_path, the_seed):
    generator.main(a_command(keys, tmp_path / "list"))

    whole = generator.build_list(protocols.load(protocols.DEFAULT_TRIAL_FILE), SEED, 12, **keys.makers)
    assert [slot.leaf for slot in the_slots_in(tmp_path / "list")] == [slot.leaf for slot in whole.slots]
    assert the_commitment_in(tmp_path / "list").commitment == the_commitment_in(whole).commitment


@pytest.mark.requirement(5, 61)
@pytest.mark.parametrize("at", [0, 30])
def test_a_ceremony_that_fails_half_way_leaves_nothing(keys, tmp_path, monkeypatch, capsys, at):
    seal_slot, left = making.seal_slot, iter(range(at, -1, -1))

    def failing(*arguments, **named):
        if not next(left):
            raise OSError("No space left on device")
        return seal_slot(*arguments, **named)

    monkeypatch.setattr(making, "seal_slot", failing)

    status = generator.main(a_command(keys, tmp_path / "list", **{"seed-out": tmp_path / "seed"}))

    assert status == 2
    assert "No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_ceremony_that_is_interrupted_leaves_nothing(keys, tmp_path, monkeypatch, capsys):
    def interrupted(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "sealed_seed", interrupted)

    assert generator.main(a_command(keys, tmp_path / "list", **{"seed-out": tmp_path / "seed"})) == 2

    assert capsys.readouterr().err.endswith("\nInterrupted: nothing was written.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement(5, 61)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_ceremony_that_is_ended_by_a_signal_leaves_nothing(keys, tmp_path, monkeypatch, capsys, number):
    before = signal.getsignal(number)

    def ended(*_arguments, **_named):
        signal.raise_signal(number)

    monkeypatch.setattr(making, "sealed_seed", ended)

    assert generator.main(a_command(keys, tmp_path / "list")) == 2

    assert "nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) == before


def test_a_file_that_is_half_written_is_removed(tmp_path, monkeypatch):
    def full(_handle):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError, match="space"):
        write_new(tmp_path / "revealed.json", "{}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement(61)
@pytest.mark.parametrize("program", [generator, release])
def test_the_memory_is_not_dumped_if_a_program_crashes(program, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: asked.append(limit))
    missing = str(tmp_path / "missing")
    step = ["--check", missing, "--public-keys", missing]
    if program is release:
        step = ["prove", "--revealed", missing, "--stratum", "x", "--slot", "0", "--out", missing]

    assert program.main(step) == 2

    assert asked == [(resource.RLIMIT_CORE, (0, 0))]


def test_the_list_gets_its_name_when_it_is_whole(keys, tmp_path, monkeypatch):
    seen = []
    sealed_seed = making.sealed_seed

    def looking(*arguments, **named):
        seen.extend(path.name for path in tmp_path.iterdir())
        return sealed_seed(*arguments, **named)

    monkeypatch.setattr(making, "sealed_seed", looking)

    assert generator.main(a_command(keys, tmp_path / "list")) == 0
    assert len(seen) == 1
    assert seen[0].startswith(".list.partial-")
    assert [path.name for path in tmp_path.iterdir()] == ["list"]


def test_the_seed_is_written_for_an_evaluation_only_when_asked(keys, tmp_path, capsys):
    seed_file = tmp_path / "seed"

    status = generator.main(a_command(keys, tmp_path / "list", "--sites", **{"seed-out": seed_file}))

    assert status == 0
    assert stat.S_IMODE(seed_file.stat().st_mode) == 0o400
    assert f"Warning: {seed_file} tells every arm" in capsys.readouterr().err
    seed = bytes.fromhex(seed_file.read_text(encoding="ascii"))
    trial = protocols.load(protocols.DEFAULT_TRIAL_FILE)
    spec = spec_of(trial, length=12, sites=[])
    assert the_commitment_in(tmp_path / "list").commitment == commitment(spec.document(), seed)
    assert the_arms_in(tmp_path / "list", keys) == generate_arms(spec, seed)


@pytest.mark.requirement(7)
def test_every_run_has_a_seed_of_its_own(keys, tmp_path):
    for name in ("one", "other"):
        generator.main(a_command(keys, tmp_path / name, **{"seed-out": tmp_path / f"{name}.seed"}))

    assert (tmp_path / "one.seed").read_text() != (tmp_path / "other.seed").read_text()


def test_an_existing_list_is_never_replaced(keys, tmp_path, capsys):
    generator.main(a_command(keys, tmp_path / "list"))
    before = what_is_under(tmp_path)

    status = generator.main(a_command(keys, tmp_path / "list"))

    assert status == 2
    assert "exists already" in capsys.readouterr().err
    assert what_is_under(tmp_path) == before


def test_an_existing_seed_file_is_never_replaced(keys, tmp_path, capsys):
    (tmp_path / "seed").write_text("another")

    assert generator.main(a_command(keys, tmp_path / "list", **{"seed-out": tmp_path / "seed"})) == 2
    assert what_is_under(tmp_path) == {"seed": b"another"}


@pytest.mark.parametrize(
    ("more", "changed", "reason"),
    [
        ([], {"trial": "missing.toml"}, "missing.toml"),
        ([], {"length": 0}, "length"),
        # Four strata, and two reserved lists of 8.
        ([], {"length": 2_499_997}, "at most 10000000 slots"),
        ([], {"length": 10**30}, "at most 10000000 slots"),
        ([], {"public-keys": "missing.json"}, "missing.json"),
        ([], {"statistician-key": "missing"}, "missing"),
        (["--strata", "age_group=18-59"], {}, "not a stratum"),
        (["--sites", "WUHAN"], {}, "not a site"),
        (["--strata", "--sites"], {}, "no stratum"),
        (["--first-slots", f"{STRATA[0]}=4"], {}, "--extends"),
        (["--extends", "missing", "--first-slots", f"{STRATA[0]}=4"], {}, "missing"),
        (["--from-csv", "missing.csv"], {}, "missing.csv"),
        (["--from-csv", "-", "--beacon-round", "7"], {}, "standard input"),
        (["--beacon-signature", SIGNATURE], {}, "--beacon-round"),
        (["--beacon-round", "7", "--beacon-signature", SIGNATURE[2:]], {}, "malformed"),
        (["--beacon-round", "0", "--beacon-signature", SIGNATURE], {}, "no round 0"),
        (["--beacon-round", "-7"], {}, "no round -7"),
        (["--beacon-round", 2**53], {}, "no round"),
        (["--beacon-round", 2**53 + 1], {}, "no round"),
    ],
)
def test_a_wrong_input_is_refused_and_nothing_is_written(keys, tmp_path, capsys, more, changed, reason):
    assert generator.main(a_command(keys, tmp_path / "list", *more, **changed)) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_given_is_named(capsys):
    assert generator.main(["--trial", "trial.toml"]) == 2
    assert capsys.readouterr().err == "missing: --public-keys, --statistician-key, --out\n"


@pytest.mark.parametrize("kid", ["log-1", "auditor-1"])
def test_a_key_that_is_not_the_statisticians_cannot_sign(keys, tmp_path, kid):
    command = a_command(keys, tmp_path / "list", **{"statistician-key": keys.folder / kid})

    assert generator.main(command) == 2
    assert not (tmp_path / "list").exists()


def test_a_big_stick_has_lists_of_exactly_the_asked_length(keys, tmp_path):
    big_stick = a_trial_file(tmp_path, ("block_sizes = [4, 6]", 'design = {kind = "big_stick", mti = 3}'))

    status = generator.main(a_command(keys, tmp_path / "list", trial=big_stick))

    assert status == 0
    arms = the_arms_in(tmp_path / "list", keys)
    assert {len(row) for row in arms.values()} == {12}


def test_a_ratio_is_kept_in_every_stratum(keys, tmp_path):
    trial = a_trial_file(
        tmp_path, ("ratio = [1, 1]", "ratio = [2, 1]"), ("block_sizes = [4, 6]", "block_sizes = [6, 9]")
    )

    assert generator.main(a_command(keys, tmp_path / "list", trial=trial)) == 0
    for row in the_arms_in(tmp_path / "list", keys).values():
        assert row.count(0) == 2 * row.count(1)


def test_a_list_shorter_than_the_trial_files_is_warned_of(keys, tmp_path, capsys):
    for length, warned in ((59, True), (60, False)):
        generator.main(a_command(keys, tmp_path / str(length), length=length))
        assert ("below the trial file's list_length, 60" in capsys.readouterr().err) is warned


# The check without secrets.


def check(keys: KeyRing, folder, capsys) -> tuple[int, str]:
    capsys.readouterr()
    status = generator.main(["--check", str(folder), "--statistician", keys.public.statistician])
    said = capsys.readouterr()
    return status, said.out + said.err


def test_anyone_can_check_a_list_without_a_secret(keys, tmp_path, capsys):
    generator.main(a_command(keys, tmp_path / "list"))

    status, said = check(keys, tmp_path / "list", capsys)

    assert status == 0
    assert said.endswith("it holds\n")
    assert "not covered by the signature: seed.json, emergency/*.json" in said
    assert all(stratum in said for stratum in (*STRATA, "emergency=PUREN"))
    public = str(keys.folder / "public.json")
    assert generator.main(["--check", str(tmp_path / "list"), "--public-keys", public]) == 0


def altered(path, change):
    content = change(path.read_text())
    assert content != path.read_text()
    path.write_text(content)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("slots.jsonl", lambda text: "".join(reversed(text.splitlines(keepends=True))), "out of order"),
        ("slots.jsonl", lambda text: text[: text.rindex("{")], "were signed"),
        ("slots.jsonl", lambda text: text.replace('"leaf":"', '"leaf":"0', 1), "line 1"),
        ("slots.jsonl", lambda text: text.replace('"R', '"R1', 1), "different lengths"),
        ("slots.jsonl", lambda text: text.replace('"envelope":"', '"envelope":"A', 1), "line 1"),
        ("seed.json", lambda text: text.replace('"1+2"', '"1+1"'), "each pair"),
        ("seed.json", lambda text: text.replace('"revealed": "', '"revealed": "AAAA'), "specification"),
        ("seed.json", lambda text: text.replace("NCT", "NCX"), "another list"),
        ("emergency/PUREN.json", lambda text: text.replace("NCT", "NCX"), "another list"),
        ("emergency/PUREN.json", lambda text: text.replace('"sealed": "', '"sealed": "AAAA'), "not sealed"),
    ],
)
def test_a_list_that_was_altered_does_not_hold(keys, tmp_path, capsys, name, change, reason):
    generator.main(a_command(keys, tmp_path / "list"))
    altered(tmp_path / "list" / name, change)

    status, said = check(keys, tmp_path / "list", capsys)

    assert status == 1
    assert "wrong: " in said
    assert reason in said


def test_an_envelope_that_was_exchanged_does_not_hold(keys, tmp_path, capsys):
    generator.main(a_command(keys, tmp_path / "list"))
    first, second, *_ = the_slots_in(tmp_path / "list")
    one, other = (base64.b64encode(slot.envelope).decode() for slot in (first, second))
    altered(
        tmp_path / "list" / "slots.jsonl",
        lambda text: text.replace(one, "?").replace(other, one).replace("?", other),
    )

    status, said = check(keys, tmp_path / "list", capsys)

    assert status == 1
    assert "another file than was signed" in said


@pytest.mark.parametrize("changes", [{"root": bytes(32)}, {"leaves": 7}, {"slots": bytes(32)}])
def test_a_note_that_does_not_fit_its_slots_does_not_hold_whoever_signed_it(keys, tmp_path, capsys, changes):
    generator.main(a_command(keys, tmp_path / "list"))
    signed = dataclasses.replace(the_commitment_in(tmp_path / "list"), **changes)
    (tmp_path / "list" / "commitment.note").write_text(notes.sign_note(signed.text, keys.statistician))

    status, said = check(keys, tmp_path / "list", capsys)

    assert status == 1
    assert "signed\n" in said


@pytest.mark.parametrize("name", ["PUREN", "WUHAN"])
def test_a_sheet_too_few_or_too_many_does_not_hold(keys, tmp_path, capsys, name):
    generator.main(a_command(keys, tmp_path / "list"))
    (tmp_path / "list" / "emergency" / "PUREN.json").rename(tmp_path / f"{name}.json")
    if name == "WUHAN":
        (tmp_path / "WUHAN.json").rename(tmp_path / "list" / "emergency" / "WUHAN.json")

    status, said = check(keys, tmp_path / "list", capsys)

    assert status == 1
    assert "PUREN.json is missing" in said


@pytest.mark.parametrize("name", ["commitment.note", "seed.json", "slots.jsonl"])
def test_a_list_that_cannot_be_read_gives_no_answer(keys, tmp_path, capsys, name):
    generator.main(a_command(keys, tmp_path / "list"))
    (tmp_path / "list" / name).unlink()

    assert check(keys, tmp_path / "list", capsys)[0] == 2


def test_a_note_that_another_signed_gives_no_answer(keys, tmp_path, capsys):
    generator.main(a_command(keys, tmp_path / "list"))
    altered(tmp_path / "list" / "commitment.note", lambda text: text.replace("NCT", "NCX", 1))

    assert check(keys, tmp_path / "list", capsys)[0] == 2


# The program itself.


def the_modules_of(code: str) -> set[str]:
    run = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("module", ["generator", "release"])
def test_the_ceremony_runs_offline_and_imports_no_django(module):
    modules = the_modules_of(f"import sys, randomization.{module}; print(*sys.modules)")

    assert not {name.partition(".")[0] for name in modules} & {"django", "celery", "redis", "psycopg"}


def test_the_generator_cannot_open_what_it_seals():
    assert "trialsite.opening" not in the_modules_of(
        "import sys, randomization.generator; print(*sys.modules)"
    )


@pytest.mark.requirement(5)
def test_the_software_hash_is_over_every_file_of_ours_that_makes_the_list():
    code = (
        "import sys, randomization.generator; ours = ('trialsite', 'randomization'); "
        "print(*(m.__file__ for name, m in sys.modules.items() if name.partition('.')[0] in ours))"
    )

    files = {os.path.relpath(path, TOP) for path in the_modules_of(code)}

    empty = {path for path in files if not (TOP / path).read_text()}
    assert files - empty == set(SOFTWARE)
    assert list(SOFTWARE) == sorted(SOFTWARE)
