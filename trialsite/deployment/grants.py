"""
What each login may do with each table, view and function: one table, applied after every migrate.

Nothing is granted anywhere else. A privilege is written as SQL writes it; ``UPDATE`` names its
columns wherever a row holds facts that must never change. A table without a row is closed to
every login, and a test fails for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from trialsite.audit.kinds import MASKED_VISIBLE, WRITERS
from trialsite.deployment.roles import APPLICATION_ROLES

READ = "SELECT"
APPEND = "SELECT, INSERT"
KEEP = "SELECT, INSERT, UPDATE, DELETE"
_ANSWERED = "SELECT, INSERT, UPDATE (status, answer, resource)"


@dataclass(frozen=True)
class Row:
    """Privileges of irt_masked, of irt_unmasked and of irt_worker on one object; "" for none."""

    masked: str
    unmasked: str
    worker: str

    def privileges(self) -> dict[str, str]:
        """Return privileges by role name."""
        return dict(zip(APPLICATION_ROLES, (self.masked, self.unmasked, self.worker), strict=True))


NONE = Row("", "", "")
READ_BY_ALL = Row(READ, READ, READ)

TABLES: dict[str, Row] = {
    # Clock: movable in an evaluation only.
    "clock_trialclock": Row(
        "SELECT, UPDATE (offset_seconds, generation)",
        "SELECT, UPDATE (signer_swept)",
        "SELECT, UPDATE (worker_swept)",
    ),
    # Trail: written by append_audit_event alone. Masked roles read the view of their own side.
    "audit_entry": Row("", READ, ""),
    "audit_head": Row("", READ, ""),
    "audit_visible_event": Row(READ, READ, ""),
    "audit_checkpoint": Row("", APPEND, ""),
    # Read by the append function and the view, with their owner's rights.
    "audit_writer": NONE,
    # People. No face writes accounts, tokens, roles or second factors: a masked identity cannot
    # become an unmasked one. Commands do, as the migrator.
    "accounts_site": READ_BY_ALL,
    "accounts_user": READ_BY_ALL,
    "accounts_rolegrant": READ_BY_ALL,
    "accounts_secondfactor": Row(READ, READ, ""),
    "accounts_usedcode": Row(APPEND, APPEND, ""),
    "accounts_worksession": Row("", APPEND, ""),
    "knox_authtoken": Row(READ, READ, ""),
    # A request and how it ended are never taken back.
    "api_idempotentrequest": Row(_ANSWERED, _ANSWERED, ""),
    # Outbox: both faces write what is to leave, the worker sends it.
    "outbox_message": Row(APPEND, APPEND, "SELECT, INSERT, UPDATE (sent_at, attempts, next_attempt_at)"),
    # Participants and the list.
    "randomization_trialversion": READ_BY_ALL,
    "randomization_randomizationlist": Row(READ, READ, ""),
    "randomization_approval": Row(READ, READ, ""),
    "randomization_enrolmentchange": Row(APPEND, READ, READ),
    "randomization_stratum": Row("SELECT, UPDATE (next_slot)", READ, ""),
    "randomization_slot": Row(READ, READ, ""),
    "randomization_sealedarm": Row("", READ, ""),
    "randomization_spoiledslot": Row(APPEND, READ, ""),
    "randomization_participant": Row(
        "SELECT, INSERT, UPDATE (site_id, status, unmet, eligibility, measurements, stratum_levels,"
        " true_stratum_levels, sex, birth_date, weight_kg, consented_at, consent_version, identity_hash)",
        READ,
        READ,
    ),
    "randomization_consent": Row(APPEND, READ, ""),
    "randomization_screeningrevision": Row(APPEND, READ, ""),
    "randomization_correction": Row(APPEND, READ, ""),
    "randomization_randomizationerror": Row(APPEND, READ, ""),
    "randomization_transfer": Row(APPEND, READ, ""),
    "randomization_discontinuation": Row(APPEND, READ, READ),
    "randomization_allocation": Row(APPEND, READ, READ),
    "randomization_unblinding": Row("", "SELECT, INSERT, UPDATE (revealed_at, reveal_position)", ""),
    "randomization_accidentalunblinding": Row(APPEND, READ, ""),
    # Infusions, orders and kits: both sides see what was released. Preparation is the unmasked side's.
    "supply_infusion": Row(
        "SELECT, INSERT, UPDATE (site_id, opens_at, target_at, closes_at, status, kit_id, dispensed_at,"
        " started_at, ended_at, volume_ml, outcome, reason, deviations, reminded_at)",
        "SELECT, UPDATE (status, kit_id)",
        "SELECT, UPDATE (site_id, opens_at, target_at, closes_at, status, kit_id, deviations, reminded_at)",
    ),
    "supply_order": Row(
        "SELECT, INSERT, UPDATE (closed_at, cancelled, cancel_reason)",
        "SELECT, UPDATE (closed_at)",
        "SELECT, UPDATE (closed_at, cancelled, cancel_reason)",
    ),
    "supply_kit": Row(
        "SELECT, UPDATE (status, ended_at, end_reason, volume_ml)",
        APPEND,
        "SELECT, UPDATE (status, ended_at, end_reason)",
    ),
    "supply_kitnumber": Row("", "SELECT, UPDATE (taken)", ""),
    "supply_lot": Row("", APPEND, ""),
    "supply_sitereadiness": Row(READ, "SELECT, INSERT, UPDATE (ready_until)", READ),
    "supply_preparation": Row(
        "",
        "SELECT, INSERT, UPDATE (status, kit_number_id, sealed_contents, expires_at, prepared_by_id,"
        " completed_at, checked_by_id, checked_at, verified_by_id, verified_at, covered_by_id, covered_at,"
        " dispatch_at)",
        "",
    ),
    # Lock-out of sign-ins, and the admin's sessions.
    "axes_accessattempt": Row(KEEP, KEEP, ""),
    "axes_accessattemptexpiration": Row(KEEP, KEEP, ""),
    "axes_accessfailurelog": Row(KEEP, KEEP, ""),
    "axes_accesslog": Row(KEEP, KEEP, ""),
    "django_session": Row(KEEP, "", ""),
    "django_admin_log": Row(READ, "", ""),
    "django_content_type": READ_BY_ALL,
    "auth_permission": Row(READ, "", ""),
    "auth_group": NONE,
    "auth_group_permissions": NONE,
    "django_migrations": READ_BY_ALL,
}

FUNCTIONS: dict[str, Row] = {
    "append_audit_event": Row("EXECUTE", "EXECUTE", "EXECUTE"),
    "genesis_data": Row("EXECUTE", "EXECUTE", "EXECUTE"),
    "audit_is_final": NONE,
    # Triggers, which run without a grant.
    "the_list_is_final": NONE,
    "a_stratum_moves_by_one_slot": NONE,
    "an_allocation_takes_the_next_slot": NONE,
    "a_slot_moved_over_is_taken": NONE,
    "a_spoiled_slot_is_the_next": NONE,
    "a_randomized_stratum_is_frozen": NONE,
    "a_record_is_final": NONE,
    "a_change_of_a_participant_is_recorded": NONE,
}

_PRIVILEGES = re.compile(r"(SELECT|INSERT|DELETE|EXECUTE|UPDATE( \([a-z_]+(, [a-z_]+)*\))?)")
_RELATIONS = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1
"""
_SEQUENCES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'S' ORDER BY 1
"""
# Functions of extensions are theirs; each of ours is named once, with its arguments for GRANT.
_FUNCTIONS = """
    SELECT p.proname, p.oid::regprocedure::text FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'public'
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                      AND d.deptype = 'e')
    ORDER BY 1, 2
