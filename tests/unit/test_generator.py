"""The list: golden values, sealed slots, signed commitment, sealed seed, and nothing plain on disk."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import itertools
import json
import secrets
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from randomization import generator
from randomization.domain.schedule import (
    Arms,
    Spec,
    commitment,
    generate_arms,
    slot_salts,
    spec_hash,
    spec_of,
)
from randomization.domain.sealed_list import Commitment, SealedListInvalid, SealedSlot
from randomization.domain.strata import all_strata
from trialsite import protocol as protocols
from trialsite.audit import merkle, notes
from trialsite.keyfiles import KeyFile, write_key_file
from trialsite.opening import FileKeys, open_pairwise, open_slot
from trialsite.sealing import PublicKey, PublicKeys, slot_leaf

TOP = Path(__file__).parents[2]
GOLDEN = json.loads((TOP / "tests" / "vectors" / "schedule.json").read_text(encoding="utf-8"))
SEED = bytes.fromhex(GOLDEN["seed"])
TRIAL = protocols.load(protocols.DEFAULT_TRIAL_FILE)
NOON = dt.datetime(2020, 2, 24, 12, tzinfo=dt.UTC)
OFFICERS = ("release-1", "release-2", "release-3")


@dataclasses.dataclass(frozen=True)
class KeyRing:
    """A deployment's keys in a folder of the test."""

    folder: Path
    public: PublicKeys
    statistician: notes.Signer

    def private(self, *kids: str) -> FileKeys:
        return FileKeys([self.folder / kid for kid in kids])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    folder = tmp_path_factory.mktemp("keys")

    def a_key(kid: str, alg: str = "x25519") -> KeyFile:
        return write_key_file(folder / kid, alg, kid, hashlib.sha256(kid.encode()).digest(), NOON)

    def a_reader(kid: str) -> PublicKey:
        return PublicKey(kid=kid, alg="x25519", raw=a_key(kid).public_bytes())

    statistician = notes.SigningKey("statistician-1", a_key("statistician-1", "ed25519").secret)
    one, two, three = (a_reader(kid) for kid in OFFICERS)
    public = PublicKeys(
        code_break=a_reader("code-break-1"),
        auditor=a_reader("auditor-1"),
        safety_desk=a_reader("safety-desk-1"),
        release=(one, two, three),
        log=statistician.verifier.vkey,
        statistician=statistician.verifier.vkey,
    )
    public.dump(folder / "public.json")
    a_key("log-1", "ed25519")
    return KeyRing(folder=folder, public=public, statistician=statistician)


def the_golden_spec() -> Spec:
    golden = GOLDEN["spec"]
    return Spec(
        study=GOLDEN["study"],
        trial="00" * 32,
        strata=tuple(golden["strata"]),
        length=golden["length"],
        blocks=tuple(golden["blocks"]),
        arms=tuple(golden["arms"]),
        ratio=tuple(golden["ratio"]),
    )


def a_bundle(keys: KeyRing, *, length: int = 12) -> generator.ListBundle:
    return generator.build_list(TRIAL, SEED, length, public_keys=keys.public, statistician=keys.statistician)


def the_arms_in(bundle: generator.ListBundle, keys: KeyRing) -> dict[str, list[int]]:
    """Open every slot with the code-break key."""
    private = keys.private("code-break-1")
    root = Commitment.parse(notes.split_note(bundle.commitment_note)[0]).root
    arms: dict[str, list[int]] = {}
    for slot in bundle.slots:
        arm = open_slot(
            private,
            "code-break-1",
            slot.envelope,
            study=TRIAL.protocol,
            stratum=slot.stratum,
            slot=slot.slot,
            root=root,
            leaf_hash=slot.leaf,
        )
        arms.setdefault(slot.stratum, []).append(arm)
    return arms


def a_command(keys: KeyRing, folder: Path, **changed: object) -> list[str]:
    options: dict[str, object] = {
        "trial": protocols.DEFAULT_TRIAL_FILE,
        "length": 12,
        "public-keys": keys.folder / "public.json",
        "statistician-key": keys.folder / "statistician-1",
        "out": folder,
    } | changed
    return [text for name, value in options.items() for text in (f"--{name}", str(value))]


