"""Reporting an accidental unblinding without stating an arm."""

from __future__ import annotations

import json

import pytest

from randomization.models import AccidentalUnblinding
from trialsite import opening
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import trial_now


@pytest.mark.requirement(70)
def test_anybody_reports_an_accidental_unblinding_without_it_being_read_here(world, allocation):
    told = "The nurse read the lot number of the cells aloud."
    for number, (who, named) in enumerate(
        [
            ("outcome_assessor", allocation.randomization_number),
            ("nurse", str(allocation.participant_id)),
            ("auditor", allocation.participant.screening_number),
        ]
    ):
        answer = world.client(who).post(
            "/api/v1/accidental-unblindings",
            {"participant": named, "occurred_at": trial_now().isoformat(), "what_happened": told},
            headers={"Idempotency-Key": str(number)},
        )

        assert answer.status_code == 201, answer.content
        assert told not in answer.content.decode()

    reports = AccidentalUnblinding.objects.all()
    assert {report.participant_id for report in reports} == {allocation.participant_id}
    assert len({len(json.dumps(report.sealed_account)) for report in reports}) == 1
    keys = opening.FileKeys([world.offline / "safety-desk-1.key"])
    for report in reports:
        assert opening.open_body(keys, "safety-desk-1", report.sealed_account)["account"] == told
    events = Entry.objects.filter(kind=Kind.ACCIDENTAL_UNBLINDING_REPORTED)
    assert len(events) == 3
    assert not any(b"lot number" in bytes(event.body) for event in events)


def test_an_accidental_unblinding_at_another_site_is_not_found(world, allocation):

    answer = world.client("investigator_2").post(
        "/api/v1/accidental-unblindings",
        {
            "participant": str(allocation.participant_id),
            "occurred_at": trial_now().isoformat(),
            "what_happened": "x",
        },
        headers={"Idempotency-Key": "one"},
    )

    assert answer.status_code == 404
