"""The preparation desk: what is opened, what is stated, who does which step, what is sealed."""

from __future__ import annotations

import pytest
from django.db import connection
from pypdf import PdfReader

from supply.domain.dosing import ViabilityTooLow, VolumeTooLarge
from supply.domain.kit_codes import KitNumberMisread
from supply.domain.preparation_states import IllegalMove
from supply.models import KitNumber, Preparation
from supply.selectors import preparations_visible_to
from supply.services import desk, preparation
from supply.services.desk import ContentsNotVerified, CoverNotApplied, SecondPersonNeeded, SheetNotOpened
from supply.services.kit_numbers import KitNumbersExhausted, fill_pool
from supply.services.preparation import CannotPrepare, LotUnsuitable
from supply.services.scanning import KitExpired, KitMismatch, WouldExpire
from tests.supply.day import HOUR, MINUTE, fresh, true_contents
from trialsite.accounts.access import NotPermitted
from trialsite.accounts.services.signatures import SignatureRejected
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.errors import FieldsInvalid, NotFound, Refused
from trialsite.opening import FileKeys, open_body

TREATMENTS = ("UC-MSC", "PLACEBO")


def present_status(day, made: Preparation) -> str:
    return preparations_visible_to(day.person("preparer")).get(pk=made.pk).present_status


def steps(day) -> list[str]:
    return [body["step"] for body in day.world.sealed_events(Kind.PREPARATION)]


# What is opened


@pytest.mark.requirement(78)
def test_the_sheet_is_on_the_trail_before_it_is_opened_and_again_each_time(day, infusion, monkeypatch):
    made = day.order(infusion)
    opened_at = []

    def watched(*_, **__):
        opened_at.append(Entry.objects.filter(kind=Kind.PREPARATION).count())
        raise CannotPrepare

    monkeypatch.setattr(preparation, "open_arm", watched)
    for _ in range(2):
        with pytest.raises(CannotPrepare):
            day.open(made)

    assert opened_at == [1, 2]
    assert steps(day) == ["open", "open"]


def test_an_envelope_that_is_not_the_listed_one_is_not_prepared_from(day, infusion):
    made = day.order(infusion)
    sealed = infusion.participant.allocation.slot.sealedarm
    sealed.leaf_hash = bytes(32)
    with connection.cursor() as cursor:
        # As somebody with the server's own files could: past the trigger that keeps the list.
        cursor.execute("SET LOCAL session_replication_role = replica")
        sealed.save(update_fields=["leaf_hash"])
        cursor.execute("SET LOCAL session_replication_role = origin")

    with pytest.raises(CannotPrepare):
        day.open(made)


@pytest.mark.requirement(32)
def test_the_sheet_says_what_goes_into_the_bag(day):
    cells = day.open(day.order(day.enrol_with("UC-MSC")[0]))
    placebo = day.open(day.order(day.enrol_with("PLACEBO")[0]))

    assert (cells.target_cells, placebo.target_cells) == ("30750000", "not applicable")
    assert cells.volume_ml == placebo.volume_ml == "100"
    assert [field.code for field in cells.treatment.contents] == [f.code for f in placebo.treatment.contents]


@pytest.mark.requirement(20)
def test_a_bag_keeps_its_number_and_no_two_bags_have_one(day):
    numbers = set()
    for _ in range(3):
        made = day.order(day.enrol()[0])
        numbers.add(day.open(made).preparation.kit_number_id)
        numbers.add(day.open(made).preparation.kit_number_id)

    assert len(numbers) == 3
    assert set(KitNumber.objects.filter(taken=True).values_list("position", flat=True)) == {0, 1, 2}


def test_an_empty_pool_is_refused_and_filled_again_without_a_repeat(day, infusion):
    made = day.order(infusion)
    before = KitNumber.objects.count()
    KitNumber.objects.update(taken=True)

    with pytest.raises(KitNumbersExhausted):
        day.open(made)
    assert fill_pool(count=before + 5) == 5
    assert fill_pool(count=before + 5) == 0

    day.open(made)
    assert KitNumber.objects.count() == before + 5


# What is stated


