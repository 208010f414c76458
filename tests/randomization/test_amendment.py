"""An active trial is amended: drafted, approved by two named people, put in force; used slots stay."""

from __future__ import annotations

import dataclasses

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from randomization.domain.strata import all_strata
from randomization.models import Allocation, Approval, EnrolmentChange, Participant, Stratum, TrialVersion
from randomization.selectors import TrialNotActive, active_trial, current_trial
from randomization.services import unblinding
from randomization.services.amendments import AlreadyApproved, AmendmentRefused, AmendmentSuperseded
from randomization.services.enrolment_changes import change_enrolment
from randomization.services.enrolment_gate import SiteNotActive
from randomization.services.setup import NotReadyToActivate, TrialFixed, load_trial
from supply.services.enrolment import randomize_participant
from tests.people import a_person
from tests.randomization.breaking import a_randomized_participant, forget_used_codes
from tests.randomization.extending import (
    NEW_LEVEL,
    amended,
    an_extension,
    approve,
    every_slot,
    install,
    load,
    put_in_force,
    with_a_new_level,
    with_a_new_site,
)
from tests.world import a_participant, a_world, the_protocol
from trialsite.accounts.access import NotPermitted
from trialsite.accounts.models import Site
from trialsite.accounts.roles import Role
from trialsite.accounts.services.people import grant_role
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now
from trialsite.errors import NotFound
from trialsite.protocol import DEFAULT_TRIAL_FILE

NEW_STRATA = [f"age_group={age}|respiratory_support={NEW_LEVEL}" for age in ("18-59", "60-75")]


def events(*kinds):
    entries = Entry.objects.filter(kind__in=kinds).order_by("position")
    return [parse(bytes(entry.body)) for entry in entries]


def randomize(world, participant):
    return randomize_participant(
        participant_id=participant.pk,
        stratum=participant.stratum_levels,
        by=world.person("investigator"),
        at=trial_now(),
    )


def amend(world, protocol):
    version = load(protocol)
    approve(world, version)
    return put_in_force(world, version)


def add_the_new_level(world):
    """Amend the trial by two strata, whose lists are installed before."""
    version = load(with_a_new_level())
    extension = install(an_extension(world, protocol=with_a_new_level(), strata=NEW_STRATA))
    approve(world, version)
    return put_in_force(world, version), extension


@pytest.mark.requirement(11)
def test_an_amendment_adds_strata_and_leaves_every_slot_where_it_was(world, allocation):
    before, ordinals = every_slot(), dict(Stratum.objects.values_list("code", "ordinal"))

    version, extension = add_the_new_level(world)

    assert [row for row in every_slot() if row[1] != extension.pk] == before
    assert current_trial()[0] == version
    # In the file the new level comes first; rows that were there keep their ordinals.
    assert dict(Stratum.objects.values_list("code", "ordinal")) == ordinals | dict(
        zip(NEW_STRATA, (7, 8), strict=True)
    )
    assert a_randomized_participant(world).position == 1
    newcomer = a_randomized_participant(world, strata={"respiratory_support": NEW_LEVEL})
    assert (newcomer.stratum_id, newcomer.position) == (NEW_STRATA[0], 0)


@pytest.mark.requirement(50)
def test_after_an_amendment_slots_of_both_lists_open(world, allocation, settings):
    add_the_new_level(world)
    newcomer = a_randomized_participant(world, strata={"respiratory_support": NEW_LEVEL})
    install(an_extension(world, protocol=with_a_new_level(), seed=bytes(32)))  # old and new strata mixed
    keys = unblinding.FileKeys([settings.CODE_BREAK_KEY_FILE])

    for each in (allocation, newcomer):
        assert unblinding.open_arm(each.participant_id, keys=keys)[1] in {0, 1}


@pytest.mark.requirement(12)
def test_participants_keep_the_version_that_they_were_screened_under(world, allocation):
    waiting = a_participant(world)
    old = current_trial()[0]

    new = amend(world, amended(infusions=later_windows()))

    assert randomize(world, waiting).position == 1
    later = a_randomized_participant(world)
    versions = Participant.objects.order_by("created_at").values_list("trial_version", flat=True)
    assert list(versions) == [old.pk, old.pk, new.pk]
    of_old, of_new = (windows_of(one.participant) for one in (Allocation.objects.get(pk=waiting.pk), later))
    assert [(new - old).days for old, new in zip(of_old, of_new, strict=True)] == [1, 0, 0, 0]


def later_windows():
    first, *others = the_protocol().infusions
    return (dataclasses.replace(first, closes_days_after=2), *others)


def windows_of(participant):
    return list(participant.infusions.order_by("number").values_list("closes_at", flat=True))


