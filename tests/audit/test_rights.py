"""Who may write the trail, and what: tried by logging in as each process."""

from __future__ import annotations

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg import sql

from tests.audit.conftest import a_whole_event
from trialsite.audit.canonical import canonical
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry, Head
from trialsite.deployment.roles import APPLICATION_ROLES, LOGINS

# Written by hand and not computed from trialsite.audit.kinds: which login may append which kind.
MASKED, UNMASKED, WORKER, MIGRATOR = "irt_masked", "irt_unmasked", "irt_worker", "irt_migrator"
MAY_WRITE = {
    "genesis": {MIGRATOR},
    "trial.loaded": {MIGRATOR, UNMASKED},
    "list.committed": {MIGRATOR, UNMASKED},
    "list.extended": {MIGRATOR, UNMASKED},
    "trial.approved": {MIGRATOR, UNMASKED},
    "trial.activated": {MIGRATOR, UNMASKED},
    "trial.amended": {MIGRATOR, UNMASKED},
    "enrolment.changed": {MASKED, MIGRATOR},
    "participant.screened": {MASKED},
    "participant.screening_revised": {MASKED},
    "consent.given": {MASKED},
    "consent.withdrawn": {MASKED},
    "participant.randomized": {MASKED},
    "slot.spoiled": {MASKED},
    "participant.corrected": {MASKED},
    "participant.randomized_in_error": {MASKED},
    "participant.in_wrong_stratum": {MASKED},
    "participant.ineligible": {MASKED},
    "participant.duplicate": {MASKED},
    "participant.transferred": {MASKED},
    "participant.discontinued": {MASKED},
    "infusion.ordered": {MASKED},
    "infusion.order_cancelled": {MASKED},
    "infusion.opened": {MASKED, UNMASKED, WORKER},
    "infusion.undocumented": {MASKED, UNMASKED, WORKER},
    "infusion.missed": {MASKED},
    "infusion.started": {MASKED},
    "infusion.stopped": {MASKED},
    "kit.released": {UNMASKED},
    "kit.dispensed": {MASKED},
    "kit.wasted": {MASKED},
    "kit.expired": {MASKED, UNMASKED, WORKER},
    "bedside.stopped": {MASKED},
    "accidental_unblinding.reported": {MASKED},
    "account.changed": {MIGRATOR},
    "key.created": {MIGRATOR, UNMASKED},
    "lot.received": {UNMASKED},
    "unblinding": {UNMASKED},
    "preparation": {UNMASKED},
}
WRITES = {
    "insert an entry": "INSERT INTO audit_entry VALUES (99, now(), 'kit.expired', '', '')",
    "update an entry": "UPDATE audit_entry SET body = '{}'",
    "delete an entry": "DELETE FROM audit_entry",
    "truncate the entries": "TRUNCATE audit_entry",
    "insert a head": "INSERT INTO audit_head VALUES (false, 0, '{}')",
    "update the head": "UPDATE audit_head SET size = 0",
    "delete the head": "DELETE FROM audit_head",
    "truncate the head": "TRUNCATE audit_head",
    "lock the entries away": "DO $$ BEGIN LOCK audit_entry IN ACCESS EXCLUSIVE MODE; END $$",
    "let itself write a kind": "INSERT INTO audit_writer (kind, login, masked_visible)"
    " VALUES ('unblinding', session_user, true)",
    "show a kind to all": "UPDATE audit_writer SET masked_visible = true",
    "take a writer away": "DELETE FROM audit_writer",
    "rewrite a checkpoint": "UPDATE audit_checkpoint SET note = ''",
    "remove checkpoints": "DELETE FROM audit_checkpoint",
    "drop the trigger": "DROP TRIGGER audit_is_final ON audit_entry",
    "disable the trigger": "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "switch triggers off": "SET session_replication_role = replica",
    "replace the function": "CREATE OR REPLACE FUNCTION append_audit_event(text, bytea) RETURNS bigint"
    " LANGUAGE sql AS 'SELECT 1::bigint'",
}


@pytest.mark.requirement(75, 76)
@pytest.mark.parametrize("login", APPLICATION_ROLES)
def test_no_process_can_write_the_trail_but_by_appending(a_committed_trail, a_fresh_database, login):
    done = []
    with psycopg.connect(a_fresh_database.url(login), autocommit=True) as session:
        for what, statement in WRITES.items():
            try:
                session.execute(statement)
            except psycopg.errors.InsufficientPrivilege:
                continue
            done.append(what)

    assert done == []
    assert Entry.objects.count() == Head.objects.get().size == 1


@pytest.mark.requirement(75)
@pytest.mark.parametrize("login", LOGINS)
def test_a_login_appends_its_own_kinds_and_no_other(a_committed_trail, a_fresh_database, login):
    accepted = set()
    with psycopg.connect(a_fresh_database.url(login), autocommit=True) as session:
        for kind in Kind:
            body = canonical(a_whole_event(kind))
            try:
                session.execute("SELECT append_audit_event(%s, %s)", [kind.value, body])
            except psycopg.errors.ObjectNotInPrerequisiteState:
                assert kind is Kind.GENESIS  # it may, and the trail has one already
            except psycopg.errors.InsufficientPrivilege:
                continue
            accepted.add(kind.value)

    assert accepted == {kind for kind, logins in MAY_WRITE.items() if login in logins}


def test_every_kind_has_its_writers_written_down_here():
    assert MAY_WRITE.keys() == set(Kind)


def test_a_kind_is_checked_against_who_logged_in_and_not_against_a_role_taken_on(
    a_committed_trail, a_fresh_database
):
    body = canonical(a_whole_event(Kind.UNBLINDING))

    with psycopg.connect(a_fresh_database.url(MIGRATOR), autocommit=True) as session:
        session.execute("SET ROLE irt_owner")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT append_audit_event('unblinding', %s)", [body])


@pytest.mark.parametrize("login", ["irt_masked", "irt_worker"])
@pytest.mark.requirement(53, 78)
def test_masked_processes_cannot_read_entries_sealed_or_not(a_committed_trail, a_fresh_database, login):
    with psycopg.connect(a_fresh_database.url(login), autocommit=True) as session:
        for table in ("audit_entry", "audit_head", "audit_checkpoint", "audit_writer"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(sql.SQL("SELECT 1 FROM {}").format(sql.Identifier(table)))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET body = body",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
    ],
)
@pytest.mark.requirement(76)
def test_even_the_superuser_is_stopped_by_the_trigger(a_trail, statement):
    with (
        pytest.raises(DatabaseError, match="audit events are final"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

    assert Entry.objects.count() == Head.objects.get().size == 1
