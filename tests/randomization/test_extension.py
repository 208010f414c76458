"""A list that is extended: slots are added, none is moved, and everything that was shown stays true."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from randomization.domain.schedule import generate_arms, spec_of
from randomization.models import Allocation, RandomizationList, Slot, Stratum
from randomization.services import assignment, unblinding
from randomization.services.lists import ListRefused, check_still_whole
from supply.models import KitNumber
from tests import world as worlds
from tests.randomization.breaking import a_randomized_participant
from tests.randomization.extending import (
    LATER_SEED,
    YOUNG_ON_OXYGEN,
    amended,
    an_extension,
    every_slot,
    install,
    load,
)
from tests.world import SEED, a_bundle, a_participant, the_protocol
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.outbox.models import Message


@pytest.mark.requirement(11, 17)
def test_an_extension_adds_slots_at_the_end_and_moves_none(world, allocation):
    before = every_slot()
    lengths = dict(Stratum.objects.values_list("code", "length"))

    extension = install(an_extension(world))

    after = every_slot()
    assert [row for row in after if row[1] != extension.pk] == before
    added = Slot.objects.filter(list=extension)
    assert extension.ordinal == 1
    assert {slot.stratum_id for slot in added} == {code for code in lengths if "emergency" not in code}
    for stratum in Stratum.objects.all():
        positions = sorted(added.filter(stratum=stratum).values_list("position", flat=True))
        assert positions == list(range(lengths[stratum.pk], stratum.length))
    assert Stratum.objects.get(pk=allocation.stratum_id).next_slot == 1


@pytest.mark.requirement(5)
def test_the_extensions_commitment_is_a_new_event_that_names_the_root_before(world):
    first = RandomizationList.objects.get()

    extension = install(an_extension(world))

    (event,) = (parse(bytes(entry.body)) for entry in Entry.objects.filter(kind=Kind.LIST_EXTENDED))
    assert event["data"]["root"] == bytes(extension.root).hex() != bytes(first.root).hex()
    assert event["data"]["note"] == extension.commitment_note
    assert Entry.objects.filter(kind=Kind.LIST_COMMITTED).count() == 1
    assert bytes(RandomizationList.objects.get(ordinal=0).root) == bytes(first.root)
    for each in RandomizationList.objects.all():
        check_still_whole(each)


@pytest.mark.requirement(17)
def test_a_stratum_that_had_ended_goes_on_with_the_extension(world):
    while (stratum := Stratum.objects.get(pk=YOUNG_ON_OXYGEN)).next_slot < stratum.length:
        a_randomized_participant(world)
    with pytest.raises(assignment.ListExhausted):
        a_randomized_participant(world)

    install(an_extension(world, strata=[YOUNG_ON_OXYGEN]))

    assert a_randomized_participant(world).position == stratum.length
    positions = Allocation.objects.order_by("position").values_list("position", flat=True)
    assert list(positions) == list(range(stratum.length + 1))


@pytest.mark.requirement(50)
def test_an_old_and_a_new_slot_both_open_to_what_their_list_says(world, settings):
    old = a_randomized_participant(world)
    install(an_extension(world))
    while (stratum := Stratum.objects.get(pk=YOUNG_ON_OXYGEN)).next_slot < stratum.length:
        new = a_randomized_participant(world)
    keys = unblinding.FileKeys([settings.CODE_BREAK_KEY_FILE])

    for allocation, seed, length in ((old, SEED, 8), (new, LATER_SEED, 4)):
        _, arm = unblinding.open_arm(allocation.participant_id, keys=keys)
        assert arm == arms_of(seed, length=length)[allocation.position - start_of(allocation)]


def start_of(allocation):
    slots = Slot.objects.filter(list=allocation.slot.list, stratum=allocation.stratum_id)
    return min(slots.values_list("position", flat=True))


def arms_of(seed, *, length):
    return generate_arms(spec_of(the_protocol(), length=length), seed)[YOUNG_ON_OXYGEN]


def test_an_extension_may_be_extended_and_may_reserve_more_envelopes(world):
    install(an_extension(world))
    reserved = Stratum.objects.get(site="PUREN")

    install(an_extension(world, strata=[], sites=["PUREN"], seed=bytes(32)))

    assert Stratum.objects.get(site="PUREN").length > reserved.length
    assert list(RandomizationList.objects.order_by("ordinal").values_list("ordinal", flat=True)) == [0, 1, 2]


def test_with_the_slots_come_the_kit_numbers_that_their_infusions_take(world):
    before = KitNumber.objects.count()

    extension = install(an_extension(world))

    assert KitNumber.objects.count() == before + 2 * 4 * extension.leaf_count


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"extends": bytes(32)}, "does not extend the one"),
        ({"extends": None}, "never replaced"),
        ({"first": {YOUNG_ON_OXYGEN: 40}, "strata": [YOUNG_ON_OXYGEN]}, "leave a gap"),
        ({"first": {YOUNG_ON_OXYGEN: 2}, "strata": [YOUNG_ON_OXYGEN]}, "begin before its list ends"),
        ({"first": {}}, "begin before its list ends"),
    ],
)
@pytest.mark.requirement(5, 11)
def test_an_extension_that_does_not_go_on_from_the_list_is_refused(world, changes, words):
    before = every_slot()

    with pytest.raises(ListRefused, match=words):
        install(an_extension(world, **changes))

    assert every_slot() == before
    assert not Entry.objects.filter(kind=Kind.LIST_EXTENDED).exists()


def test_an_extension_of_an_extension_names_the_extension(world):
    root = bytes(RandomizationList.objects.get().root)
    install(an_extension(world))

    with pytest.raises(ListRefused, match="does not extend the one that was installed last"):
        install(an_extension(world, extends=root, seed=bytes(32)))


def test_the_first_list_extends_none(db, tmp_path, settings, monkeypatch):
    monkeypatch.setattr(worlds, "a_list", lambda *_args, **_kwargs: None)
    unlisted = worlds.a_world(tmp_path, settings, active=False)
    bundle = a_bundle(unlisted)

    with pytest.raises(ListRefused, match="not signed"):
        install(bundle, commitment_note=bundle.commitment_note.replace("\n-\n", "\n" + "A" * 43 + "=\n", 1))
    install(bundle)
    install(an_extension(unlisted))

    assert RandomizationList.objects.count() == 2


def test_a_number_that_an_earlier_list_gave_out_is_refused(world):
    used = Slot.objects.order_by("pk")[0].randomization_number
    numbers = itertools.count(int(used.removeprefix("R")))

    with pytest.raises(ListRefused, match="used in an earlier list"):
        install(an_extension(world, taken=[], below=lambda bound: next(numbers) % bound))


@pytest.mark.parametrize("other", ["NCT00000000", "planned"])
def test_an_extension_for_another_study_or_trial_file_is_refused(world, other):
    protocol = amended(protocol=other) if other.startswith("NCT") else amended(planned=60)

    with pytest.raises(ListRefused, match="another trial file"):
        install(an_extension(world, protocol=protocol))


def test_an_extension_for_a_draft_of_an_amendment_is_kept_for_it(world):
    draft = load(amended(planned=60))

    extension = install(an_extension(world, protocol=amended(planned=60)))

    assert extension.trial_version == draft
    assert a_randomized_participant(world).position == 0


def test_an_extension_sealed_to_other_officers_is_refused(world):
    bundle = an_extension(world)

    with pytest.raises(ListRefused, match="release officers"):
        install(bundle, sealed_seed={**bundle.sealed_seed, "officers": ["release-1", "release-2", "x-1"]})
    with pytest.raises(ListRefused, match="revealed"):
        install(bundle, sealed_seed={**bundle.sealed_seed, "revealed": "AAAA"})


def test_an_envelope_that_was_exchanged_after_signing_is_refused(world):
    bundle = an_extension(world)
    slots = (dataclasses.replace(bundle.slots[0], envelope=bundle.slots[1].envelope), *bundle.slots[1:])

    with pytest.raises(ListRefused, match="not those that were signed"):
        install(bundle, slots=slots)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE randomization_stratum SET length = length + 1 WHERE ordinal = 1",
        "UPDATE randomization_stratum SET length = length - 1 WHERE ordinal = 1",
        "UPDATE randomization_stratum SET ordinal = 99 WHERE ordinal = 1",
    ],
)
def test_a_stratum_grows_only_by_slots_that_are_there(world, statement):
    with pytest.raises(Exception, match="moves on by one slot or grows"), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.requirement(17)
def test_the_statistician_is_told_of_each_list_that_is_used_up(world):
    def told():
        return Message.objects.filter(dedupe_key__startswith="list-").count()

    fill(world)
    first = told()
    install(an_extension(world, strata=[YOUNG_ON_OXYGEN]))
    fill(world)

    assert (first, told()) == (1, 2)


def fill(world):
    while (stratum := Stratum.objects.get(pk=YOUNG_ON_OXYGEN)).next_slot < stratum.length:
        a_randomized_participant(world)


@pytest.mark.requirement(17)
def test_a_refused_participant_tells_the_statistician_once_and_never_the_length(world):
    fill(world)
    refused = [a_participant(world), a_participant(world)]

    answers = [
        world.client("investigator").post(
            f"/api/v1/participants/{participant.pk}/randomize",
            {"stratum": participant.stratum_levels},
            format="json",
            headers={"Idempotency-Key": f"{number}-{tries}"},
        )
        for tries in range(2)
        for number, participant in enumerate(refused)
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(409, "list_exhausted")}
    (message,) = Message.objects.filter(dedupe_key__startswith="list-refused")
    assert message.recipient == world.person("statistician").email
    length = str(Stratum.objects.get(pk=YOUNG_ON_OXYGEN).length)
    assert length not in message.subject + message.body.replace(YOUNG_ON_OXYGEN, "")
    assert not Entry.objects.filter(
        kind=Kind.PARTICIPANT_RANDOMIZED, body__contains=b"list_exhausted"
    ).exists()


def test_the_command_installs_an_extension_and_refuses_it_a_second_time(world, tmp_path, capsys):
    an_extension(world).write(tmp_path / "more")

    call_command("install_list", str(tmp_path / "more"))

    assert "installed as extension 1" in capsys.readouterr().out
    with pytest.raises(CommandError, match="does not extend"):
        call_command("install_list", str(tmp_path / "more"))
