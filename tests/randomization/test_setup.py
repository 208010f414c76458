"""Before the first participant: what is believed of a list, and what an activation needs."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import io
import json
import math

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from randomization.models import RandomizationList, SealedArm, Slot, Stratum, TrialVersion
from randomization.selectors import TrialAltered, active_trial, current_trial, protocol_of
from randomization.services import lists, setup
from randomization.services.lists import ListRefused
from randomization.services.setup import AlreadyActive, NotReadyToActivate, TrialFixed
from supply.models import KitNumber
from supply.services.activation import activate_trial
from tests import world as worlds
from tests.world import a_bundle, a_world, the_protocol
from trialsite.accounts.access import NotPermitted
from trialsite.accounts.models import Site
from trialsite.audit import notes
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry

NOW = dt.datetime(2020, 2, 1, tzinfo=dt.UTC)


@pytest.fixture
def unlisted(db, tmp_path, settings, monkeypatch):
    """A deployment whose trial is loaded and that has no list yet."""
    monkeypatch.setattr(worlds, "a_list", lambda *_args, **_kwargs: None)
    return a_world(tmp_path, settings, active=False)


def install(bundle, **changes):
    given = {
        "slots": bundle.slots,
        "commitment_note": bundle.commitment_note,
        "sealed_seed": bundle.sealed_seed,
        "by": "system:install_list",
        "at": NOW,
    }
    return lists.install_list(**given | changes)


def changed(bundle, index, **fields):
    slots = list(bundle.slots)
    slots[index] = dataclasses.replace(slots[index], **fields)
    return slots


def test_loading_the_same_trial_twice_does_nothing_twice(unlisted):
    again = setup.load_trial(protocol=the_protocol(), by="system:load_trial", at=NOW)

    assert TrialVersion.objects.get().pk == again.pk == the_protocol().content_hash
    assert Entry.objects.filter(kind=Kind.TRIAL_LOADED).count() == 1
    assert list(Site.objects.values_list("code", flat=True)) == ["HANKOU", "PUREN"]


@pytest.mark.requirement(4)
def test_block_sizes_and_list_length_never_reach_the_database(unlisted):
    stored = json.dumps(TrialVersion.objects.get().document)

    assert "block" not in stored
    assert "list_length" not in stored


def test_another_trial_file_is_refused_once_there_is_a_list(unlisted):
    install(a_bundle(unlisted))

    with pytest.raises(TrialFixed):
        setup.load_trial(protocol=dataclasses.replace(the_protocol(), planned=60), by="system:x", at=NOW)

    assert TrialVersion.objects.count() == 1


def test_a_stored_trial_that_was_altered_is_noticed(unlisted):
    version = TrialVersion.objects.get()
    TrialVersion.objects.update(document={**version.document, "planned": 60})
    protocol_of.cache_clear()

    with pytest.raises(TrialAltered):
        current_trial()


@pytest.mark.requirement(5)
def test_a_whole_list_is_installed_and_its_commitment_is_on_the_trail(unlisted):
    bundle = a_bundle(unlisted)

    installed = install(bundle)

    assert installed.leaf_count == len(bundle.slots) == SealedArm.objects.count() == Slot.objects.count()
    assert [stratum.ordinal for stratum in Stratum.objects.all()] == [1, 2, 3, 4, 5, 6]
    reserved = Stratum.objects.exclude(site=None).values_list("code", "site", "levels", "ordinal")
    assert list(reserved) == [("emergency=PUREN", "PUREN", {}, 5), ("emergency=HANKOU", "HANKOU", {}, 6)]
    assert sum(stratum.length for stratum in Stratum.objects.all()) == len(bundle.slots)
    event = bytes(Entry.objects.get(kind=Kind.LIST_COMMITTED).body)
    assert bytes(installed.root).hex().encode() in event


@pytest.mark.requirement(5)
def test_a_list_is_never_replaced(unlisted):
    install(a_bundle(unlisted))

    with pytest.raises(ListRefused, match="never replaced"):
        install(a_bundle(unlisted, seed=bytes(32)))

    assert RandomizationList.objects.count() == 1


def another_statistician(_world):
    return {"statistician": notes.SigningKey(f"{worlds.ORIGIN}/statistician", b"s" * 32)}


def test_a_commitment_that_the_statistician_did_not_sign_is_refused(unlisted):
    with pytest.raises(ListRefused, match="not signed by the statistician"):
        install(a_bundle(unlisted, **another_statistician(unlisted)))


def test_a_commitment_whose_text_was_changed_is_refused(unlisted):
    bundle = a_bundle(unlisted)
    note = bundle.commitment_note.replace(worlds.STUDY, "NCT00000000", 1)

    with pytest.raises(ListRefused, match="not signed by the statistician"):
        install(bundle, commitment_note=note)


def test_a_list_of_another_trial_file_is_refused(unlisted, monkeypatch):
    monkeypatch.setattr(worlds, "the_protocol", lambda: dataclasses.replace(the_protocol(), planned=60))

    with pytest.raises(ListRefused, match="another trial file"):
        install(a_bundle(unlisted))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda bundle: bundle.slots[:-1], "slots, and"),
        (lambda bundle: bundle.slots[::-1], "strata are not those"),
        (lambda bundle: (bundle.slots[1], bundle.slots[0], *bundle.slots[2:]), "not in order"),
        (lambda bundle: changed(bundle, 3, leaf=b"x" * 32), "root"),
        (lambda bundle: changed(bundle, 3, leaf=bundle.slots[4].leaf), "root"),
        (lambda bundle: changed(bundle, 3, envelope=b"x" * 95), "malformed"),
        (
            lambda bundle: changed(bundle, 3, randomization_number=bundle.slots[4].randomization_number),
            "comes twice",
        ),
    ],
)
def test_a_list_that_is_not_whole_is_refused_with_the_reason(unlisted, damage, words):
    bundle = a_bundle(unlisted)

    with pytest.raises(ListRefused, match=words):
        install(bundle, slots=damage(bundle))

    assert not Slot.objects.exists()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"root": "00" * 32}, "another list"),
        ({"officers": ["release-1", "release-2", "somebody-1"]}, "release officers"),
        ({"sealed": {"1+2": "AA=="}}, "each pair"),
        ({"sealed": dict.fromkeys(["1+2", "1+3", "2+3"], "AA==")}, "malformed"),
        (
            {"sealed": dict.fromkeys(["1+2", "1+3", "2+3"], base64.b64encode(bytes(127)).decode())},
            "malformed",
        ),
    ],
)
def test_a_list_without_its_seed_sealed_two_of_three_is_refused(unlisted, other, words):
    bundle = a_bundle(unlisted)

    with pytest.raises(ListRefused, match=words):
        install(bundle, sealed_seed={**bundle.sealed_seed, **other})


@pytest.mark.requirement(21, 55)
def test_where_a_row_lies_in_its_table_tells_nothing_of_its_place_on_the_list(unlisted):
    install(a_bundle(unlisted, length=400))

    with connection.cursor() as cursor:
        cursor.execute("SELECT position FROM randomization_slot ORDER BY ctid")
        by_slot = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "SELECT slot.position FROM randomization_sealedarm arm"
            " JOIN randomization_slot slot ON slot.id = arm.slot_id ORDER BY arm.ctid"
        )
        by_arm = [row[0] for row in cursor.fetchall()]

    # Correlation of n pairs in random order: standard deviation 1/sqrt(n); five of them.
    for order in (by_slot, by_arm):
        assert abs(correlation(range(len(order)), order)) < 5 / math.sqrt(len(order))


def correlation(xs, ys):
    n, mean_x, mean_y = len(ys), sum(xs) / len(ys), sum(ys) / len(ys)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / n
    spread = math.sqrt(sum((x - mean_x) ** 2 for x in xs) / n * sum((y - mean_y) ** 2 for y in ys) / n)
    return covariance / spread


def test_an_activation_is_signed_recorded_and_draws_the_kit_numbers(unlisted):
    install(a_bundle(unlisted))

    version = activate_trial(by=unlisted.person("study_manager"), at=NOW)

    assert active_trial()[0].pk == version.pk
    assert version.activated_by == unlisted.person("study_manager")
    assert KitNumber.objects.count() == 2 * 4 * Slot.objects.count()
    assert Entry.objects.filter(kind=Kind.TRIAL_ACTIVATED).count() == 1


def test_nothing_is_activated_without_a_list(unlisted):
    with pytest.raises(NotReadyToActivate, match="no sealed list"):
        activate_trial(by=unlisted.person("study_manager"), at=NOW)


def test_nothing_is_activated_twice(unlisted):
    install(a_bundle(unlisted))
    activate_trial(by=unlisted.person("study_manager"), at=NOW)

    with pytest.raises(AlreadyActive):
        activate_trial(by=unlisted.person("study_manager"), at=NOW)


@pytest.mark.parametrize("somebody", ["investigator", "administrator", "auditor", "preparer"])
def test_nobody_else_activates_a_trial(unlisted, somebody):
    install(a_bundle(unlisted))

    with pytest.raises(NotPermitted):
        activate_trial(by=unlisted.person(somebody), at=NOW)

    assert not KitNumber.objects.exists()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE randomization_sealedarm SET leaf_hash = sha256(leaf_hash) WHERE slot_id ="
        " (SELECT id FROM randomization_slot ORDER BY id LIMIT 1)",
        "UPDATE randomization_randomizationlist SET commitment_note = commitment_note || 'x'",
        "UPDATE randomization_randomizationlist SET sealed_seed = '{}'",
        "DELETE FROM randomization_sealedarm WHERE slot_id ="
        " (SELECT id FROM randomization_slot ORDER BY id LIMIT 1)",
    ],
)
def test_a_list_that_was_damaged_after_it_was_installed_is_not_activated(unlisted, damage):
    install(a_bundle(unlisted))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # as whoever drops the triggers
        cursor.execute(damage)
        cursor.execute("SET LOCAL session_replication_role = origin")

    with pytest.raises(NotReadyToActivate, match="not whole"):
        activate_trial(by=unlisted.person("study_manager"), at=NOW)


def test_the_commands_load_install_and_activate_as_a_named_person(unlisted, tmp_path, capsys):
    a_bundle(unlisted).write(tmp_path / "list")
    signature = tmp_path / "signature"
    signature.write_text("\n".join(unlisted.signature("study_manager").values()))

    call_command("load_trial")
    call_command("install_list", str(tmp_path / "list"))
    call_command("activate_trial", by="study_manager", signature_file=str(signature))

    assert active_trial()[0].activated_by == unlisted.person("study_manager")
    assert "is active; signed by study_manager" in capsys.readouterr().out


def test_a_wrong_signature_activates_nothing(unlisted, tmp_path):
    install(a_bundle(unlisted))
    signature = tmp_path / "signature"
    signature.write_text("a-wrong-password-of-somebody\n000000")

    with pytest.raises(CommandError, match="not accepted"):
        call_command("activate_trial", by="study_manager", signature_file=str(signature))

    with pytest.raises(Exception, match="not activated"):
        active_trial()


def test_a_signature_may_come_on_standard_input(unlisted, monkeypatch):
    install(a_bundle(unlisted))
    given = "\n".join(unlisted.signature("statistician").values())
    monkeypatch.setattr("sys.stdin", io.StringIO(given))

    call_command("activate_trial", by="statistician", signature_file="-")

    assert active_trial()[0].activated_by == unlisted.person("statistician")


def test_a_damaged_bundle_on_disk_is_refused_by_the_command(unlisted, tmp_path):
    a_bundle(unlisted).write(tmp_path / "list")
    lines = (tmp_path / "list" / "slots.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "list" / "slots.jsonl").write_text("".join([lines[0].replace(":0,", ": 0,"), *lines[1:]]))

    with pytest.raises(CommandError):
        call_command("install_list", str(tmp_path / "list"))
