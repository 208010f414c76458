"""What an amendment may change of a trial file, and what stays; each refusal names its place."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from randomization.domain.amendment import FREE, LIMITED, amendment_faults, differences, new_strata
from randomization.domain.strata import all_strata
from trialsite import protocol as protocols
from trialsite.protocol import DESIGN_FIELDS, Factor, Protocol
from trialsite.protocol_caps import Caps

TRIAL = protocols.load(protocols.DEFAULT_TRIAL_FILE)
AGE, SUPPORT = TRIAL.factors
CELLS, PLACEBO = "UC-MSC", "PLACEBO"


def amended(**changes) -> Protocol:
    return dataclasses.replace(TRIAL, **{"version": "2.0"} | changes)


def told(after: Protocol, *, before: Protocol = TRIAL, occupied=("PUREN",)) -> list[str]:
    return [place for place, _ in amendment_faults(before, after, occupied=occupied)]


def with_treatment(code: str, **changes) -> dict:
    changed = dataclasses.replace(TRIAL.treatments[code], **changes)
    return {"treatments": {**TRIAL.treatments, code: changed}}


def with_site(index: int, **changes) -> dict:
    sites = list(TRIAL.sites)
    sites[index] = dataclasses.replace(sites[index], **changes)
    return {"sites": tuple(sites)}


MAY = [
    {"title": "Another title"},
    {"planned": 60, "caps": Caps(trial=60)},
    {"caps": None},
    {"eligibility": TRIAL.eligibility[:-1]},
    {"age_max": 80, "factors": (dataclasses.replace(AGE, levels=(*AGE.levels, "76-80")), SUPPORT)},
    {"factors": (AGE, dataclasses.replace(SUPPORT, levels=("none", *SUPPORT.levels)))},
    {"infusions": (dataclasses.replace(TRIAL.infusions[0], closes_days_after=2), *TRIAL.infusions[1:])},
    {"arms": tuple(dataclasses.replace(arm, name="Another name") for arm in TRIAL.arms)},
    {"dose": dataclasses.replace(TRIAL.dose, weight_max_kg=Decimal(220))},
    {"sites": (*TRIAL.sites, dataclasses.replace(TRIAL.sites[0], code="JINYINTAN"))},
    {"sites": TRIAL.sites[:1]},  # nobody is at the other
    with_site(0, name="Another name", telephone="+86 27 0000 0005"),
    with_treatment(CELLS, instructions="In other words."),
    {"stability_minutes": 400, "infusion_minutes": 90, "dispatch_minutes": (0, 30)},
    {"label": dataclasses.replace(TRIAL.label, storage="Room temperature.")},
    {"consent_version": "2.0", "consent_versions_accepted": ("1.0",)},
]
MAY_NOT = [
    ({"version": TRIAL.version}, "version"),
    ({"protocol": "NCT00000000"}, "protocol"),
    ({"ratio": (2, 1)}, "ratio"),
    ({"arms": TRIAL.arms[::-1]}, "arms"),
    (
        {"arms": (dataclasses.replace(TRIAL.arms[0], treatment=PLACEBO), TRIAL.arms[1])},
        "arms",
    ),
    ({"factors": (SUPPORT, AGE)}, "factors"),
    ({"factors": (AGE,)}, "factors"),
    ({"factors": (*TRIAL.factors, Factor(code="sex", levels=("female", "male")))}, "factors"),
    ({"factors": (AGE, dataclasses.replace(SUPPORT, levels=SUPPORT.levels[::-1]))}, "factors[1].levels"),
    ({"factors": (AGE, dataclasses.replace(SUPPORT, levels=(SUPPORT.levels[0], "x")))}, "factors[1].levels"),
    ({"factors": (dataclasses.replace(AGE, levels=("18-64", "65-75")), SUPPORT)}, "factors[0].levels"),
    ({"infusions": TRIAL.infusions[:3]}, "infusions"),
    ({"dose": dataclasses.replace(TRIAL.dose, cells_per_kg=Decimal(1000000))}, "dose.cells_per_kg"),
    ({"dose": dataclasses.replace(TRIAL.dose, volume_ml=Decimal(50))}, "dose.volume_ml"),
    (with_treatment(CELLS, components=("other",)), f"treatments.{CELLS}.components"),
    (with_treatment(PLACEBO, contents=()), f"treatments.{PLACEBO}.contents"),
    ({"treatments": {CELLS: TRIAL.treatments[CELLS]}}, "treatments"),
    ({"sites": TRIAL.sites[1:]}, "sites"),
    (with_site(0, time_zone="Europe/Paris"), "sites[0].time_zone"),
    (with_site(1, demonstration=False), "sites[1].demonstration"),
    ({"kits": dataclasses.replace(TRIAL.kits, lot="OTHER")}, "kits"),
    ({"emergency": None}, "emergency"),
]


@pytest.mark.parametrize("changes", MAY)
def test_an_amendment_may_change_this(changes):
    assert told(amended(**changes)) == []


@pytest.mark.parametrize(("changes", "place"), MAY_NOT)
@pytest.mark.requirement(11)
def test_an_amendment_may_not_change_this(changes, place):
    assert told(amended(**changes)) == [place]


def test_reserved_lists_may_be_added_by_an_amendment():
    assert told(amended(), before=dataclasses.replace(TRIAL, emergency=None)) == []


def test_the_secret_design_is_not_compared():
    assert told(amended(block_sizes=(), list_length=None)) == []


def test_a_field_that_the_rules_do_not_know_stays():
    fields = {field.name for field in dataclasses.fields(Protocol)}

    assert fields - FREE - LIMITED - set(DESIGN_FIELDS) == {"protocol", "ratio", "kits"}


@pytest.mark.requirement(11)
def test_no_amendment_that_is_allowed_takes_a_stratum_away_or_gives_one_another_code():
    for changes in MAY:
        assert set(all_strata(TRIAL)) <= set(all_strata(amended(**changes)))


def test_the_strata_that_an_amendment_adds_are_named_in_the_order_of_the_file():
    more = amended(factors=(AGE, dataclasses.replace(SUPPORT, levels=("none", *SUPPORT.levels))))

    assert new_strata(TRIAL, more) == (
        "age_group=18-59|respiratory_support=none",
        "age_group=60-75|respiratory_support=none",
    )
    assert new_strata(TRIAL, amended()) == ()


def test_who_approves_is_shown_every_public_value_that_differs_and_no_secret_one():
    after = amended(
        planned=60, block_sizes=(6, 8), sites=TRIAL.sites[:1], **with_treatment(CELLS, name="Cells")
    )

    lines = list(differences(TRIAL, after))

    assert "planned: 48 -> 60" in lines
    assert "version: 1.0 -> 2.0" in lines
    assert any(line.startswith("sites[HANKOU]: ") and line.endswith("-> nothing") for line in lines)
    assert any(line.startswith("treatments.UC-MSC.name: ") for line in lines)
    assert len(lines) == 4
