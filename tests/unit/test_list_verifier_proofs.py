"""The verifier of the list by itself: published answers, proofs of single slots, and its inputs."""

from __future__ import annotations

import argparse
import ast
import base64
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from randomization import verifier
from tests.unit.ceremonies import GOLDEN, SEED, TOP, KeyRing, a_key_ring
from tests.unit.listed import ONE, TWO, Word, a_list, an_export, note_lines, taken, the_start
from tests.unit.trails import a_zip
from trialsite.audit import merkle, notes

VECTORS = TOP / "tests" / "vectors"
VERIFIER = Path(verifier.__file__)


def vectors(name: str) -> dict:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> KeyRing:
    return a_key_ring(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def honest(tmp_path_factory, keys) -> Path:
    return a_list(tmp_path_factory.mktemp("honest") / "list", keys)


@pytest.mark.requirement(6, 7)
@pytest.mark.parametrize("case", [case for case in vectors("drbg")["cases"] if not case["reseed"]], ids=str)
def test_its_generator_gives_the_answers_that_nist_published(case):
    entropy = bytes.fromhex(case["entropy"] + case["nonce"])

    _, second = itertools.islice(verifier.hmac_drbg(entropy, b"", 128), 2)

    assert second.hex().startswith(case["begins"])


@pytest.mark.requirement(6)
def test_it_makes_the_golden_list():
    study, spec = GOLDEN["study"], {**GOLDEN["spec"], "study": GOLDEN["study"], "trial": ""}

    slots = verifier.regenerate(spec, SEED, {}, 52)

    for stratum, arms in GOLDEN["arms"].items():
        assert "".join("AB"[arm] for (name, _), (arm, _) in slots.items() if name == stratum) == arms
    leaves = [verifier.leaf_of(study, place, *made) for place, made in slots.items()]
    assert leaves[0].hex() == GOLDEN["slot_0_leaf"]
    assert verifier.root_of(leaves).hex() == GOLDEN["root"]


@pytest.mark.requirement(6)
def test_it_makes_the_golden_commitment():
    says = {"study": "", "root": "", "trial": "", "commitment": GOLDEN["commitment"], "spec": "", "c0": ""}
    revealed = {"study": "", "root": "", "spec": GOLDEN["spec"], "seed": GOLDEN["seed"]}

    rows = list(verifier.side_by_side(says, revealed))

    assert rows[1] == (
        "seed and specification are those committed to",
        GOLDEN["commitment"],
        GOLDEN["commitment"],
    )


def test_a_draw_past_the_last_multiple_is_thrown_away():
    high, low = b"\xff\xff\xff\xff", b"\x00\x00\x00\x05"

    assert verifier.uniform(iter([high, low]), 3) == 2
    assert verifier.uniform(iter([high]), 4) == 3


@pytest.mark.parametrize(("size", "ratio"), [(0, [1, 1]), (5, [1, 1]), (4, [2, 1]), (6, [2, 2])])
def test_a_block_that_cannot_keep_the_ratio_makes_no_list(size, ratio):
    with pytest.raises(ValueError, match="a block of"):
        verifier.permuted_blocks(iter([bytes(4)] * 99), 4, [size], ratio)


@pytest.mark.parametrize("arms", [[0, 2], [0, -1], ["0"]])
def test_an_arm_that_the_trial_does_not_have_makes_no_list(arms):
    spec = {"arms": ["UC-MSC", "PLACEBO"], "design": {"kind": "imported"}}

    with pytest.raises(ValueError, match="an unknown arm"):
        verifier.arms_of(spec, "all", 0, SEED, {"all": arms})


STRANGE = [
    {"stopping_rule": "none"},
    {"design": {"kind": "minimization"}},
    {"design": {"kind": "big_stick", "mti": 3}},
    {"first": {"another stratum": 4}},
    {"strata": ["one", "one"]},
    {"length": 10**9},
]


@pytest.mark.requirement(6)
@pytest.mark.parametrize("strange", STRANGE, ids=str)
def test_a_specification_that_says_more_than_is_known_makes_no_list(strange):
    spec = {**GOLDEN["spec"], "study": GOLDEN["study"], "trial": "", **strange}

    with pytest.raises(ValueError, match=r"other members|strata that do not fit|a length of more"):
        verifier.regenerate(spec, SEED, {}, 52)


def test_a_big_stick_in_another_ratio_makes_no_list():
    design = {"design": {"kind": "big_stick", "mti": 3}, "ratio": [2, 1]}
    spec = {**GOLDEN["spec"], "study": GOLDEN["study"], "trial": "", **design}
    del spec["blocks"]

    with pytest.raises(ValueError, match="a big stick that is not 1:1"):
        verifier.regenerate(spec, SEED, {}, 52)


@pytest.mark.parametrize("case", vectors("jcs")["texts"], ids=lambda case: case["name"])
def test_its_canonical_json_is_that_of_rfc_8785_but_for_fractions(case):
    value = json.loads(case["input"])

    if any(isinstance(number, float) for number in numbers_in(value)):
        with pytest.raises(ValueError):
            verifier.canonical(value)
    else:
        assert verifier.canonical(value).decode() == case["canonical"]


def numbers_in(value) -> list:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(number for item in inside for number in numbers_in(item))]