@pytest.mark.requirement(37)
def test_the_bag_expires_six_hours_after_the_end_of_its_preparation_rounded_down(day, infusion):
    made = day.order(infusion)
    day.wait(minutes=10, seconds=41)

    day.complete(made, prepared_at=day.now)

    assert fresh(made).expires_at == day.now.replace(second=0, microsecond=0) + 6 * HOUR


def test_the_end_of_preparation_lies_between_the_order_and_now(day, infusion):
    made = day.order(infusion)

    with pytest.raises(FieldsInvalid):
        day.complete(made, prepared_at=day.now + 2 * MINUTE)
    with pytest.raises(FieldsInvalid):
        day.complete(made, prepared_at=day.now - MINUTE)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"viability_percent": None}, "required"),
        ({"colour": "pink"}, "unknown_field"),
        ({"viability_percent": "101"}, "out_of_range"),
        ({"viability_percent": "many"}, "out_of_range"),
        ({"cells_per_ml": "1e7"}, "out_of_range"),
        ({"viability_percent": "not applicable"}, "not_applicable"),
    ],
)
def test_contents_are_exactly_what_the_trial_asks_for_that_treatment(day, change, fault):
    made = day.order(day.enrol_with("UC-MSC")[0])
    contents = true_contents(day.open(made)) | change
    contents = {code: value for code, value in contents.items() if value is not None}

    with pytest.raises(FieldsInvalid) as refusal:
        day.complete(made, contents=contents)

    assert [found.code for found in refusal.value.faults] == [fault]
    assert fresh(made).status == "to_prepare"


@pytest.mark.requirement(34)
def test_dying_cells_and_volumes_that_no_bag_holds_are_refused(day):
    made = day.order(day.enrol_with("UC-MSC")[0])
    stated = true_contents(day.open(made))

    with pytest.raises(ViabilityTooLow):
        day.complete(made, contents=stated | {"viability_percent": "69.9"})
    with pytest.raises((VolumeTooLarge, FieldsInvalid)):
        day.complete(made, contents=stated | {"final_volume_ml": "150.1"})

    day.complete(made, contents=stated | {"viability_percent": "70"})


@pytest.mark.requirement(35)
@pytest.mark.parametrize(
    ("total_cells", "found"), [("27675000", []), ("27674999", ["dose_outside_tolerance"])]
)
def test_a_low_yield_is_a_finding_for_the_second_person_and_no_refusal(day, total_cells, found):
    made = day.order(day.enrol_with("UC-MSC")[0])
    stated = true_contents(day.open(made), total_cells=total_cells)

    day.complete(made, contents=stated)

    sheet = day.open(made, by="second_preparer")
    assert sheet.stated["quality"] == found
    assert sheet.stated["contents"] == stated
    complete = [body for body in day.world.sealed_events(Kind.PREPARATION) if body["step"] == "complete"]
    assert complete[-1]["quality"] == found


def test_a_refused_completion_is_on_the_trail_since_its_words_may_tell_the_treatment(day, infusion):
    made = day.order(infusion)

    with pytest.raises(LotUnsuitable) as refusal:
        day.complete(made, lot="NO-SUCH-LOT")

    (event,) = refusal.value.events
    assert event["kind"] == Kind.PREPARATION
    assert event["body"]["refused"] == "lot_unsuitable"


@pytest.mark.requirement(26)
@pytest.mark.parametrize("treatment", TREATMENTS)
def test_a_lot_is_at_this_site_of_this_treatment_and_unexpired_at_the_end_of_preparation(day, treatment):
    made = day.order(day.enrol_with(treatment)[0])
    mine, other = ("uc_msc", "placebo_diluent")[:: 1 if treatment == "UC-MSC" else -1]
    day.receive(mine, number="SOON", expires_at=day.now + 10 * MINUTE)
    day.receive(other, number="OTHER")
    day.receive(mine, number="ELSEWHERE", site="HANKOU", by=day.person("preparer_2"))
    day.wait(minutes=10)

    for lot in ("SOON", "OTHER", "ELSEWHERE", "UNKNOWN"):
        with pytest.raises(LotUnsuitable) as refusal:
            day.complete(made, lot=lot)
        assert str(refusal.value) == str(LotUnsuitable())

    day.complete(made, lot="SOON", prepared_at=day.now - MINUTE)


# What is sealed