def test_the_trail_tells_who_approved_what_and_from_which_version_it_came(world):
    old = current_trial()[0]

    new = amend(world, amended(planned=60))

    loaded, *approved, changed = events(Kind.TRIAL_LOADED, Kind.TRIAL_APPROVED, Kind.TRIAL_AMENDED)[1:]
    assert loaded["about"] == changed["about"] == {"trial": new.pk, "amends": old.pk}
    assert [(event["role"], event["act"], event["about"]["trial"]) for event in approved] == [
        (name, str(world.person(name).pk), new.pk) for name in ("statistician", "study_manager")
    ]
    assert (new.activated_by, active_trial()[0]) == (world.person("study_manager"), new)


@pytest.mark.parametrize("people", [(), ("statistician",), ("study_manager",)])
def test_nothing_is_put_in_force_without_both_approvals(world, people):
    version = load(amended(planned=60))
    for person in people:
        approve(world, version, person)

    with pytest.raises(NotReadyToActivate, match="not approved by"):
        put_in_force(world, version)

    assert active_trial()[1].planned == 48
    assert not events(Kind.TRIAL_AMENDED)


@pytest.mark.parametrize("strata", [[], NEW_STRATA[:1]])
def test_nothing_is_put_in_force_without_a_list_for_each_new_stratum(world, strata):
    version = load(with_a_new_level())
    approve(world, version)
    if strata:
        install(an_extension(world, protocol=with_a_new_level(), strata=strata))

    with pytest.raises(NotReadyToActivate, match="no sealed list of this version for stratum"):
        put_in_force(world, version)


def test_a_list_for_another_draft_does_not_do_for_a_new_stratum(world):
    load(with_a_new_level(planned=60))
    install(an_extension(world, protocol=with_a_new_level(planned=60), strata=NEW_STRATA))
    version = load(with_a_new_level(planned=50))
    approve(world, version)

    with pytest.raises(NotReadyToActivate, match="no sealed list of this version"):
        put_in_force(world, version)


def test_a_list_that_was_damaged_after_it_was_installed_puts_nothing_in_force(world):
    version = load(with_a_new_level())
    extension = install(an_extension(world, protocol=with_a_new_level(), strata=NEW_STRATA))
    approve(world, version)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE randomization_sealedarm SET leaf_hash = sha256(leaf_hash) WHERE slot_id ="
            " (SELECT id FROM randomization_slot WHERE list_id = %s LIMIT 1)",
            [extension.pk],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")

    with pytest.raises(NotReadyToActivate, match="not whole"):
        put_in_force(world, version)


def test_nobody_approves_twice_or_in_the_place_of_another(world):
    version = load(amended(planned=60))
    approve(world, version, "statistician")
    second = a_person("second", Role.STUDY_MANAGER)

    with pytest.raises(AlreadyApproved):
        approve(world, version, "statistician")
    for name in ("investigator", "administrator", "monitor", "auditor"):
        with pytest.raises(NotPermitted):
            approve(world, version, name)
    approve(world, version, "second")
    with pytest.raises(AlreadyApproved):
        approve(world, version, "study_manager")

    assert {approval.approved_by for approval in Approval.objects.all()} == {
        world.person("statistician"),
        second,
    }


def test_a_draft_changes_nothing_until_it_is_in_force(world):
    load(with_a_new_site(planned=60))

    assert (active_trial()[1].planned, active_trial()[0].amends) == (48, None)
    assert a_randomized_participant(world).position == 0
    assert world.client("investigator").get("/api/v1/trial").json()["sites"][0]["code"] == "PUREN"


def test_of_two_drafts_one_is_put_in_force_and_the_other_never(world):
    one, other = load(amended(planned=60)), load(amended(planned=50))
    approve(world, one)
    approve(world, other)
    put_in_force(world, one)

    with pytest.raises(AmendmentSuperseded):
        put_in_force(world, other)
    with pytest.raises(AmendmentSuperseded):
        put_in_force(world, one)
    third = load(amended(version="3.0", planned=70))
    approve(world, third)
    assert put_in_force(world, third).amends == one


def test_the_same_file_again_is_no_new_draft_and_an_old_version_does_not_come_back(world):
    first = load(amended(planned=60))
    assert load(amended(planned=60)) == first
    approve(world, first)
    put_in_force(world, first)

    assert load(amended(planned=60)) == first
    with pytest.raises(AmendmentRefused, match="was in force before"):
        load(the_protocol())
    assert TrialVersion.objects.count() == 2


def test_what_must_stay_is_refused_with_every_place(world, allocation):
    changed = amended(ratio=(2, 1), sites=the_protocol().sites[1:], version="1.0")

    with pytest.raises(AmendmentRefused) as refusal:
        load(changed)

    places = [fault.partition(":")[0] for fault in str(refusal.value).split("; ")]
    assert {"version", "ratio", "sites"} <= set(places)
    assert TrialVersion.objects.count() == 1