# A leaf here is always a hash of its own making, so that an empty one cannot come.
INCLUSION = [case for case in vectors("merkle")["inclusion"] if case["leafHash"]]


@pytest.mark.parametrize("case", INCLUSION, ids=lambda case: case["case"])
def test_inclusion_proofs_are_judged_as_published(case):
    leaf, root = base64.b64decode(case["leafHash"]), base64.b64decode(case["root"] or "")
    path = [base64.b64decode(step) for step in case["proof"] or []]

    try:
        holds = verifier.root_by_path(leaf, case["leafIdx"], case["treeSize"], path) == root
    except (ValueError, IndexError):
        holds = False

    assert holds == (not case["wantErr"])


def a_proof(folder: Path, index: int) -> dict:
    """Return the proof of one slot of a list, made by the modules of the service."""
    revealed = json.loads((folder / "revealed.json").read_text())
    seed, spec = bytes.fromhex(revealed["seed"]), revealed["spec"]
    slots = verifier.regenerate(spec, seed, {}, 10**6)
    leaves = [verifier.leaf_of(spec["study"], place, *made) for place, made in slots.items()]
    (stratum, slot), (arm, salt) = list(slots.items())[index]
    return {
        "v": "irt-slot-proof/1",
        "study": spec["study"],
        "stratum": stratum,
        "slot": slot,
        "arm": arm,
        "salt": salt.hex(),
        "index": index,
        "leaves": len(leaves),
        "root": merkle.root_of(leaves).hex(),
        "path": [step.hex() for step in merkle.inclusion_proof(leaves, index)],
    }


@pytest.fixture
def prove(keys, honest, tmp_path):
    """The verifier's word on a proof, under the note of the honest list."""

    def proved(proof: dict | bytes, note: Path = honest / "commitment.note") -> Word:
        path = tmp_path / "proof.json"
        path.write_bytes(proof if isinstance(proof, bytes) else json.dumps(proof, indent=2).encode())
        return Word("--statistician", keys.public.statistician, "--proof", path, "--note", note)

    return proved


@pytest.mark.requirement(57)
@pytest.mark.parametrize("size", range(1, 34))
def test_every_slot_of_a_list_of_any_size_can_be_proved(tmp_path, keys, prove, size):
    arms = {ONE: [index % 2 for index in range(size)]}
    salts = [bytes([index]) * 32 for index in range(size)]
    slots = zip(arms[ONE], salts, strict=True)
    leaves = [verifier.leaf_of("NCT04293692", (ONE, slot), *made) for slot, made in enumerate(slots)]
    root = merkle.root_of(leaves)
    text = ["irt-list-commitment/v1", "NCT04293692", base64.b64encode(root).decode(), "0" * 64, str(size)]
    note = tmp_path / "commitment.note"
    note.write_text(notes.sign_note("\n".join([*text, *["0" * 64] * 4, "-", "-", ""]), keys.statistician))

    for index in range(size):
        proof = {
            "v": "irt-slot-proof/1",
            "study": "NCT04293692",
            "stratum": ONE,
            "slot": index,
            "arm": arms[ONE][index],
            "salt": salts[index].hex(),
            "index": index,
            "leaves": size,
            "root": root.hex(),
            "path": [step.hex() for step in merkle.inclusion_proof(leaves, index)],
        }
        word = prove(proof, note)
        assert word.code == 0
        assert word.last == f"slot {index} of {ONE} has arm {index % 2} in the list that was signed"


