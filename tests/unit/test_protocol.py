"""The trial file: what the record says, what is refused and where, and what the server may keep."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import json
import tomllib
from decimal import Decimal
from typing import Any

import pytest

from trialsite import protocol as protocols
from trialsite.protocol import ProtocolError, from_document, load
from trialsite.protocol_screening import accepted_consent_versions

TEXT = protocols.DEFAULT_TRIAL_FILE.read_text(encoding="utf-8")
TRIAL = load(protocols.DEFAULT_TRIAL_FILE)
PUBLIC: dict[str, Any] = json.loads(TRIAL.public_document())


def a_changed_file(old: str, new: str) -> bytes:
    assert TEXT.count(old) >= 1
    return TEXT.replace(old, new, 1).encode()


def a_changed_document(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    """The public document with the value at ``path`` replaced, or removed if it is Ellipsis."""
    document: dict[str, Any] = copy.deepcopy(PUBLIC)
    *parents, last = path
    target: Any = document
    for step in parents:
        target = target[step]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return document


def test_the_trial_is_the_one_of_the_record():
    assert TRIAL.protocol == "NCT04293692"
    assert TRIAL.planned == 48
    assert TRIAL.ratio == (1, 1)
    assert [(arm.code, arm.treatment) for arm in TRIAL.arms] == [("A", "UC-MSC"), ("B", "PLACEBO")]
    assert (TRIAL.age_min, TRIAL.age_max) == (18, 75)
    assert [(infusion.number, infusion.day) for infusion in TRIAL.infusions] == [
        (1, 1),
        (2, 3),
        (3, 5),
        (4, 7),
    ]
    assert TRIAL.dose.cells_per_kg == Decimal("0.5e6")
    assert TRIAL.dose.volume_ml == 100
    assert TRIAL.block_sizes == (4, 6)
    assert TRIAL.site("PUREN").zone.key == "Asia/Shanghai"
    assert TRIAL.site("HANKOU").demonstration
    assert TRIAL.infusions[0].target_time == dt.time(10)


@pytest.mark.requirement(19)
def test_every_criterion_of_the_record_has_a_code():
    criteria = [(c.code, c.kind, c.combine) for c in TRIAL.eligibility]

    assert criteria == [
        *((code, "inclusion", "all") for code in ("I1", "I2", "I3")),
        *((code, "inclusion", "any") for code in ("I4A", "I4B", "I4C")),
        *((f"E{number}", "exclusion", "all") for number in range(1, 12)),
    ]
    assert len({c.group for c in TRIAL.eligibility if c.combine == "any"}) == 1


@pytest.mark.requirement(36)
def test_both_treatments_ask_for_the_same_values():
    cells, placebo = TRIAL.treatment(0), TRIAL.treatment(1)

    assert [field.code for field in cells.contents] == [field.code for field in placebo.contents]
    assert not any(field.not_applicable for field in cells.contents)
    # Nobody counts cells where there are none.
    assert all(field.not_applicable for field in placebo.contents if "cell" in field.code)


def test_the_values_behind_severe_pneumonia_are_those_of_the_record():
    asked = {c.code: c.measurement for c in TRIAL.eligibility if c.measurement}

    assert {
        code: ([quantity.code for quantity in m.quantities], m.at_least, m.at_most, m.sufficient_only)
        for code, m in asked.items()
    } == {
        "I4A": (["respiratory_rate"], Decimal(30), None, True),
        "I4B": (["spo2_percent"], None, Decimal(93), False),
        "I4C": (["pao2_mmhg", "fio2"], None, Decimal(300), False),
    }


def test_consent_is_given_to_the_version_in_force_or_one_that_is_still_accepted():
    older = load(
        a_changed_file(
            'consent_version = "1.0"',
            'consent_version = "2.0"\nconsent_versions_accepted = ["1.1", "1.0"]',
        )
    )

    assert accepted_consent_versions(TRIAL) == ("1.0",)
    assert accepted_consent_versions(older) == ("2.0", "1.1", "1.0")


def test_a_file_that_names_no_consent_version_has_one():
    assert load(a_changed_file('consent_version = "1.0"\n', "")).consent_version == "1.0"


def test_what_the_server_keeps_describes_the_same_trial():
    kept = from_document(TRIAL.public_document())

    emergency = protocols.Emergency()
    assert kept == dataclasses.replace(TRIAL, block_sizes=(), list_length=None, emergency=emergency)
    assert kept.content_hash == TRIAL.content_hash
    assert from_document(PUBLIC) == kept
    assert from_document(kept.public_document().encode()) == kept


@pytest.mark.requirement(4)
def test_the_block_sizes_reach_neither_the_document_nor_its_hash():
    other = load(a_changed_file("block_sizes = [4, 6]", "block_sizes = [4, 6, 8]"))

    assert not {"block_sizes", "list_length", "design"} & set(PUBLIC)
    # A hash that changed with them would let anyone find them by trying a few.
    assert other.content_hash == TRIAL.content_hash


@pytest.mark.parametrize(
    ("old", "new"),
    [("planned = 48", "planned = 50"), ('"10:00"', '"10:01"'), ('"500000"', '"500001"'), ("RT-PCR", "PCR")],
)
def test_any_other_change_makes_another_content_hash(old, new):
    assert load(a_changed_file(old, new)).content_hash != TRIAL.content_hash


def test_the_document_is_canonical():
    assert TRIAL.public_document() == json.dumps(
        PUBLIC, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    # Decimals are texts: a JSON number would come back as a double.
    assert PUBLIC["dose"]["cells_per_kg"] == "500000"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("planned = 48", "", "planned"),
        ("planned = 48", 'planned = "48"', "planned"),
        ("planned = 48", "planned = 48.0", "planned"),
        ("planned = 48", "planned = true", "planned"),
        ("planned = 48", "planned = 0", "planned"),
        ("planned = 48", "planned = 9007199254740992", "planned"),
        ("planned = 48", "planned = 48\ncolour = 1", "colour"),
        ("planned = 48", "planned = ", "(file)"),
        ('version = "1.0"', 'version = " "', "version"),
        ('version = "1.0"', "version = 1.0", "version"),
        ("ratio = [1, 1]", "ratio = [2, 1]", "block_sizes[0]"),
        ("ratio = [1, 1]", "ratio = [1]", "ratio"),
        ("ratio = [1, 1]", "ratio = [0, 1]", "ratio"),
        ("ratio = [1, 1]", "ratio = [1, 1, 1]", "ratio"),
        ("ratio = [1, 1]", "ratio = 1", "ratio"),
        ("block_sizes = [4, 6]", "", "block_sizes"),
        ("block_sizes = [4, 6]", "block_sizes = [2, 4]", "block_sizes[0]"),
        ("block_sizes = [4, 6]", "block_sizes = [4, 5]", "block_sizes[1]"),
        ("block_sizes = [4, 6]", "block_sizes = [4]", "block_sizes"),
        ("block_sizes = [4, 6]", "block_sizes = []", "block_sizes"),
        ("block_sizes = [4, 6]", "block_sizes = [6, 4]", "block_sizes"),
        ("block_sizes = [4, 6]", "block_sizes = [4, 4]", "block_sizes"),
        (
            "block_sizes = [4, 6]",
            'block_sizes = [4, 6]\ndesign = {kind = "big_stick", mti = 3}',
            "block_sizes",
        ),
        ("block_sizes = [4, 6]", 'design = {kind = "urn", mti = 3}', "design.kind"),
        ("block_sizes = [4, 6]", 'design = {kind = "big_stick", mti = 1}', "design.mti"),
        ("block_sizes = [4, 6]", 'design = {kind = "big_stick"}', "design.mti"),
        ("slots = 8", "", "emergency.slots"),
        ("slots = 8", "slots = 0", "emergency.slots"),
        ('code = "age_group"', 'code = "emergency"', "factors[0].code"),
        ("list_length = 60", "list_length = 0", "list_length"),
        ("list_length = 60", "", "list_length"),
        ("age_min = 18", "age_min = -1", "age_min"),
        ("age_min = 18", "age_min = 19", "factors[0].levels[0]"),
        ("age_max = 75", "age_max = 17", "age_max"),
        ("age_max = 75", "age_max = 80", "factors[0].levels"),
        ('["18-59", "60-75"]', '["18-59", "61-75"]', "factors[0].levels[1]"),
        ('["18-59", "60-75"]', '["18-60", "60-75"]', "factors[0].levels[1]"),
        ('["18-59", "60-75"]', '["young", "old"]', "factors[0].levels[0]"),
        ('["18-59", "60-75"]', '["18-75"]', "factors[0].levels"),
        ('"high_flow_or_ventilation"]', '"conventional_oxygen"]', "factors[1].levels"),
        ('"high_flow_or_ventilation"]', '"high|flow"]', "factors[1].levels[1]"),
        ('code = "respiratory_support"', 'code = "age_group"', "factors[1].code"),
        ('derived_from = "birth_date"', 'derived_from = "weight"', "factors[0].derived_from"),
        ('code = "B"', 'code = "C"', "arms"),
        ('treatment = "PLACEBO"', 'treatment = "UC-MSC"', "arms"),
        ('treatment = "PLACEBO"', 'treatment = "SALINE"', "arms[1].treatment"),
        ('code = "I2"', 'code = "I1"', "eligibility[1].code"),
        ('kind = "inclusion"', 'kind = "maybe"', "eligibility[0].kind"),
        ('combine = "all"', 'combine = "some"', "eligibility[0].combine"),
        ('combine = "any"', 'combine = "all"', "eligibility[4].group"),
        ('combine = "any"\n', "", "eligibility[3].combine"),
        ('years old"\nderived_from = "birth_date"', 'years old"', "eligibility"),
        ("day = 3", "day = 1", "infusions[1].day"),
        ("day = 3", "day = 6", "infusions[2].day"),
        ("day = 3", "day = 2", "infusions[1].day"),
        ("day = 1", "day = 0", "infusions[0].day"),
        ("number = 2", "number = 3", "infusions[1].number"),
        ("opens_days_before = 0", "opens_days_before = -1", "infusions[0].opens_days_before"),
        ('target_time = "10:00"', 'target_time = "24:00"', "infusions[0].target_time"),
        ('target_time = "10:00"', "target_time = 10:00:00", "infusions[0].target_time"),
        ("min_interval_hours = 36", "min_interval_hours = 0", "min_interval_hours"),
        ("stability_minutes = 360", "stability_minutes = 60", "stability_minutes"),
        ("[0, 15, 30, 45]", "[]", "dispatch_minutes"),
        ("[0, 15, 30, 45]", "[0, 60]", "dispatch_minutes[1]"),
        ("[0, 15, 30, 45]", "[15, 0]", "dispatch_minutes"),
        ("[0, 15, 30, 45]", '["0"]', "dispatch_minutes[0]"),
        ('cells_per_kg = "500000"', "cells_per_kg = 500000.0", "dose.cells_per_kg"),
        ('cells_per_kg = "500000"', 'cells_per_kg = "5e5"', "dose.cells_per_kg"),
        ('cells_per_kg = "500000"', 'cells_per_kg = "0"', "dose.cells_per_kg"),
        ('rounding = "half_up"', 'rounding = "down"', "dose.rounding"),
        ('bag_capacity_ml = "150"', 'bag_capacity_ml = "99"', "dose.bag_capacity_ml"),
        ('min_viability_percent = "70"', 'min_viability_percent = "101"', "dose.min_viability_percent"),
        ('weight_max_kg = "200"', 'weight_max_kg = "30"', "dose.weight_max_kg"),
        ("weight_max_age_hours = 48", "weight_max_age_hours = 0", "dose.weight_max_age_hours"),
        ('components = ["uc_msc"]', "components = []", "treatments.UC-MSC.components"),
        ('text = "Viability"', 'text = "Potency"', "treatments"),
        ('code = "viability_percent"', 'code = "cells_per_ml"', "treatments.UC-MSC.contents[1].code"),
        ('kind = "decimal"', 'kind = "number"', "treatments.UC-MSC.contents[0].kind"),
        ('kind = "decimal"', 'kind = "text"', "treatments.UC-MSC.contents[0]"),
        ('maximum = "100"\n', 'maximum = "-1"\n', "treatments.UC-MSC.contents[1].maximum"),
        ("not_applicable = false", 'not_applicable = "no"', "treatments.UC-MSC.contents[0].not_applicable"),
        ("[treatments.PLACEBO]", "[treatments.SALINE]", "treatments.SALINE.contents"),
        ('time_zone = "Asia/Shanghai"', 'time_zone = "Asia/Wuhan"', "sites[0].time_zone"),
        ('time_zone = "Asia/Shanghai"', 'time_zone = "../etc/passwd"', "sites[0].time_zone"),
        ('code = "HANKOU"', 'code = "PUREN"', "sites[1].code"),
        ('code = "HANKOU"', 'code = "HAN KOU"', "sites[1].code"),
        ('mode = "on_demand"', 'mode = "pre_packed"', "kits.mode"),
        ('gtin = "09520123456788"', 'gtin = "09520123456789"', "kits.gtin"),
        ('lot = "NCT04293692"', 'lot = "NCT04293692-0123456789"', "kits.lot"),
        ("[kits]", "[kit]", "kit"),
        ("[label]", "[[label]]", "label"),
        ('consent_version = "1.0"', 'consent_version = "1 0"', "consent_version"),
        (
            'consent_version = "1.0"',
            'consent_version = "1.0"\nconsent_versions_accepted = ["0.9", "1.0"]',
            "consent_versions_accepted[1]",
        ),
        (
            'consent_version = "1.0"',
            'consent_version = "1.0"\nconsent_versions_accepted = ["0.9,"]',
            "consent_versions_accepted[0]",
        ),
        ('at_least = "30"', "", "eligibility[3].measurement"),
        ('at_least = "30"', 'at_least = "30"\nat_most = "90"', "eligibility[3].measurement"),
        ('at_least = "30"', 'at_least = "thirty"', "eligibility[3].measurement.at_least"),
        ('at_least = "30"', 'at_least = "30"\nroughly = true', "eligibility[3].measurement.roughly"),
        ('unit = "/min", ', "", "eligibility[3].measurement.value.unit"),
        ('maximum = "90"', 'maximum = "4"', "eligibility[3].measurement"),
        ('code = "respiratory_rate"', 'code = "Respiratory rate"', "eligibility[3].measurement"),
        ('code = "spo2_percent"', 'code = "respiratory_rate"', "eligibility[4].measurement"),
        ('code = "fio2"', 'code = "pao2_mmhg"', "eligibility[5].measurement"),
        ('minimum = "0.21"', 'minimum = "0"', "eligibility[5].measurement"),
        (
            'derived_from = "birth_date"\n\n[[eligibility]]\ncode = "I2"',
            'derived_from = "birth_date"\nmeasurement = { at_least = "18", value = { code = "age",'
            ' unit = "a", minimum = "0", maximum = "120" } }\n\n[[eligibility]]\ncode = "I2"',
            "eligibility[0].measurement",
        ),
        ('statement = "For clinical trial use only"', "", "label.statement"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(old, new, place):
    with pytest.raises(ProtocolError) as refusal:
        load(a_changed_file(old, new))

    assert refusal.value.place == place
    assert refusal.value.reason
    assert str(refusal.value) == f"{place}: {refusal.value.reason}"


@pytest.mark.parametrize(
    ("name", "place"),
    [("block_sizes", "block_sizes"), ("list_length", "list_length"), ("emergency", "emergency.slots")],
)
def test_a_public_document_with_a_design_is_refused(name, place):
    document = PUBLIC | {name: tomllib.loads(TEXT)[name]}

    with pytest.raises(ProtocolError) as refusal:
        from_document(document)

    assert refusal.value.place == place


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("factors",), [], "factors"),
        (("infusions",), [], "infusions"),
        (("sites",), [], "sites"),
        (("sites",), {}, "sites"),
        (("sites", 0), "PUREN", "sites[0]"),
        (("treatments", "UC-MSC", "components"), ["a", "a"], "treatments.UC-MSC.components"),
        (("treatments", "PLACEBO", "contents", 0, "unit"), None, "treatments"),
        (("treatments", "SALINE"), PUBLIC["treatments"]["PLACEBO"], "treatments.SALINE"),
        (("dose", "weight_min_kg"), ..., "dose.weight_min_kg"),
    ],
)
def test_a_wrong_public_document_is_refused_with_the_place(path, value, place):
    with pytest.raises(ProtocolError) as refusal:
        from_document(a_changed_document(path, value))

    assert refusal.value.place == place


def test_a_file_that_is_no_text_is_refused():
    with pytest.raises(ProtocolError) as refusal:
        load(b"\xff\xfe")

    assert refusal.value.place == "(file)"


@pytest.mark.parametrize("document", ["[]", "7", "null", "{"])
def test_a_document_that_is_no_table_is_refused(document):
    with pytest.raises(ProtocolError) as refusal:
        from_document(document)

    assert refusal.value.place == "(file)"


def test_a_loaded_trial_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TRIAL.planned = 50  # type: ignore[misc]
    with pytest.raises(TypeError):
        TRIAL.treatments["UC-MSC"] = TRIAL.treatments["PLACEBO"]  # type: ignore[index]


def test_a_site_that_the_trial_has_not_is_not_found():
    with pytest.raises(KeyError):
        TRIAL.site("WUHAN")