def test_what_happened_since_a_draft_was_loaded_is_looked_at_again(world):
    without_envelopes = dataclasses.replace(amended(), sites=the_protocol().sites[:1])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE randomization_stratum SET site_id = NULL WHERE site_id = 'HANKOU'")
        cursor.execute("SET LOCAL session_replication_role = origin")
    version = load(without_envelopes)
    approve(world, version)
    a_participant(world, by="investigator_2", site="HANKOU")

    with pytest.raises(AmendmentRefused, match="HANKOU"):
        put_in_force(world, version)


@pytest.mark.requirement(8)
def test_a_site_that_was_added_enrols_nobody_until_it_is_opened(world):
    version = load(with_a_new_site())
    person = a_person("jin", Role.INVESTIGATOR, site="JINYINTAN")
    with pytest.raises(SiteNotActive):
        a_participant(world, by="jin", site="JINYINTAN")
    with pytest.raises(NotFound):
        open_the_new_site(world)
    approve(world, version)
    put_in_force(world, version)
    with pytest.raises(SiteNotActive):
        a_participant(world, by="jin", site="JINYINTAN")

    open_the_new_site(world)

    participant = a_participant(world, by="jin", site="JINYINTAN")
    assert (participant.site_id, participant.created_by) == ("JINYINTAN", person)
    assert EnrolmentChange.objects.get(site="JINYINTAN").status == "active"


def open_the_new_site(world):
    change_enrolment(
        site="JINYINTAN",
        status="active",
        reason="Opened.",
        by=world.person("study_manager"),
        at=trial_now(),
    )


def test_a_new_name_of_a_site_is_shown_from_the_amendment_on(world):
    puren, *others = the_protocol().sites
    version = load(amended(sites=(dataclasses.replace(puren, name="Puren Hospital"), *others)))
    assert Site.objects.get(pk="PUREN").name != "Puren Hospital"
    approve(world, version)

    put_in_force(world, version)

    assert Site.objects.get(pk="PUREN").name == "Puren Hospital"


def test_there_is_nothing_to_amend_before_the_activation(db, tmp_path, settings):
    a_world(tmp_path, settings, active=False)

    with pytest.raises(TrialNotActive):
        load(amended(planned=60))
    with pytest.raises(TrialFixed):
        load_trial(protocol=amended(planned=60), by="system:load_trial", at=trial_now())


def test_an_active_trial_is_not_loaded_over(world):
    with pytest.raises(TrialFixed):
        load_trial(protocol=amended(planned=60), by="system:load_trial", at=trial_now())


def test_the_commands_draft_show_approve_and_put_in_force(world, tmp_path, capsys):
    trial = tmp_path / "trial.toml"
    text = (
        DEFAULT_TRIAL_FILE.read_text()
        .replace('version = "1.0"', 'version = "2.0"', 1)
        .replace("planned = 48", "planned = 60")
    )
    trial.write_text(text)
    grant_role(
        user=world.person("monitor"),
        role=Role.STUDY_MANAGER,
        site=None,
        by="system:tests",
        approved_by="system:tests",
        at=trial_now(),
    )

    def signed(who):
        signature = tmp_path / who
        signature.write_text("\n".join(world.signature(who).values()))
        return {"by": who, "signature_file": str(signature)}

    call_command("load_trial", str(trial))
    version = TrialVersion.objects.exclude(amends=None).get()
    assert f"as a draft, to be approved, content hash {version.pk}" in capsys.readouterr().out
    call_command("approve_amendment", version.pk, show=True)
    assert "planned: 48 -> 60" in capsys.readouterr().out
    with pytest.raises(CommandError, match="No amendment of that content hash"):
        call_command("approve_amendment", version.pk[:16], **signed("statistician"))
    call_command("approve_amendment", version.pk, **signed("statistician"))
    with pytest.raises(CommandError, match="not approved by: study_manager"):
        call_command("activate_amendment", version.pk, **signed("monitor"))
    call_command("approve_amendment", version.pk, **signed("study_manager"))
    forget_used_codes()
    call_command("activate_amendment", version.pk, **signed("study_manager"))

    assert "is in force; signed by study_manager" in capsys.readouterr().out
    assert active_trial()[1].planned == 60


def test_a_wrong_signature_approves_nothing(world, tmp_path):
    version = load(amended(planned=60))
    signature = tmp_path / "signature"
    signature.write_text("a-wrong-password-of-somebody\n000000")

    with pytest.raises(CommandError, match="not accepted"):
        call_command("approve_amendment", version.pk, by="statistician", signature_file=str(signature))

    assert not Approval.objects.exists()


def test_the_strata_of_an_amendment_are_those_of_the_file(world):
    add_the_new_level(world)

    assert set(all_strata(active_trial()[1])) == set(
        Stratum.objects.filter(site=None).values_list("code", flat=True)
    )