@pytest.mark.requirement(57)
def test_no_bit_of_a_proof_can_be_altered(honest, keys):
    proof = json.dumps(a_proof(honest, 1), indent=2, sort_keys=True).encode() + b"\n"
    signer = verifier.read_signer(keys.public.statistician)
    note = (honest / "commitment.note").read_bytes()

    def holds(altered: bytes) -> bool:
        files = {"proof": altered, "note": note}
        paths = {name: SimpleNamespace(read_bytes=lambda data=data: data) for name, data in files.items()}
        options = argparse.Namespace(statistician=signer, **paths)
        report = verifier.Report(write=len)
        try:
            verifier.check_proof(options, report)
        except (ValueError, LookupError):
            return False
        return not report.texts("wrong")

    assert holds(proof)
    for place, bit in itertools.product(range(len(proof)), range(8)):
        assert not holds(proof[:place] + bytes([proof[place] ^ 1 << bit]) + proof[place + 1 :]), (place, bit)


@pytest.mark.requirement(57)
def test_a_proof_with_a_step_more_or_less_or_of_another_list_is_refused(honest, keys, prove, tmp_path):
    proof = a_proof(honest, 1)
    other = a_list(tmp_path / "other", keys, seed=bytes(32))

    assert prove({**proof, "path": proof["path"][:-1]}).code == 1
    assert prove({**proof, "path": [*proof["path"], "00" * 32]}).code == 1
    assert prove({**proof, "path": proof["path"][::-1]}).code == 1
    assert prove({**proof, "index": 0}).code == 1
    assert prove({**proof, "arm": 1 - proof["arm"]}).code == 1
    assert prove({**proof, "salts": []}).code == 1
    assert prove(proof, other / "commitment.note").code == 1
    assert prove(a_proof(other, 1)).code == 1


@pytest.mark.requirement(57)
def test_a_proof_tells_neither_salt_nor_arm_of_another_slot(honest):
    revealed = json.loads((honest / "revealed.json").read_text())
    slots = verifier.regenerate(revealed["spec"], SEED, {}, 100)

    for index in range(len(slots)):
        proof = a_proof(honest, index)
        text = json.dumps(proof)
        others = [made for place, made in slots.items() if place != (proof["stratum"], proof["slot"])]
        assert not any(salt.hex() in text for _, salt in others)
        # All else is hashes: of a neighbour's leaf there is no telling the arm without its salt.
        assert set(proof) == {
            "v", "study", "stratum", "slot", "arm", "salt", "index", "leaves", "root", "path",
        }  # fmt: skip


def test_it_says_in_plain_words_what_it_found(honest, keys, tmp_path, capsys):
    export = an_export(tmp_path / "export.zip", [*the_start(honest), taken(honest, 0), taken(honest, 2)])
    known = tmp_path / "statistician.vkey"
    known.write_text(keys.public.statistician + "\n")

    code = verifier.main(["--statistician", str(known), "--list", str(honest), "--export", str(export)])

    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert lines[0].startswith("ok: list 1: signed by statistician-1; software ")
    found = f"event 3, stratum {ONE}, slot 1: expected slot 1, there is slot 2"
    assert next(line for line in lines if line.startswith("wrong: ")).startswith(f"wrong: {found}")
    assert lines[-1].startswith(f"no: {found}")


def spoiled(folder: Path, name: str, content: bytes | None) -> Path:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("commitment.note", None),
        ("revealed.json", None),
        ("revealed.json", b"{}"),
        ("revealed.json", b"[1]"),
        ("revealed.json", b"\xff"),
        ("revealed.json", b"[" * 100_000),
    ],
)
def test_what_cannot_be_read_gives_no_answer(honest, keys, tmp_path, name, content):
    folder = spoiled(Path(shutil.copytree(honest, tmp_path / "list")), name, content)

    word = Word("--statistician", keys.public.statistician, "--list", folder)

    assert (word.code, word.wrong) == (2, [])


UNREADABLE = [
    b"{}\n",
    b"no json\n",
    b"[]\n",
    b'{"seq":0,"body":"e30"}\n',
    # The same bytes in base64 that is not canonical, and an event of two kinds.
    b'{"seq":0,"body":"eyJrIjoieCJ9Cg=="}\n'.replace(b"Cg", b"Ch"),
    b'{"seq":0,"body":"' + base64.b64encode(b'{"k":"x","k":"y"}') + b'"}\n',
    None,
]


@pytest.mark.parametrize("entries", UNREADABLE)
def test_a_bundle_that_cannot_be_read_gives_no_answer(honest, keys, tmp_path, entries):
    export = a_zip(tmp_path / "export.zip", {"entries.jsonl": entries} if entries else {"other": b""})

    word = Word("--statistician", keys.public.statistician, "--list", honest, "--export", export)

    assert (word.code, word.wrong) == (2, [])
    (tmp_path / "export.zip").write_bytes(b"no zip")
    assert Word("--statistician", keys.public.statistician, "--list", honest, "--export", export).code == 2


