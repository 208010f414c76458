"""
Transaction advisory locks: who waits for whom, in which order.

A row lock needs the right to update the row, which no application login has on participants or
sites, and PostgreSQL's queue for row locks is not fair. An advisory lock needs no right and is
served in order of arrival. Each class is the first key of a pair; all end with the transaction.

Lock order everywhere: participant, identity, infusion, order, stratum, kit, head of the audit trail. The
site's lock comes before any participant's: screening takes it, where there is no participant yet, and
the transfer of everybody, which waits for them. What changes the trial's
lists and versions takes the trial's lock first, and what changes enrolment takes that one.
"""

from __future__ import annotations

import uuid

from django.db import connection

STRATUM_CLASS = 7301
SITE_CLASS = 7302
PARTICIPANT_CLASS = 7303
TRIAL_CLASS = 7304
IDENTITY_CLASS = 7305


def lock_stratum(code: str) -> None:
    """Wait until no other transaction holds the stratum, then hold it to the end of this one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s::int, ordinal) FROM randomization_stratum WHERE code = %s",
            [STRATUM_CLASS, code],
        )


def lock_trial() -> None:
    """Hold the trial: one list is installed, or one version put in force, at a time; no participant waits."""
    _lock_of_trial(0)


def lock_enrolment() -> None:
    """Hold the numbering of changes of enrolment. Not the trial's lock: a pause never waits for a list."""
    _lock_of_trial(1)


def _lock_of_trial(what: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s::int, %s::int)", [TRIAL_CLASS, what])


def lock_site(code: str) -> None:
    """Hold the numbering of a site's participants; ``code`` is the site's."""
    _lock_hashed(SITE_CLASS, code)


def lock_participant(participant_id: uuid.UUID) -> None:
    """Hold a participant: every use case that changes what belongs to one begins here."""
    _lock_hashed(PARTICIPANT_CLASS, str(participant_id))


def lock_identity(identity_hash: str) -> None:
    """Hold a person: whether they are in the trial is asked, and decided, by one at a time."""
    _lock_hashed(IDENTITY_CLASS, identity_hash)


def _lock_hashed(lock_class: int, name: str) -> None:
    # Two names of one hash wait for each other needlessly and are otherwise unharmed.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s::int, hashtext(%s::text))", [lock_class, name])
