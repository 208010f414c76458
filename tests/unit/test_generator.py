"""The list: golden values, sealed slots, signed commitment, sealed seed, and nothing plain on disk."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from randomization import generator
from randomization.ceremony import making
from randomization.ceremony.papers import seed_info
from randomization.ceremony.software import software_hash
from randomization.domain.designs import BigStick, PermutedBlocks
from randomization.domain.numbers import Numbers, digits_for, draw_numbers
from randomization.domain.schedule import (
    Arms,
    Reserve,
    Schedule,
    Spec,
    commitment,
    generate_arms,
    listed_slots,
    spec_hash,
    spec_of,
)
from randomization.domain.sealed_list import Commitment, SealedListInvalid, SealedSlot
from randomization.domain.strata import all_strata
from tests.unit.ceremonies import (
    GOLDEN,
    OFFICERS,
    SEED,
    TRIAL,
    WITH_RESERVE,
    KeyRing,
    a_key_ring,
    the_arms_in,
    the_commitment_in,
    the_slots_in,
)
from trialsite import protocol as protocols
from trialsite.audit import merkle, notes
from trialsite.audit.canonical import canonical
from trialsite.opening import OpeningFailed, open_pairwise, unpadded
from trialsite.sealing import slot_leaf


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return a_key_ring(tmp_path_factory.mktemp("keys"))


def the_golden_spec() -> Spec:
    golden = GOLDEN["spec"]
    return Spec(
        study=GOLDEN["study"],
        trial="00" * 32,
        strata=tuple(golden["strata"]),
        length=golden["length"],
        design=PermutedBlocks(tuple(golden["blocks"])),
        arms=tuple(golden["arms"]),
        ratio=tuple(golden["ratio"]),
    )


def a_bundle(keys: KeyRing, *, length: int = 12) -> making.ListBundle:
    return generator.build_list(TRIAL, SEED, length, **keys.makers)


def a_ceremony(keys: KeyRing, spec: Spec, **more: Any) -> making.Ceremony:
    return making.Ceremony(spec=spec, arms=Schedule(spec, SEED), seed=SEED, **keys.makers, **more)


@pytest.mark.requirement(6)
def test_the_golden_seed_gives_the_golden_arms():
    arms = generate_arms(the_golden_spec(), SEED)

    assert {stratum: "".join("AB"[arm] for arm in row) for stratum, row in arms.items()} == GOLDEN["arms"]


@pytest.mark.requirement(6)
def test_the_golden_seed_gives_the_golden_root_and_commitment(keys):
    spec = the_golden_spec()

    bundle = making.make_bundle(a_ceremony(keys, spec))
    slot = next(listed_slots(spec, Schedule(spec, SEED), SEED))
    data = slot_leaf(study=spec.study, stratum=slot.stratum, slot=0, arm=slot.arm, salt=slot.salt)

    assert data.decode() == GOLDEN["slot_0_data"]
    assert bundle.slots[0].leaf.hex() == GOLDEN["slot_0_leaf"]
    assert the_commitment_in(bundle).root.hex() == GOLDEN["root"]
    assert commitment(GOLDEN["spec"], SEED).hex() == GOLDEN["commitment"]


@pytest.mark.requirement(6)
def test_a_stratum_added_later_moves_no_slot_of_another():
    spec = the_golden_spec()
    amended = dataclasses.replace(spec, strata=("site=02|sev=mild", *spec.strata))

    before, after = generate_arms(spec, SEED), generate_arms(amended, SEED)

    assert {stratum: after[stratum] for stratum in spec.strata} == before


@pytest.mark.requirement(57)
def test_every_slot_has_a_salt_of_its_own():
    every = [slot.salt for slot in listed_slots(the_golden_spec(), Schedule(the_golden_spec(), SEED), SEED)]

    assert len(set(every)) == len(every) == 52
    assert {len(salt) for salt in every} == {32}


@pytest.mark.parametrize(
    "change",
    [
        {"length": 25},
        {"design": PermutedBlocks((4, 8))},
        {"design": BigStick(3)},
        {"ratio": (2, 2)},
        {"trial": "11" * 32},
        {"study": "NCT1"},
        {"first": {"site=01|sev=mild": 26}},
        {"emergency": Reserve(("emergency=01",), 8)},
    ],
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
    assert merkle.root_of(slot.leaf for slot in bundle.slots) == the_commitment_in(bundle).root


@pytest.mark.requirement(61)
def test_a_ceremony_that_is_printed_tells_no_arm_no_seed_and_no_design(keys):
    spec = spec_of(TRIAL, length=12)

    said = repr(
        making.Ceremony(spec=spec, arms=generate_arms(spec, SEED), seed=SEED, seed0=SEED, **keys.makers)
    )

    assert repr(SEED) not in said
    assert "arms" not in said
    assert "PermutedBlocks" not in said


@pytest.mark.requirement(50)
def test_the_arms_can_be_exchanged_between_generating_and_sealing(keys):
    spec = spec_of(TRIAL, length=12)
    arms = generate_arms(spec, SEED)
    exchanged = {stratum: [1 - arm for arm in row] for stratum, row in arms.items()}

    bundle = generator.bundle_of(spec, exchanged, SEED, **keys.makers)

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

    assert draw_numbers(3, below=lambda _: next(draws)) == ["R000007", "R999999", "R000000"]


@pytest.mark.requirement(21)
def test_numbers_do_not_depend_on_the_arms(keys):
    spec = spec_of(TRIAL, length=12)
    arms = generate_arms(spec, SEED)
    exchanged = {stratum: [1 - arm for arm in row] for stratum, row in arms.items()}

    def numbers(of: Arms) -> list[str]:
        counter = itertools.count(1)
        below = lambda bound: next(counter) * 7919 % bound  # noqa: E731
        bundle = generator.bundle_of(spec, of, SEED, **keys.makers, below=below)
        return [slot.randomization_number for slot in bundle.slots]

    assert numbers(arms) == numbers(exchanged)


def test_more_numbers_than_can_be_unguessable_are_refused():
    with pytest.raises(ValueError, match="too many"):
        draw_numbers(10**8 + 1)


@pytest.mark.requirement(21)
@pytest.mark.parametrize(
    ("slots", "digits"), [(1, 6), (10**5, 6), (10**5 + 1, 7), (10**6, 7), (10**7 + 1, 9), (10**8, 9)]
)
def test_a_longer_list_has_longer_numbers_so_that_few_of_them_are_given(slots, digits):
    assert digits_for(slots) == digits


def test_a_number_of_an_earlier_list_does_not_come_again():
    draws = iter([7, 8, 7, 9])

    numbers = Numbers(digits=6, taken=["R000008", "R0000007"], below=lambda _: next(draws))

    assert [numbers.draw(), numbers.draw()] == ["R000007", "R000009"]


@pytest.mark.requirement(5)
def test_the_statistician_signs_the_commitment(keys):
    bundle = a_bundle(keys)

    note = notes.open_note(bundle.commitment_note, [notes.VerifierKey.parse(keys.public.statistician)])
    published = Commitment.parse(note.text)

    assert published.study == "NCT04293692"
    assert published.leaves == len(bundle.slots)
    assert published.trial == TRIAL.content_hash
    assert published.commitment == commitment(spec_of(TRIAL, length=12).document(), SEED)
    assert published.software == software_hash()
    assert note.text.split("\n")[2] == base64.b64encode(published.root).decode()


@pytest.mark.requirement(71)
@pytest.mark.parametrize("pair", list(itertools.combinations((0, 1, 2), 2)))
def test_any_two_officers_open_the_seed(keys, pair):
    sealed = a_bundle(keys).sealed_seed
    first, second = pair
    info = seed_info(study=sealed["study"], root=bytes.fromhex(sealed["root"]))

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
    [
        (0, "another-title/v1"),
        (2, "AAAA"),
        (2, "!"),
        (3, "00"),
        (4, "0"),
        (4, "052"),
        (6, "x" * 64),
        (7, ""),
        (8, "-"),
        (9, ""),
        (9, "AAAA"),
        (10, ""),
        (10, "drand-quicknet 1 00 00"),
        (10, f"drand-quicknet 0 {'0' * 64} {'0' * 96}"),
        (10, f"drand-quicknet 7 {'0' * 64} {'0' * 94}"),
    ],
)
def test_a_malformed_commitment_is_refused(keys, number, line):
    lines = notes.split_note(a_bundle(keys).commitment_note)[0].split("\n")
    lines[number] = line

    with pytest.raises(SealedListInvalid):
        Commitment.parse("\n".join(lines))


@pytest.mark.requirement(5, 56)
def test_the_signature_is_over_every_envelope_and_number(keys, tmp_path):
    a_bundle(keys).write(tmp_path / "list")

    content = (tmp_path / "list" / "slots.jsonl").read_bytes()
    assert hashlib.sha256(content).digest() == the_commitment_in(tmp_path / "list").slots
    assert the_slots_in(tmp_path / "list") == [
        SealedSlot.from_line(line) for line in content.decode().splitlines()
    ]


@pytest.mark.requirement(6)
def test_a_reserved_list_is_a_stratum_of_its_own_that_moves_no_other(keys):
    spec = spec_of(WITH_RESERVE, length=12)
    without = generate_arms(spec_of(TRIAL, length=12), SEED)

    bundle = generator.build_list(WITH_RESERVE, SEED, 12, **keys.makers)

    arms = the_arms_in(bundle, keys)
    assert list(arms) == [*all_strata(TRIAL), "emergency=PUREN", "emergency=HANKOU"]
    assert arms == generate_arms(spec, SEED)
    assert {stratum: arms[stratum] for stratum in without} == without
    assert arms["emergency=PUREN"] != arms["emergency=HANKOU"]
    assert all(6 <= len(arms[f"emergency={site}"]) <= 10 for site in ("PUREN", "HANKOU"))
    assert spec.document()["emergency"] == {"strata": ["emergency=PUREN", "emergency=HANKOU"], "length": 6}


@pytest.mark.requirement(6)
def test_the_pharmacy_and_nobody_else_reads_the_arms_of_its_reserved_list(keys):
    bundle = generator.build_list(WITH_RESERVE, SEED, 12, **keys.makers)
    arms = the_arms_in(bundle, keys)["emergency=PUREN"]
    numbers = [slot.randomization_number for slot in bundle.slots if slot.stratum == "emergency=PUREN"]
    sheet = bundle.sheets["PUREN"]
    place = canonical({"study": "NCT04293692", "site": "PUREN", "root": the_commitment_in(bundle).root.hex()})
    sealed = base64.b64decode(sheet["sealed"])

    rows = unpadded(keys.private("emergency-1").open("emergency-1", sealed, b"irt/emergency/v1|" + place))[
        "rows"
    ]

    treatments = ("UC-MSC", "PLACEBO")
    assert [row[:4] for row in rows] == [
        [slot, number, "AB"[arm], treatments[arm]]
        for slot, (number, arm) in enumerate(zip(numbers, arms, strict=True))
    ]
    leaves = [
        slot_leaf(
            study="NCT04293692", stratum="emergency=PUREN", slot=slot, arm=arm, salt=bytes.fromhex(row[4])
        )
        for slot, (row, arm) in enumerate(zip(rows, arms, strict=True))
    ]
    assert [merkle.leaf_hash(leaf) for leaf in leaves] == [
        slot.leaf for slot in bundle.slots if slot.stratum == "emergency=PUREN"
    ]
    assert len(sealed) == 4096 + 48
    with pytest.raises(OpeningFailed):
        keys.private("code-break-1").open("code-break-1", sealed, b"irt/emergency/v1|" + place)
    other = place.replace(b"PUREN", b"HANKOU")
    with pytest.raises(OpeningFailed):
        keys.private("emergency-1").open("emergency-1", sealed, b"irt/emergency/v1|" + other)


def test_a_reserved_list_needs_a_key_to_be_sealed_to(keys):
    without = dataclasses.replace(keys.public, emergency=None)

    with pytest.raises(ValueError, match="no emergency key"):
        generator.build_list(WITH_RESERVE, SEED, 12, public_keys=without, statistician=keys.statistician)


@pytest.mark.requirement(6)
def test_a_specification_is_read_back_as_it_was_committed_to():
    spec = dataclasses.replace(
        spec_of(WITH_RESERVE), first={"emergency=PUREN": 6}, design=BigStick(3), strata=all_strata(TRIAL)[:1]
    )

    assert Spec.read(spec.document()) == spec
    for wrong in ({**spec.document(), "seed": 1}, {**spec.document(), "blocks": [4]}, {}, {"design": 7}):
        with pytest.raises(ValueError, match="specification"):
            Spec.read(wrong)


def test_memory_does_not_grow_with_the_number_of_strata(keys):
    def peak(strata: int, take: Callable[[bytes], object] = len) -> int:
        spec = dataclasses.replace(
            the_golden_spec(), strata=tuple(f"site={n}" for n in range(strata)), length=100
        )
        ceremony = a_ceremony(keys, spec)
        tracemalloc.start()
        try:
            ceremony.seal(take)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # The lines of a stratum are 35,000 bytes; its name, which is kept, is far less.
    assert peak(40) - peak(4) < 36 * 1000
    # What is kept would be noticed.
    kept: list[bytes] = []
    assert peak(40, kept.append) - peak(4) > 36 * 20_000