@pytest.mark.requirement(6)
def test_the_golden_seed_gives_the_golden_arms():
    arms = generate_arms(the_golden_spec(), SEED)

    assert {stratum: "".join("AB"[arm] for arm in row) for stratum, row in arms.items()} == GOLDEN["arms"]


@pytest.mark.requirement(6)
def test_the_golden_seed_gives_the_golden_root_and_commitment(keys):
    spec = the_golden_spec()
    arms = generate_arms(spec, SEED)
    salts = slot_salts(arms, SEED)
    numbers = generator.draw_numbers(52)

    sealed = generator.seal_list(spec, arms, salts, keys.public.code_break, numbers)
    first = slot_leaf(study=spec.study, stratum=spec.strata[0], slot=0, arm=0, salt=salts[spec.strata[0]][0])

    assert first.decode() == GOLDEN["slot_0_data"]
    assert sealed.slots[0].leaf.hex() == GOLDEN["slot_0_leaf"]
    assert sealed.root.hex() == GOLDEN["root"]
    assert commitment(GOLDEN["spec"], SEED).hex() == GOLDEN["commitment"]


@pytest.mark.requirement(6)
def test_a_stratum_added_later_moves_no_slot_of_another():
    spec = the_golden_spec()
    amended = dataclasses.replace(spec, strata=("site=02|sev=mild", *spec.strata))

    before, after = generate_arms(spec, SEED), generate_arms(amended, SEED)

    assert {stratum: after[stratum] for stratum in spec.strata} == before


@pytest.mark.requirement(57)
def test_every_slot_has_a_salt_of_its_own():
    salts = slot_salts(generate_arms(the_golden_spec(), SEED), SEED)

    every = [salt for row in salts.values() for salt in row]
    assert len(set(every)) == len(every) == 52
    assert {len(salt) for salt in every} == {32}


@pytest.mark.parametrize(
    "change", [{"length": 25}, {"blocks": (4, 8)}, {"ratio": (2, 2)}, {"trial": "11" * 32}, {"study": "NCT1"}]
)
def test_the_commitment_binds_every_part_of_the_specification(change):
    spec = the_golden_spec()
    other = dataclasses.replace(spec, **change)

    assert commitment(other.document(), SEED) != commitment(spec.document(), SEED)
    assert spec_hash(other.document(), SEED) != spec_hash(spec.document(), SEED)


@pytest.mark.requirement(4)
def test_the_published_hash_of_the_specification_cannot_be_found_by_trying_block_sizes():
    document = the_golden_spec().document()

    assert spec_hash(document, SEED) != spec_hash(document, bytes(32))


def test_the_specification_is_that_of_the_trial_file():
    spec = spec_of(TRIAL)

    assert spec.document() == {
        "study": "NCT04293692",
        "trial": TRIAL.content_hash,
        "strata": list(all_strata(TRIAL)),
        "length": 60,
        "blocks": [4, 6],
        "arms": ["UC-MSC", "PLACEBO"],
        "ratio": [1, 1],
    }
    assert spec_of(TRIAL, length=7).length == 7


@pytest.mark.requirement(4)
def test_no_list_can_be_made_from_what_the_server_keeps():
    kept = protocols.from_document(TRIAL.public_document())

    with pytest.raises(ValueError, match="no design"):
        spec_of(kept)
    with pytest.raises(ValueError, match="no design"):
        spec_of(kept, length=12)


def test_a_list_of_no_slots_is_refused():
    with pytest.raises(ValueError, match="length"):
        spec_of(TRIAL, length=0)


@pytest.mark.requirement(5, 6, 15)
def test_each_sealed_slot_opens_to_its_arm_under_the_published_root(keys):
    bundle = a_bundle(keys)

    assert the_arms_in(bundle, keys) == generate_arms(spec_of(TRIAL, length=12), SEED)
    root = Commitment.parse(notes.split_note(bundle.commitment_note)[0]).root
    assert merkle.root_of(slot.leaf for slot in bundle.slots) == root


@pytest.mark.requirement(50)
def test_the_arms_can_be_exchanged_between_generating_and_sealing(keys):
    spec = spec_of(TRIAL, length=12)
    arms = generate_arms(spec, SEED)
    exchanged = {stratum: [1 - arm for arm in row] for stratum, row in arms.items()}

    bundle = generator.bundle_of(
        spec, exchanged, SEED, public_keys=keys.public, statistician=keys.statistician
    )

    assert the_arms_in(bundle, keys) == exchanged