def test_a_bundle_with_two_files_of_one_name_gives_no_answer(honest, keys, tmp_path):
    export = an_export(tmp_path / "export.zip", the_start(honest))
    with verifier.zipfile.ZipFile(export, "a") as bundle, pytest.warns(UserWarning, match="Duplicate name"):
        bundle.writestr("keys.txt", b"")

    assert Word("--statistician", keys.public.statistician, "--list", honest, "--export", export).code == 2


def test_what_was_found_before_a_bundle_breaks_off_is_told(honest, keys, tmp_path):
    whole = an_export(tmp_path / "whole.zip", [*the_start(honest), taken(honest, 1), taken(honest, 2)])
    with verifier.zipfile.ZipFile(whole) as bundle:
        lines = bundle.read("entries.jsonl").splitlines(keepends=True)
    export = a_zip(tmp_path / "export.zip", {"entries.jsonl": b"".join([*lines[:3], b"torn"])})

    word = Word("--statistician", keys.public.statistician, "--list", honest, "--export", export)

    assert word.code == 1
    assert word.at(event=2)["found"] == "slot 1"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--list", "x", "--proof", "y", "--note", "z"],
        ["--proof", "y"],
        ["--list", "x", "--note", "z"],
    ],
)
def test_a_call_that_asks_for_nothing_or_for_two_things_is_refused(keys, arguments):
    with pytest.raises(SystemExit) as refused:
        verifier.main(["--statistician", keys.public.statistician, *arguments])

    assert refused.value.code == 2


@pytest.mark.parametrize("key", ["", "name", "name+00000000+AAAA", "statistician-1+00000000+" + "A" * 44])
def test_a_key_that_is_none_is_refused(honest, key):
    with pytest.raises(SystemExit) as refused:
        verifier.main(["--statistician", key, "--list", str(honest)])

    assert refused.value.code == 2


def test_a_key_under_another_name_is_refused(honest, keys):
    with pytest.raises(SystemExit):
        verifier.main(["--statistician", f"another-{keys.public.statistician}", "--list", str(honest)])


def test_nothing_in_a_file_reaches_the_screen_unspelled(honest, keys, tmp_path, capsys):
    folder = Path(shutil.copytree(honest, tmp_path / "list"))
    lines = (folder / "slots.jsonl").read_text().splitlines(keepends=True)
    (folder / "slots.jsonl").write_text("".join(["\x1b[2J—\n", *lines[1:]]))

    verifier.main(["--statistician", keys.public.statistician, "--list", str(folder)])

    said = capsys.readouterr().out
    assert r"\u001b[2J\u2014" in said
    assert said.isascii()


def test_a_long_list_says_how_far_it_is(capsys):
    spec = {**GOLDEN["spec"], "study": GOLDEN["study"], "trial": "", "strata": ["all"], "length": 10_000}

    verifier.regenerate(spec, SEED, {}, 10_002)

    assert capsys.readouterr().err == "10000 of 10002 slots made again\n"


@pytest.mark.requirement(75)
def test_it_imports_the_standard_library_and_cryptography_only():
    names = set()
    for part in ast.walk(ast.parse(VERIFIER.read_text(encoding="utf-8"))):
        if isinstance(part, ast.Import):
            names |= {alias.name for alias in part.names}
        elif isinstance(part, ast.ImportFrom):
            assert part.level == 0
            names.add(part.module)
        elif isinstance(part, ast.Call):
            assert getattr(part.func, "id", "") not in {"__import__", "exec", "eval"}

    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "cryptography"}
    assert "importlib" not in names


@pytest.mark.requirement(75)
def test_it_runs_alone_in_an_empty_folder(honest, keys, tmp_path):
    export = an_export(tmp_path / "export.zip", [*the_start(honest), taken(honest, 0, stratum=TWO)])
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(VERIFIER, alone)
    arguments = ["--statistician", keys.public.statistician, "--list", honest, "--export", export]

    run = subprocess.run(
        [sys.executable, "-I", "verifier.py", *arguments],
        cwd=alone,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[-1].startswith(
        "yes: all 1 allocations followed the list; 0 slots were spoiled; not checked: "
    )


def test_a_name_with_signs_of_a_pattern_is_only_a_name(honest, tmp_path):
    folder = Path(shutil.copytree(honest, tmp_path / "list"))
    statistician = notes.SigningKey("irt.example.org/(a|b)/.*", bytes(32))
    text = "".join(f"{line}\n" for line in note_lines(folder).values())
    (folder / "commitment.note").write_text(notes.sign_note(text, statistician))

    assert Word("--statistician", statistician.verifier.vkey, "--list", folder).code == 0
