"""The same day through the REST interface: fields, statuses, repeats, and who is let in."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest
from rest_framework.test import APIClient

from randomization.models import Participant
from supply.models import Infusion, Kit, KitNumber, Order
from supply.services.dispatch import release_due
from tests.supply.day import LOT, MINUTE, Day, fresh, true_contents
from trialsite.accounts.services import sessions
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.models import TrialClock

INFUSION_FIELDS = {
    "id",
    "participant",
    "site",
    "number",
    "day",
    "opens_at",
    "target_at",
    "closes_at",
    "status",
    "kit_number",
    "started_at",
    "ended_at",
    "volume_ml",
    "outcome",
    "deviations",
}
_keys = itertools.count(1)


class Face:
    """One face, spoken to over HTTP at the day's time."""

    def __init__(self, day: Day, settings: Any, name: str) -> None:
        self.day, self.settings, self.name = day, settings, name

    def _client(self, who: str) -> APIClient:
        self.settings.FACE = self.name
        self.settings.ROOT_URLCONF = f"trialsite.urls.{self.name}"
        ahead = self.day.now - dt.datetime.now(dt.UTC)
        TrialClock.objects.update(offset_seconds=round(ahead.total_seconds()))
        return self.day.world.client(who)

    def get(self, who: str, path: str, **query: Any) -> Any:
        return self._client(who).get(f"/api/v1/{path}", query)

    def post(self, who: str, path: str, key: str | None = None, **body: Any) -> Any:
        key = key or f"key-{next(_keys)}"
        headers = {"Idempotency-Key": key}
        return self._client(who).post(f"/api/v1/{path}", body, format="json", headers=headers)


@pytest.fixture
def masked(day, settings) -> Face:
    return Face(day, settings, "masked")


@pytest.fixture
def unmasked(day, settings, monkeypatch) -> Face:
    # Sessions have tests of their own.
    monkeypatch.setattr("trialsite.api.views.require_session", lambda **_: None)
    return Face(day, settings, "unmasked")


def an_order(day: Day) -> dict[str, Any]:
    return {
        "weight_kg": "61.50",
        "weighed_at": day.now.isoformat(),
        "needed_at": (day.now + 60 * MINUTE).isoformat(),
        "ward": "Respiratory ward",
    }


def a_start(infusion: Infusion, kit: str, day: Day) -> dict[str, Any]:
    return {
        "kit_scan": kit,
        "participant_scan": infusion.participant.allocation.randomization_number,
        "cover_intact": True,
        "started_at": day.now.isoformat(),
    }


def test_the_day_through_both_faces(day, masked, unmasked, infusion):
    path = f"infusions/{infusion.pk}"

    ordered = masked.post("investigator", f"{path}/order", **an_order(day))
    assert (ordered.status_code, ordered.json()["status"]) == (201, "ordered")
    (row,) = unmasked.get("preparer", "preparations", status="to_prepare").json()["results"]
    made = f"preparations/{row['id']}"
    assert row["infusion"] == str(infusion.pk)
    assert "treatment" not in row
    day.wait(minutes=1)
    sheet = unmasked.post("preparer", f"{made}/open")
    kit = sheet.json()["kit_number"]
    contents = true_contents(day.open(day.preparation(infusion)))
    completed = unmasked.post(
        "preparer",
        f"{made}/complete",
        kit_scan=kit,
        lot=LOT,
        prepared_at=day.now.isoformat(),
        contents=contents,
    )
    assert (completed.status_code, completed.json()["status"]) == (200, "completed")
    label = unmasked.get("preparer", f"{made}/label.pdf")
    assert (label.status_code, label["Content-Type"]) == (200, "application/pdf")
    signature = {"password": day.world.users["second_preparer"]["password"]}
    unmasked.post("second_preparer", f"{made}/open")
    verified = unmasked.post(
        "second_preparer", f"{made}/verify", kit_scan=kit, contents_verified=True, signature=signature
    )
    assert verified.json()["status"] == "verified"
    covered = unmasked.post("second_preparer", f"{made}/cover", kit_scan=kit, cover_applied=True)
    assert covered.json()["status"] == "covered"
    day.now = fresh(day.preparation(infusion)).dispatch_at
    release_due(at=day.now)

    assert masked.get("nurse", path).json()["kit_number"] == kit
    dispensed = masked.post("pharmacist", f"{path}/dispense", kit_scan=f"]d2{kit}")
    assert (dispensed.status_code, dispensed.json()["status"]) == (200, "dispensed")
    started = masked.post("nurse", f"{path}/start", **a_start(infusion, kit, day))
    assert (started.status_code, started.json()["status"]) == (200, "started")
    day.wait(hours=1)
    ended = masked.post(
        "nurse", f"{path}/stop", ended_at=day.now.isoformat(), volume_ml="100", outcome="completed"
    )
    assert ended.json() | {"status": "given", "volume_ml": "100.00", "deviations": []} == ended.json()
    assert masked.get("nurse", f"kits/{kit}").json()["status"] == "used"