@pytest.mark.requirement(56)
def test_envelopes_have_one_size_and_never_repeat(keys):
    one, other = a_bundle(keys), a_bundle(keys)

    envelopes = [slot.envelope for slot in (*one.slots, *other.slots)]
    assert {len(envelope) for envelope in envelopes} == {96}
    assert len(set(envelopes)) == len(envelopes)
    assert [slot.leaf for slot in one.slots] == [slot.leaf for slot in other.slots]


@pytest.mark.requirement(21)
def test_randomization_numbers_are_unlike_and_follow_from_nothing(keys):
    one, other = a_bundle(keys, length=60), a_bundle(keys, length=60)

    numbers = [slot.randomization_number for slot in one.slots]
    assert len(set(numbers)) == len(numbers) >= 240
    assert all(number[0] == "R" and number[1:].isdigit() and len(number) == 7 for number in numbers)
    assert numbers != sorted(numbers)
    # The same seed again gives other numbers, so that the seed does not tell them either.
    assert numbers != [slot.randomization_number for slot in other.slots]


@pytest.mark.requirement(21)
def test_a_number_drawn_twice_is_given_once():
    draws = iter([7, 7, 999_999, 7, 0])

    assert generator.draw_numbers(3, below=lambda _: next(draws)) == ["R000007", "R999999", "R000000"]


@pytest.mark.requirement(21)
def test_numbers_do_not_depend_on_the_arms(keys):
    spec = spec_of(TRIAL, length=12)
    arms = generate_arms(spec, SEED)
    exchanged = {stratum: [1 - arm for arm in row] for stratum, row in arms.items()}

    def numbers(of: Arms) -> list[str]:
        counter = itertools.count(1)
        bundle = generator.bundle_of(
            spec,
            of,
            SEED,
            public_keys=keys.public,
            statistician=keys.statistician,
            below=lambda bound: next(counter) * 7919 % bound,
        )
        return [slot.randomization_number for slot in bundle.slots]

    assert numbers(arms) == numbers(exchanged)


def test_more_numbers_than_can_be_unguessable_are_refused():
    with pytest.raises(ValueError, match="too many"):
        generator.draw_numbers(100_001)


@pytest.mark.requirement(5)
def test_the_statistician_signs_the_commitment(keys):
    bundle = a_bundle(keys)

    note = notes.open_note(bundle.commitment_note, [notes.VerifierKey.parse(keys.public.statistician)])
    published = Commitment.parse(note.text)

    assert published.study == "NCT04293692"
    assert published.leaves == len(bundle.slots)
    assert published.trial == TRIAL.content_hash
    assert published.commitment == commitment(spec_of(TRIAL, length=12).document(), SEED)
    assert published.software == generator.software_hash()
    assert note.text.split("\n")[2] == base64.b64encode(published.root).decode()


@pytest.mark.requirement(71)
@pytest.mark.parametrize("pair", list(itertools.combinations((0, 1, 2), 2)))
def test_any_two_officers_open_the_seed(keys, pair):
    sealed = a_bundle(keys).sealed_seed
    first, second = pair
    info = generator.seed_info(study=sealed["study"], root=bytes.fromhex(sealed["root"]))

    opened = open_pairwise(
        base64.b64decode(sealed["sealed"][f"{first + 1}+{second + 1}"]),
        (keys.private(OFFICERS[first]), OFFICERS[first]),
        (keys.private(OFFICERS[second]), OFFICERS[second]),
        info,
    )

    assert opened == SEED
    assert sealed["officers"] == list(OFFICERS)


def test_a_slot_is_read_back_from_its_line(keys):
    for slot in a_bundle(keys).slots:
        assert SealedSlot.from_line(f"{slot.to_line()}\n") == slot


@pytest.mark.parametrize(
    "change",
    [
        {"slot": -1},
        {"slot": "1"},
        {"slot": 1.5},
        {"envelope": "AAAA"},
        {"envelope": "not base64"},
        {"leaf": "00"},
        {"leaf": "zz"},
        {"leaf": ["00"]},
        {"randomization_number": "R1"},
        {"arm": 0},
    ],
)
def test_a_malformed_slot_is_refused(keys, change):
    record = json.loads(a_bundle(keys).slots[0].to_line()) | change

    with pytest.raises(SealedListInvalid):
        SealedSlot.from_line(json.dumps(record, sort_keys=True, separators=(",", ":")))