"""


def apply_grants(connection: BaseDatabaseWrapper) -> None:
    """
    Take every privilege away from every login, then grant what the table says; one transaction.

    :param connection: a login that may act as the owner, in the database to close.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        roles = ", ".join(("PUBLIC", *APPLICATION_ROLES))
        relations = _names(connection, _RELATIONS)
        for name in relations:
            cursor.execute(f'REVOKE ALL ON TABLE "{name}" FROM {roles}')
            _grant(connection, f'TABLE "{name}"', TABLES.get(name, NONE))
        for name in _names(connection, _SEQUENCES):
            cursor.execute(f'REVOKE ALL ON SEQUENCE "{name}" FROM {roles}')
        for name, signature in _functions(connection):
            cursor.execute(f"REVOKE ALL ON FUNCTION {signature} FROM {roles}")
            _grant(connection, f"FUNCTION {signature}", FUNCTIONS.get(name, NONE))
        _fill_writers(connection)


def _fill_writers(connection: BaseDatabaseWrapper) -> None:
    """Copy into the database which login may append which kind of event to the trail."""
    rows = [
        (kind.value, f"irt_{side.value}", kind in MASKED_VISIBLE)
        for kind, sides in WRITERS.items()
        for side in sides
    ]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_writer")
        cursor.executemany("INSERT INTO audit_writer (kind, login, masked_visible) VALUES (%s, %s, %s)", rows)


def tables_without_a_row(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the tables, views and functions of the database that have no row above."""
    functions = {name for name, _ in _functions(connection)}
    return sorted((set(_names(connection, _RELATIONS)) - set(TABLES)) | (functions - set(FUNCTIONS)))


def rows_without_a_table(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the rows above that name nothing in the database."""
    functions = {name for name, _ in _functions(connection)}
    return sorted((set(TABLES) - set(_names(connection, _RELATIONS))) | (set(FUNCTIONS) - functions))


def _grant(connection: BaseDatabaseWrapper, what: str, row: Row) -> None:
    with connection.cursor() as cursor:
        for role, privileges in row.privileges().items():
            if not privileges:
                continue
            for privilege in re.split(r", (?![^(]*\))", privileges):
                if not _PRIVILEGES.fullmatch(privilege):
                    message = f"{what}: {privilege!r} is no privilege."
                    raise ValueError(message)
            cursor.execute(f"GRANT {privileges} ON {what} TO {role}")


def _names(connection: BaseDatabaseWrapper, query: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [name for (name,) in cursor.fetchall()]


def _functions(connection: BaseDatabaseWrapper) -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_FUNCTIONS)
        return [(name, signature) for name, signature in cursor.fetchall()]
