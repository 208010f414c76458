"""After the lock: two of three officers bring the list out, and one slot can be shown without the others."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from randomization import generator, release
from randomization.ceremony.proofs import NotTheList, Revealed
from randomization.domain.schedule import generate_arms
from tests.unit.ceremonies import (
    OFFICERS,
    STRATA,
    KeyRing,
    a_command,
    a_key_ring,
    the_arms_in,
    the_commitment_in,
    the_slots_in,
)
from trialsite.audit import merkle
from trialsite.sealing import slot_leaf

Step = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return a_key_ring(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def the_list(keys, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "list"
    assert generator.main(a_command(keys, folder)) == 0
    return folder


@pytest.fixture
def step(capsys) -> Step:
    """Take one step at the command line; return its exit code and what it said on standard error."""

    def taken(name: str, **options: object) -> tuple[int, str]:
        words = [(f"--{option.replace('_', '-')}", str(value)) for option, value in options.items()]
        status = release.main([name, *itertools.chain(*words)])
        return status, capsys.readouterr().err

    return taken


def begin(step: Step, keys: KeyRing, folder: Path, out: Path, *, by: str, partner: str) -> tuple[int, str]:
    return step("begin", list=folder, key=keys.folder / by, **{"with": partner}, out=out)


def finish(step: Step, keys: KeyRing, folder: Path, half: Path, out: Path, *, by: str) -> tuple[int, str]:
    public_keys = keys.folder / "public.json"
    return step("finish", list=folder, key=keys.folder / by, half=half, public_keys=public_keys, out=out)


@pytest.fixture
def brought_out(step, keys, tmp_path) -> Callable[[Path], Revealed]:
    """Let officers 3 and 1 bring a list out."""

    def done(folder: Path) -> Revealed:
        half, out = tmp_path / "half.json", tmp_path / "revealed.json"
        assert begin(step, keys, folder, half, by="release-3", partner="release-1") == (0, "")
        assert finish(step, keys, folder, half, out, by="release-1") == (0, "")
        return Revealed.read(json.loads(out.read_bytes()))

    return done


@pytest.mark.requirement(71)
@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(OFFICERS, 2)))
def test_any_two_officers_bring_out_what_makes_the_list(step, keys, the_list, tmp_path, first, second):
    half, out = tmp_path / "half.json", tmp_path / "revealed.json"

    assert begin(step, keys, the_list, half, by=second, partner=first) == (0, "")
    assert finish(step, keys, the_list, half, out, by=first) == (0, "")

    revealed = json.loads(out.read_bytes())
    assert set(revealed) == {"v", "study", "root", "seed", "spec"}
    assert revealed["root"] == the_commitment_in(the_list).root.hex()
    read = Revealed.read(revealed)
    assert generate_arms(read.spec, read.seed) == the_arms_in(the_list, keys)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (half, out)} == {0o600}


@pytest.mark.requirement(71)
def test_what_the_first_officer_hands_over_does_not_hold_the_seed(
    step, keys, the_list, tmp_path, brought_out
):
    seed = brought_out(the_list).seed
    half = json.loads((tmp_path / "half.json").read_bytes())

    assert set(half) == {"v", "study", "root", "pair", "by", "for", "half"}
    sealed = base64.b64decode(half["half"])
    assert len(sealed) == 80
    assert seed not in sealed
    # The other two officers cannot finish with it, the one who began neither.
    for by in ("release-2", "release-3"):
        status, said = finish(step, keys, the_list, tmp_path / "half.json", tmp_path / "out.json", by=by)
        assert (status, said) == (2, f"the half-opened seed is for release-1, not for {by}\n")
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("by", "partner", "reason"),
    [
        ("release-1", "release-3", "release-3 begins and release-1 finishes"),
        ("release-1", "release-1", "no pair"),
        ("release-3", "release-4", "no pair"),
        ("auditor-1", "release-1", "no pair"),
        ("code-break-1", "release-1", "no pair"),
        ("statistician-1", "release-1", "no pair"),
    ],
)
def test_who_is_not_the_one_to_begin_is_told_so(step, keys, the_list, tmp_path, by, partner, reason):
    status, said = begin(step, keys, the_list, tmp_path / "half.json", by=by, partner=partner)

    assert status == 2
    assert reason in said
    assert not (tmp_path / "half.json").exists()


@pytest.mark.requirement(71)
def test_another_key_under_an_officers_name_opens_nothing(step, keys, the_list, tmp_path):
    impostor = a_key_ring(tmp_path / "theirs").folder / "release-3"
    text = impostor.read_text()
    impostor.chmod(0o600)
    impostor.write_text(text.replace(text.split()[-1], base64.b64encode(b"i" * 32).decode()))

    status, said = step(
        "begin", list=the_list, key=impostor, **{"with": "release-1"}, out=tmp_path / "half.json"
    )

    assert status == 2
    assert "does not open" in said


def test_a_key_file_that_others_may_read_is_refused(step, keys, the_list, tmp_path):
    key = shutil.copy(keys.folder / "release-3", tmp_path / "key")
    Path(key).chmod(0o440)

    status, said = step("begin", list=the_list, key=key, **{"with": "release-1"}, out=tmp_path / "half.json")

    assert status == 2
    assert "lets others read" in said


def test_no_file_is_ever_replaced(step, keys, the_list, tmp_path):
    (tmp_path / "half.json").write_text("another")

    status, said = begin(step, keys, the_list, tmp_path / "half.json", by="release-3", partner="release-1")

    assert status == 2
    assert "exists" in said
    assert (tmp_path / "half.json").read_text() == "another"


@pytest.fixture
def half(step, keys, the_list, tmp_path) -> Path:
    begin(step, keys, the_list, tmp_path / "half.json", by="release-3", partner="release-1")
    return tmp_path / "half.json"


def altered(path: Path, **changes: Any) -> None:
    path.chmod(0o600)
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"v": "irt-seed/1"}, "not irt-half-opened/1"),
        ({"root": "00" * 32}, "another list"),
        ({"study": "NCT1"}, "another list"),
        ({"half": "?"}, "malformed"),
        ({"half": base64.b64encode(bytes(80)).decode()}, "does not open"),
    ],
)
def test_a_half_that_was_altered_is_refused(step, keys, the_list, tmp_path, half, changes, reason):
    altered(half, **changes)

    status, said = finish(step, keys, the_list, half, tmp_path / "out.json", by="release-1")

    assert status == 2
    assert reason in said
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"v": "irt-revealed/1"}, "not irt-seed/1"),
        ({"officers": None}, "not irt-seed/1"),
        ({"officers": [1, 2, 3]}, "not irt-seed/1"),
        ({"root": "00"}, "another list"),
        ({"revealed": "AAAA"}, "does not open"),
        ({"revealed": base64.b64encode(bytes(4124)).decode()}, "does not open"),
        ({"revealed": None}, "malformed"),
    ],
)
def test_a_sealed_seed_that_was_altered_is_refused(step, keys, the_list, tmp_path, half, changes, reason):
    copy = shutil.copytree(the_list, tmp_path / "copy")
    altered(copy / "seed.json", **changes)

    status, said = finish(step, keys, copy, half, tmp_path / "out.json", by="release-1")

    assert status == 2
    assert reason in said


def test_a_seed_under_the_note_of_another_list_is_not_brought_out(step, keys, the_list, tmp_path, half):
    """The officers bring out what the statistician signed, and nothing else that opens."""
    assert generator.main(a_command(keys, tmp_path / "other")) == 0
    copy = shutil.copytree(the_list, tmp_path / "copy")
    shutil.copy(tmp_path / "other" / "commitment.note", copy / "commitment.note")

    status, said = finish(step, keys, copy, half, tmp_path / "out.json", by="release-1")

    assert status == 2
    assert "the commitment and the specification" in said
    assert "the root is not what was signed" in said
    assert not (tmp_path / "out.json").exists()


def test_a_file_that_is_no_json_is_refused(step, keys, the_list, tmp_path):
    (tmp_path / "half.json").write_text("[]")

    status, said = finish(step, keys, the_list, tmp_path / "half.json", tmp_path / "out.json", by="release-1")

    assert status == 2
    assert "not a JSON object" in said


# Lists of other kinds.


@pytest.mark.requirement(5, 71)
def test_a_list_made_elsewhere_brings_its_arms_out(keys, tmp_path, brought_out, capsys):
    rows = "".join(f"{stratum},{n},{arm}\n" for stratum in STRATA for n, arm in enumerate("ABBABAAB"))
    (tmp_path / "list.csv").write_text(f"stratum,slot,arm\n{rows}")
    command = a_command(keys, tmp_path / "list", "--from-csv", tmp_path / "list.csv", "--sites", length=8)
    assert generator.main(command) == 0
    capsys.readouterr()

    revealed = brought_out(tmp_path / "list").document()

    assert revealed["arms"] == {stratum: [0, 1, 1, 0, 1, 0, 0, 1] for stratum in STRATA}
    assert revealed["spec"]["design"] == {"kind": "imported"}


@pytest.mark.requirement(7, 71)
def test_a_seed_with_a_beacon_brings_the_makers_part_out(keys, tmp_path, brought_out, capsys):
    beacon = ["--beacon-round", 10**9, "--beacon-signature", "5a" * 48]
    assert generator.main(a_command(keys, tmp_path / "list", *beacon)) == 0
    capsys.readouterr()

    revealed = brought_out(tmp_path / "list")

    beacon = the_commitment_in(tmp_path / "list").beacon
    assert beacon is not None
    assert revealed.document()["seed0"] == revealed.seed0.hex() != revealed.seed.hex()
    assert beacon.mix(revealed.seed0) == revealed.seed


@pytest.mark.requirement(6, 71)
def test_an_extension_is_brought_out_like_a_list(keys, the_list, tmp_path, brought_out):
    assert generator.main(a_command(keys, tmp_path / "more", "--extends", the_list)) == 0

    revealed = brought_out(tmp_path / "more")

    assert set(revealed.document()["spec"]["first"]) == set(STRATA)
    assert revealed.document()["root"] == the_commitment_in(tmp_path / "more").root.hex()


# One slot.


@pytest.mark.requirement(6, 15)
def test_one_slot_is_proved_against_the_root_and_shows_no_other(step, keys, the_list, tmp_path, brought_out):
    brought_out(the_list)
    slots = the_slots_in(the_list)
    index = 17
    place = {"stratum": slots[index].stratum, "slot": slots[index].slot}

    status, _ = step("prove", revealed=tmp_path / "revealed.json", **place, out=tmp_path / "proof.json")

    assert status == 0
    proof = json.loads((tmp_path / "proof.json").read_bytes())
    assert set(proof) == {
        "v", "study", "stratum", "slot", "arm", "salt", "index", "leaves", "root", "path",
    }  # fmt: skip
    assert proof["arm"] == the_arms_in(the_list, keys)[place["stratum"]][place["slot"]]
    data = slot_leaf(study=proof["study"], **place, arm=proof["arm"], salt=bytes.fromhex(proof["salt"]))
    merkle.verify_inclusion(
        leaf=merkle.leaf_hash(data),
        index=proof["index"],
        size=proof["leaves"],
        proof=[bytes.fromhex(node) for node in proof["path"]],
        root=the_commitment_in(the_list).root,
    )
    assert proof["index"] == index
    # The other arm does not fit.
    other = slot_leaf(study=proof["study"], **place, arm=1 - proof["arm"], salt=bytes.fromhex(proof["salt"]))
    assert merkle.leaf_hash(other) != slots[index].leaf


@pytest.mark.requirement(6)
def test_every_slot_of_a_list_can_be_proved(keys, the_list, brought_out):
    revealed, slots = brought_out(the_list), the_slots_in(the_list)

    for slot in slots[:: len(slots) // 12]:
        proof = revealed.proof(slot.stratum, slot.slot)
        merkle.verify_inclusion(
            leaf=slot.leaf,
            index=proof["index"],
            size=len(slots),
            proof=[bytes.fromhex(node) for node in proof["path"]],
            root=revealed.root,
        )


@pytest.mark.parametrize(("stratum", "slot"), [(STRATA[0], 400), (STRATA[0], -1), ("age_group=0-17", 0)])
def test_a_slot_that_the_list_has_not_is_not_proved(keys, the_list, brought_out, stratum, slot):
    with pytest.raises(NotTheList, match="no slot"):
        brought_out(the_list).proof(stratum, slot)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": "00" * 32}, "another root"),
        ({"root": "00" * 32}, "another root"),
        ({"study": "NCT1"}, "not irt-revealed/1"),
        ({"seed": "00"}, "32 bytes"),
        ({"v": "irt-seed/1"}, "not irt-revealed/1"),
        ({"spec": {}}, "not irt-revealed/1"),
        ({"arms": {}}, "not irt-revealed/1"),
        ({"arms": [1]}, "not irt-revealed/1"),
        ({"more": 1}, "not irt-revealed/1"),
    ],
)
def test_nothing_is_proved_from_a_file_that_was_altered(
    step, the_list, tmp_path, brought_out, changes, reason
):
    brought_out(the_list)
    altered(tmp_path / "revealed.json", **changes)

    status, said = step(
        "prove", revealed=tmp_path / "revealed.json", stratum=STRATA[0], slot=0, out=tmp_path / "proof.json"
    )

    assert status == 2
    assert reason in said
    assert not (tmp_path / "proof.json").exists()


def test_what_was_brought_out_is_not_shown_by_an_exception(the_list, brought_out):
    revealed = brought_out(the_list)

    assert revealed.seed.hex() not in repr(revealed)
    assert "blocks" not in repr(revealed)
    assert repr(revealed.seed) not in repr(revealed)