def test_an_infusion_and_a_kit_have_these_fields_and_no_others(day, masked, infusion):
    kit = day.prepare(infusion)

    assert masked.get("monitor", f"infusions/{infusion.pk}").json().keys() == INFUSION_FIELDS
    (row,) = masked.get("pharmacist", "kits").json()["results"]
    assert row == {
        "kit_number": kit.number,
        "status": "released",
        "site": "PUREN",
        "participant": str(infusion.participant_id),
        "infusion": str(infusion.pk),
        "released_at": f"{kit.released_at:%Y-%m-%dT%H:%M:%SZ}",
        "expires_at": f"{kit.expires_at:%Y-%m-%dT%H:%M:%SZ}",
    }


@pytest.mark.requirement(53)
def test_no_number_is_shown_on_the_masked_face_before_its_release(day, masked, infusion):
    made = day.make(infusion)
    number = fresh(made).kit_number_id

    for who, path in itertools.product(("pharmacist", "nurse", "investigator"), ("infusions", "kits")):
        assert number not in masked.get(who, path).content.decode()
    assert masked.get("nurse", f"kits/{number}").status_code == 404
    scan = masked.post("pharmacist", f"infusions/{infusion.pk}/dispense", kit_scan=number)
    never_drawn = KitNumber.objects.filter(taken=False).last().number
    other = masked.post("pharmacist", f"infusions/{infusion.pk}/dispense", kit_scan=never_drawn)
    assert (scan.status_code, scan.json()["code"]) == (409, "kit_unknown")
    assert scan.content == other.content


def test_lists_are_filtered_by_their_named_fields_and_by_how_things_stand_now(day, masked):
    first, second, *_ = day.enrol()
    day.enrol()
    day.now = second.opens_at + MINUTE

    found = masked.get("monitor", "infusions", status="open", participant=str(first.participant_id)).json()
    assert [row["id"] for row in found["results"]] == [str(second.pk)]
    assert masked.get("monitor", "infusions", status="undocumented").json()["count"] == 2
    assert masked.get("monitor", "infusions", arm="A").status_code == 400
    assert masked.get("monitor", "infusions", status="ready").status_code == 400


@pytest.mark.requirement(10, 44)
def test_a_repeated_request_orders_once_and_completes_once(day, masked, unmasked, infusion):
    body = an_order(day)
    answers = [
        masked.post("investigator", f"infusions/{infusion.pk}/order", key="once", **body) for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert Order.objects.count() == 1

    day.wait(minutes=1)
    unmasked.get("preparer", "preparations")
    made = day.preparation(infusion)
    sheet = day.open(made)
    events = Entry.objects.filter(kind=Kind.PREPARATION).count()
    body = {
        "kit_scan": sheet.preparation.kit_number_id,
        "lot": LOT,
        "prepared_at": day.now.isoformat(),
        "contents": true_contents(sheet),
    }
    again = [
        unmasked.post("preparer", f"preparations/{made.pk}/complete", key="once", **body) for _ in range(2)
    ]
    assert again[0].content == again[1].content
    assert Entry.objects.filter(kind=Kind.PREPARATION).count() == events + 1


@pytest.mark.requirement(78)
def test_a_sheet_that_is_shown_again_under_its_key_is_recorded_again(day, unmasked, infusion):
    made = day.order(infusion)

    answers = [unmasked.post("preparer", f"preparations/{made.pk}/open", key="sheet") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["treatment"] == answers[1].json()["treatment"]
    assert Entry.objects.filter(kind=Kind.PREPARATION).count() == 2


@pytest.mark.requirement(36)
def test_the_sheets_of_both_treatments_are_one_size_on_the_wire(day, unmasked):
    sizes = set()
    for treatment in ("UC-MSC", "PLACEBO"):
        made = day.order(day.enrol_with(treatment)[0])
        answer = unmasked.post("preparer", f"preparations/{made.pk}/open")
        assert answer.json()["treatment_code"] == treatment
        sizes.add(len(answer.content))

    assert sizes == {8192}


@pytest.mark.requirement(41)
def test_a_hard_stop_leaves_its_near_miss_on_the_trail_and_nothing_else(day, masked, infusion):
    day.ready_to_start(infusion)
    before = Infusion.objects.filter(pk=infusion.pk).values().get()
    body = a_start(infusion, "00000000", day)

    answers = [
        masked.post("nurse", f"infusions/{infusion.pk}/start", key="stopped", **body) for _ in range(2)
    ]

    assert [(a.status_code, a.json()["code"]) for a in answers] == [(409, "kit_number_misread")] * 2
    assert Entry.objects.filter(kind=Kind.BEDSIDE_STOPPED).count() == 1
    assert Infusion.objects.filter(pk=infusion.pk).values().get() == before


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("order", {"weight_kg": "heavy"}, "#/weight_kg"),
        ("order", {"weighed_at": "2026-03-02T08:00:00"}, "#/weighed_at"),
        ("order", {"arm": "A"}, "#/arm"),
        ("stop", {"volume_ml": "-1"}, "#/volume_ml"),
        ("stop", {"outcome": "fine"}, "#/outcome"),
    ],
)
def test_malformed_input_is_400_with_the_place(day, masked, infusion, path, body, pointer):
    who = "investigator"
    sent = (
        an_order(day)
        if path == "order"
        else {"ended_at": day.now.isoformat(), "volume_ml": "100", "outcome": "completed"}
    )

    answer = masked.post(who, f"infusions/{infusion.pk}/{path}", **sent | body)

    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.requirement(54)