@pytest.mark.requirement(36, 56)
def test_the_sealed_bodies_of_both_treatments_have_one_size(day):
    sizes = set()
    for treatment in TREATMENTS:
        made = day.order(day.enrol_with(treatment)[0])
        day.complete(made)
        sealed = fresh(made).sealed_contents
        sizes.add((len(sealed["h"]), len(sealed["c"]), *map(len, sealed["w"].values())))

    assert len(sizes) == 1
    assert len({bytes(entry.body).__len__() for entry in Entry.objects.filter(kind=Kind.PREPARATION)}) == 1


@pytest.mark.requirement(78)
@pytest.mark.parametrize("reader", ["auditor-1", "safety-desk-1"])
def test_what_is_in_a_bag_is_kept_truthfully_for_its_readers(day, reader):
    made = day.order(day.enrol_with("PLACEBO")[0])
    day.complete(made)

    keys = FileKeys([day.world.offline / f"{reader}.key"])
    body = open_body(keys, reader, fresh(made).sealed_contents, event_id=made.pk, study="NCT04293692")

    assert body["treatment_code"] == "PLACEBO"
    assert body["contents"]["total_cells"] == "not applicable"
    assert body["lot"] == "LOT-7"


def test_no_treatment_stands_in_clear_in_a_preparation(day):
    made = day.order(day.enrol_with("PLACEBO")[0])
    day.complete(made)

    row = str(Preparation.objects.filter(pk=made.pk).values().get())
    assert not any(word in row for word in ("PLACEBO", "Placebo", "placebo", "not applicable", "LOT-7"))


# Who does which step


@pytest.mark.requirement(39)
def test_who_prepared_the_bag_neither_verifies_nor_covers_it(day, infusion):
    made = day.order(infusion)
    day.complete(made)

    with pytest.raises(SecondPersonNeeded):
        day.verify(made, by="preparer")
    day.verify(made)
    with pytest.raises(SecondPersonNeeded):
        day.cover(made, by="preparer")

    day.cover(made)


@pytest.mark.requirement(39)
def test_who_verifies_has_opened_the_sheet_since_the_bag_was_completed(day, infusion):
    made = day.order(infusion)
    day.open(made, by="second_preparer")
    day.complete(made)

    with pytest.raises(SheetNotOpened):
        day.verify(made, opened=False)
    day.open(made)  # by the preparer, which is no second look
    with pytest.raises(SheetNotOpened):
        day.verify(made, opened=False)

    assert day.open(made, by="second_preparer").stated is not None
    day.verify(made, opened=False)
    checked = fresh(made)
    assert (checked.checked_by.username, checked.checked_at) == ("second_preparer", day.now)


def test_verifying_needs_the_signers_own_password_the_contents_and_this_bag(day, infusion):
    made, other = day.order(infusion), day.order(day.enrol()[0])
    day.complete(made)
    day.complete(other)

    with pytest.raises(SignatureRejected):
        day.verify(made, password=day.world.users["preparer"]["password"])
    with pytest.raises(ContentsNotVerified):
        day.verify(made, contents_verified=False)
    with pytest.raises(KitMismatch):
        day.verify(made, kit_scan=fresh(other).kit_number_id)
    with pytest.raises(KitNumberMisread):
        day.verify(made, kit_scan="00000000")

    assert fresh(made).status == "completed"


def test_a_bag_is_covered_with_its_cover_on_and_before_it_expires(day, infusion):
    made = day.order(infusion)
    day.complete(made)
    day.verify(made)

    with pytest.raises(CoverNotApplied):
        day.cover(made, cover_applied=False)
    # It would be over at the dispatch minute, though not yet now.
    day.now = fresh(made).expires_at - 2 * MINUTE
    with pytest.raises(KitExpired):
        day.cover(made)

    assert fresh(made).status == "verified"


@pytest.mark.requirement(38)
def test_a_bag_that_could_not_be_infused_to_its_end_after_the_dispatch_is_not_covered(day, infusion):
    made = day.order(infusion)
    day.complete(made, prepared_at=day.now)
    day.verify(made)
    expires_at = fresh(made).expires_at  # at minute 2; dispatched at 15, 30, 45 and 0

    day.now = expires_at - 62 * MINUTE
    with pytest.raises(WouldExpire):
        day.cover(made)

    day.now = expires_at - 63 * MINUTE
    day.cover(made)