@pytest.mark.parametrize("line", ["", "[]", "7", "{}"])
def test_a_line_that_is_no_slot_is_refused(line):
    with pytest.raises(SealedListInvalid):
        SealedSlot.from_line(line)


@pytest.mark.parametrize(
    ("number", "line"),
    [(0, "another-title/v1"), (2, "AAAA"), (2, "!"), (3, "00"), (4, "0"), (4, "052"), (6, "x" * 64), (7, "")],
)
def test_a_malformed_commitment_is_refused(keys, number, line):
    lines = notes.split_note(a_bundle(keys).commitment_note)[0].split("\n")
    lines[number] = line

    with pytest.raises(SealedListInvalid):
        Commitment.parse("\n".join(lines))


@pytest.mark.requirement(5, 61)
def test_the_command_leaves_no_arm_and_no_seed_on_disk(keys, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(secrets, "token_bytes", lambda _: SEED)

    status = generator.main(a_command(keys, tmp_path / "list"))

    assert status == 0
    assert {path.name for path in (tmp_path / "list").iterdir()} == {
        "slots.jsonl",
        "commitment.note",
        "seed.json",
    }
    said = capsys.readouterr()
    written = b"".join(path.read_bytes() for path in (tmp_path / "list").iterdir())
    for text in (written, said.out.encode(), said.err.encode()):
        assert SEED not in text
        assert SEED.hex().encode() not in text
        assert base64.b64encode(SEED) not in text
    lines = (tmp_path / "list" / "slots.jsonl").read_text(encoding="utf-8").splitlines()
    # A slot's line with any other field than the five is refused here.
    assert [SealedSlot.from_line(line).slot for line in lines[:3]] == [0, 1, 2]
    sealed_seed = json.loads((tmp_path / "list" / "seed.json").read_text(encoding="utf-8"))
    assert set(sealed_seed) == {"v", "study", "root", "officers", "sealed"}


def test_the_seed_is_written_for_an_evaluation_only_when_asked(keys, tmp_path):
    seed_file = tmp_path / "seed"

    status = generator.main(a_command(keys, tmp_path / "list", **{"seed-out": seed_file}))

    assert status == 0
    assert stat.S_IMODE(seed_file.stat().st_mode) == 0o400
    seed = bytes.fromhex(seed_file.read_text(encoding="ascii"))
    note = notes.split_note((tmp_path / "list" / "commitment.note").read_text(encoding="utf-8"))[0]
    assert Commitment.parse(note).commitment == commitment(spec_of(TRIAL, length=12).document(), seed)


@pytest.mark.requirement(7)
def test_every_run_has_a_seed_of_its_own(keys, tmp_path):
    for name in ("one", "other"):
        generator.main(a_command(keys, tmp_path / name, **{"seed-out": tmp_path / f"{name}.seed"}))

    assert (tmp_path / "one.seed").read_text() != (tmp_path / "other.seed").read_text()


def test_an_existing_list_is_never_replaced(keys, tmp_path, capsys):
    generator.main(a_command(keys, tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    status = generator.main(a_command(keys, tmp_path))

    assert status == 2
    assert "exists already" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "changed",
    [
        {"trial": "missing.toml"},
        {"length": 0},
        {"public-keys": "missing.json"},
        {"statistician-key": "missing"},
    ],
)
def test_a_wrong_input_is_refused_and_nothing_is_written(keys, tmp_path, changed):
    assert generator.main(a_command(keys, tmp_path / "list", **changed)) == 2
    assert not (tmp_path / "list").exists()


@pytest.mark.parametrize("kid", ["log-1", "auditor-1"])
def test_a_key_that_is_not_the_statisticians_cannot_sign(keys, tmp_path, kid):
    command = a_command(keys, tmp_path / "list", **{"statistician-key": keys.folder / kid})

    assert generator.main(command) == 2
    assert not (tmp_path / "list").exists()


def test_the_generator_runs_offline_and_imports_no_django():
    code = (
        "import sys, randomization.generator; tops = {name.split('.')[0] for name in sys.modules}; "
        "print(sorted(tops & {'django', 'celery', 'redis', 'psycopg'}))"
    )

    run = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"