def test_an_outcome_assessor_reaches_no_infusion_and_no_kit(day, masked, infusion):
    kit = day.ready_to_start(infusion)
    paths = ["infusions", f"infusions/{infusion.pk}", "kits", f"kits/{kit.number}"]
    acts = [
        *(
            f"infusions/{infusion.pk}/{act}"
            for act in ("order", "cancel-order", "dispense", "start", "stop", "miss")
        ),
        f"kits/{kit.number}/waste",
    ]

    assert {masked.get("outcome_assessor", path).status_code for path in paths} == {403}
    assert {masked.post("outcome_assessor", path).status_code for path in acts} == {403}


def test_another_sites_infusion_is_404_and_its_kit_too(day, masked, infusion):
    kit = day.prepare(infusion)

    assert masked.get("investigator_2", f"infusions/{infusion.pk}").status_code == 404
    assert masked.post("investigator_2", f"infusions/{infusion.pk}/miss", reason="x").status_code == 404
    assert masked.get("investigator_2", f"kits/{kit.number}").status_code == 404
    assert masked.get("investigator_2", "kits").json()["count"] == 0


def test_the_desk_needs_a_work_session_of_the_same_person(day, settings, infusion):
    desk = Face(day, settings, "unmasked")
    made = day.order(infusion)

    for answer in (
        desk.get("preparer", "preparations"),
        desk.post("preparer", f"preparations/{made.pk}/open"),
        desk.get("preparer", f"preparations/{made.pk}/label.pdf"),
        desk.get("preparer", "lots"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, sessions.WorkSessionRequired.code)


def test_a_lot_is_received_and_listed_at_the_preparers_site_only(day, unmasked):
    body = {
        "site": "PUREN",
        "component": "uc_msc",
        "number": "LOT-8",
        "expires_at": (day.now + dt.timedelta(days=5)).isoformat(),
        "certificate": "COA-8",
    }

    answers = [unmasked.post("preparer", "lots", key="lot", **body) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert unmasked.get("second_preparer", "lots", number="LOT-8").json()["count"] == 1
    assert unmasked.get("preparer_2", "lots").json()["count"] == 0
    assert unmasked.post("preparer_2", "lots", **body).status_code == 404


def test_a_wasted_kit_is_answered_as_it_stands(day, masked, infusion):
    kit = day.prepare(infusion)

    answer = masked.post("nurse", f"kits/{kit.number}/waste", reason="torn", at=day.now.isoformat())

    assert (answer.status_code, answer.json()["status"]) == (200, "wasted")
    assert masked.get("nurse", f"infusions/{infusion.pk}").json()["kit_number"] is None
    assert Kit.objects.get().end_reason == "torn"


def test_a_kit_is_found_however_its_number_is_typed(day, masked, infusion):
    number = day.prepare(infusion).number

    for typed in (number.lower(), f"{number[:4]} {number[4:]}", f"{number[:4]}-{number[4:]}"):
        assert masked.get("nurse", f"kits/{typed}").json()["kit_number"] == number


def test_randomizing_answers_with_the_four_infusions(day, masked):
    from tests.world import a_participant

    participant: Participant = a_participant(day.world)

    answer = masked.post(
        "investigator", f"participants/{participant.pk}/randomize", stratum=participant.stratum_levels
    )

    assert answer.status_code == 201
    assert [row["number"] for row in answer.json()["infusions"]] == [1, 2, 3, 4]