def test_masked_people_and_another_sites_preparers_reach_no_preparation(day, infusion):
    made = day.order(infusion)

    for name in ("pharmacist", "investigator", "nurse"):
        with pytest.raises(NotPermitted):
            day.open(made, by=name)
    with pytest.raises(NotFound):
        day.open(made, by="preparer_2")


@pytest.mark.requirement(28)
def test_a_reject_leaves_a_remake_with_a_new_number_under_the_same_order(day, infusion):
    made = day.order(infusion)
    day.complete(made)
    first_number = fresh(made).kit_number_id

    day.reject(made)

    remake = day.preparation(infusion)
    assert (remake.attempt, remake.order_id, remake.status) == (2, made.order_id, "to_prepare")
    assert day.open(remake).preparation.kit_number_id != first_number
    assert fresh(infusion).status == "ordered"
    assert day.world.sealed_events(Kind.PREPARATION)[-2]["reason"] == "spilled"
    assert "spilled" not in str(list(Preparation.objects.values()))


@pytest.mark.requirement(28)
def test_a_bag_whose_order_has_ended_is_still_recorded_and_thrown_away_without_a_remake(day, infusion):
    made = day.order(infusion)
    contents = true_contents(day.open(made))
    kit = fresh(made).kit_number_id
    day.cancel_order(infusion)

    preparation.complete_preparation(
        preparation_id=made.pk,
        kit_scan=kit,
        lot="LOT-7",
        prepared_at=day.now,
        contents=contents,
        by=day.person("preparer"),
        at=day.now,
    )
    assert fresh(made).sealed_contents is not None
    assert present_status(day, made) == "cancelled"
    with pytest.raises(IllegalMove, match="'cancelled'"):
        desk.verify_preparation(
            preparation_id=made.pk,
            kit_scan=kit,
            contents_verified=True,
            password=day.world.users["second_preparer"]["password"],
            by=day.person("second_preparer"),
            at=day.now,
        )
    day.reject(made)

    assert present_status(day, made) == "cancelled"
    assert Preparation.objects.count() == 1
    assert [body.get("reason") for body in day.world.sealed_events(Kind.PREPARATION)][-1] == "spilled"
    assert steps(day) == ["open", "complete", "reject"]
    with pytest.raises(IllegalMove):
        day.reject(made)


def test_a_reason_too_long_to_be_sealed_is_refused_as_input(day, infusion):
    made = day.order(infusion)

    with pytest.raises(FieldsInvalid):
        day.reject(made, reason="溢" * 1000)
    day.reject(made, reason="溢" * 390)


@pytest.mark.requirement(23, 24)
def test_labels_are_printed_from_completion_on_with_number_and_expiry(day, infusion, tmp_path):
    made = day.order(infusion)
    with pytest.raises(IllegalMove):
        desk.preparation_label(preparation_id=made.pk, by=day.person("preparer"))
    day.complete(made)

    (tmp_path / "label.pdf").write_bytes(
        desk.preparation_label(preparation_id=made.pk, by=day.person("preparer"))
    )

    pages = [page.extract_text() for page in PdfReader(tmp_path / "label.pdf").pages]
    number = infusion.participant.allocation.randomization_number
    assert len(pages) == 2
    assert all(fresh(made).kit_number_id in page and number in page for page in pages)


def test_every_step_out_of_turn_is_refused_with_one_code(day, infusion):
    made = day.order(infusion)
    day.open(made)
    wrong_turns = {
        "to_prepare": (day.verify, day.cover),
        "completed": (day.complete, day.cover),
        "verified": (day.complete, day.verify),
        "covered": (day.complete, day.verify, day.cover),
        "rejected": (day.open, day.complete, day.verify, day.cover, day.reject),
    }
    forward = {
        "to_prepare": day.complete,
        "completed": day.verify,
        "verified": day.cover,
        "covered": day.reject,
        "rejected": None,
    }

    for status, turns in wrong_turns.items():
        assert fresh(made).status == status
        for turn in turns:
            with pytest.raises(Refused) as refusal:
                turn(made)
            assert refusal.value.code == "illegal_move", (status, turn)
        if forward[status]:
            forward[status](made)
