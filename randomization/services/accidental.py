"""Reporting that somebody may have learned an arm, without the report itself telling it."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from randomization.models import AccidentalUnblinding, Participant
from randomization.selectors import called, participants_ever_at_sites_of, sites_left
from trialsite.accounts.access import acting_role, require
from trialsite.accounts.models import User
from trialsite.accounts.roles import Permission
from trialsite.audit.kinds import Kind
from trialsite.audit.services import public_keys, record, study, timestamp
from trialsite.errors import FieldFault, FieldsInvalid, NotFound
from trialsite.ids import new_id
from trialsite.sealing import seal_body

# One size for every account: 2,000 characters, six bytes each at worst, and what stands around them.
ACCOUNT_BYTES = 13_312
LONGEST_ACCOUNT = 2000


@transaction.atomic
def report_accidental_unblinding(
    *, by: User, at: dt.datetime, participant: str, occurred_at: dt.datetime, what_happened: str
) -> AccidentalUnblinding:
    """
    Keep the report, its account sealed to the auditor and the safety desk (ICH E6(R3) 4.1.4).

    What a reporter writes may tell the arm, so nobody at the site can read it again. The trail says
    in clear that there was a report, about whom and by whom.

    :param participant: their id, screening number or randomization number: not everybody who
        may report may look participants up.
    :raises trialsite.errors.NotFound: if there is no such participant where ``by`` works.
    :raises trialsite.errors.FieldsInvalid: if it is said to have happened in the future.
    """
    found = _participant(participant, by=by)
    if occurred_at > at:
        raise FieldsInvalid(FieldFault(("occurred_at",), "in_the_future", "This has not happened yet."))
    report_id = new_id()
    keys = public_keys()
    account = seal_body(
        {"report": str(report_id), "participant": str(found.pk), "by": str(by.pk), "account": what_happened},
        event_id=report_id,
        study=study(),
        at=at,
        recipients=(keys.auditor, keys.safety_desk),
        size=ACCOUNT_BYTES,
    )
    report = AccidentalUnblinding.objects.create(
        id=report_id,
        participant=found,
        occurred_at=occurred_at,
        sealed_account=account,
        reported_at=at,
        reported_by=by,
    )
    record(
        kind=Kind.ACCIDENTAL_UNBLINDING_REPORTED,
        by=by,
        at=at,
        role=acting_role(by, Permission.REPORT_ACCIDENTAL, site=found.site_id, or_at=sites_left(found)),
        about={"participant": str(found.pk), "report": str(report_id)},
        data={"occurred_at": timestamp(occurred_at)},
    )
    return report


def _participant(named: str, *, by: User) -> Participant:
    require(by, Permission.REPORT_ACCIDENTAL)
    reachable = participants_ever_at_sites_of(by, Permission.REPORT_ACCIDENTAL)
    found = reachable.filter(called(named)).first()
    if found is None:
        raise NotFound("There is no such participant.")
    return found
