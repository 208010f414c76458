"""
Who may do what: one table, readable without Django.

A role is masked or unmasked for good; a person may never hold two roles of a pair in
``NEVER_TOGETHER`` (ICH E6(R3) 4.1.2). Services ask ``trialsite.accounts.access.require``, so REST,
the admin, commands and tasks cannot forget to.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import combinations


class Role(StrEnum):
    INVESTIGATOR = "investigator"
    PHARMACIST = "pharmacist"
    NURSE = "nurse"
    OUTCOME_ASSESSOR = "outcome_assessor"
    MONITOR = "monitor"
    STUDY_MANAGER = "study_manager"
    PREPARER = "preparer"
    UNMASKED_MONITOR = "unmasked_monitor"
    STATISTICIAN = "statistician"
    DSMB_STATISTICIAN = "dsmb_statistician"
    SAFETY_OFFICER = "safety_officer"
    EMERGENCY_DESK = "emergency_desk"
    AUDITOR = "auditor"
    RELEASE_OFFICER = "release_officer"
    ADMINISTRATOR = "administrator"


class Permission(StrEnum):
    """One verb each; a route or service names exactly one."""

    SEE_TRIAL = "see the trial's public design"
    SCREEN = "screen a participant"
    SEE_PARTICIPANTS = "see participants"
    RANDOMIZE = "randomize a participant"
    DISCONTINUE = "discontinue a participant"
    CORRECT = "correct a participant's record or report a randomization in error"
    TRANSFER = "transfer participants to another site"
    SEE_ENROLMENT = "see who may be enrolled where, and the reports of enrolment"
    MANAGE_ENROLMENT = "pause, resume, suspend or close enrolment"
    SEE_INFUSIONS = "see infusions"
    ORDER = "order an infusion or cancel the order"
    DISPENSE = "dispense a kit"
    ADMINISTER = "start and stop an infusion"
    MISS = "declare an infusion missed"
    SEE_KITS = "see released kits"
    WASTE = "waste a kit"
    REPORT_ACCIDENTAL = "report an accidental unblinding"
    SEE_EVENTS = "see the masked side's audit events"
    ADVANCE_CLOCK = "advance the evaluation's trial clock"
    PREPARE = "prepare, verify, cover and label bags"
    RECEIVE_LOTS = "receive and see lots"
    SEE_EMERGENCY_LIST = "see the emergency envelopes and which are used"
    BREAK_CODE = "break one participant's code in an emergency"
    SEE_UNBLINDINGS = "see that codes were broken, for whom and when"
    SEE_OWN_UNBLINDINGS = "see one's own code breaks"
    SEE_REVEALS = "see where on the list codes were broken, never an arm"
    EXPORT_TRAIL = "export the audit trail"
    SEE_PROOFS = "see inclusion proofs of the trail"
    ACTIVATE = "activate the trial, by command"
    PRINT_ENVELOPES = "print sealed code-break envelopes, by command"
    MANAGE_PEOPLE = "make and change accounts, roles, tokens and second factors, by command"


P = Permission
EVERYONE = frozenset({P.SEE_TRIAL, P.REPORT_ACCIDENTAL, P.SEE_PROOFS})
# Follow-up of outcomes must not be coloured by what was infused: an assessor sees nothing of it.
_SITE_STAFF = EVERYONE | {P.SEE_PARTICIPANTS, P.SEE_INFUSIONS, P.SEE_KITS}

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.INVESTIGATOR: _SITE_STAFF
    | {P.SCREEN, P.RANDOMIZE, P.DISCONTINUE, P.CORRECT, P.ORDER, P.ADMINISTER, P.MISS}
    | {P.SEE_ENROLMENT}
    | {P.BREAK_CODE, P.SEE_OWN_UNBLINDINGS},
    Role.PHARMACIST: _SITE_STAFF | {P.ORDER, P.DISPENSE, P.WASTE},
    Role.NURSE: _SITE_STAFF | {P.ADMINISTER, P.WASTE},
    Role.OUTCOME_ASSESSOR: EVERYONE,
    Role.MONITOR: EVERYONE | {P.SEE_PARTICIPANTS, P.SEE_INFUSIONS, P.SEE_EVENTS, P.SEE_ENROLMENT},
    Role.STUDY_MANAGER: EVERYONE
    | {P.SEE_PARTICIPANTS, P.SEE_INFUSIONS, P.SEE_EVENTS, P.SEE_UNBLINDINGS, P.ACTIVATE}
    | {P.SEE_ENROLMENT, P.MANAGE_ENROLMENT, P.TRANSFER},
    Role.PREPARER: EVERYONE | {P.PREPARE, P.RECEIVE_LOTS, P.SEE_EMERGENCY_LIST},
    Role.UNMASKED_MONITOR: EVERYONE | {P.SEE_EMERGENCY_LIST},
    Role.STATISTICIAN: EVERYONE | {P.ACTIVATE, P.SEE_EMERGENCY_LIST, P.SEE_REVEALS},
    Role.DSMB_STATISTICIAN: EVERYONE,
    Role.SAFETY_OFFICER: EVERYONE | {P.SEE_UNBLINDINGS, P.PRINT_ENVELOPES},
    Role.EMERGENCY_DESK: EVERYONE | {P.BREAK_CODE, P.SEE_OWN_UNBLINDINGS, P.PRINT_ENVELOPES},
    Role.AUDITOR: EVERYONE | {P.SEE_EVENTS, P.SEE_UNBLINDINGS, P.EXPORT_TRAIL},
    Role.RELEASE_OFFICER: EVERYONE,
    Role.ADMINISTRATOR: EVERYONE | {P.ADVANCE_CLOCK, P.MANAGE_PEOPLE},
}

SITE_ROLES = frozenset({Role.INVESTIGATOR, Role.PHARMACIST, Role.NURSE, Role.OUTCOME_ASSESSOR, Role.PREPARER})
MASKED_ROLES = frozenset(
    {
        Role.INVESTIGATOR,
        Role.PHARMACIST,
        Role.NURSE,
        Role.OUTCOME_ASSESSOR,
        Role.MONITOR,
        Role.STUDY_MANAGER,
    }
)
UNMASKED_ROLES = frozenset(
    {
        Role.PREPARER,
        Role.UNMASKED_MONITOR,
        Role.STATISTICIAN,
        Role.DSMB_STATISTICIAN,
        Role.SAFETY_OFFICER,
    }
)
# Roles of neither side: they open nothing by holding the role.
APART = frozenset({Role.EMERGENCY_DESK, Role.AUDITOR, Role.RELEASE_OFFICER, Role.ADMINISTRATOR})

# Who may sign in to the (masked, read-only) admin.
STAFF_ROLES = frozenset({Role.MONITOR, Role.STUDY_MANAGER, Role.ADMINISTRATOR})
# Whose one-time codes are checked by the masked face; everybody else's by the unmasked one.
MASKED_FACTOR_ROLES = STAFF_ROLES | {Role.PHARMACIST, Role.NURSE, Role.OUTCOME_ASSESSOR}

NEVER_TOGETHER: frozenset[frozenset[Role]] = frozenset(
    # No masked person is also unmasked, and nobody apart is also on a side.
    [frozenset({one, other}) for one in MASKED_ROLES for other in UNMASKED_ROLES | APART]
    + [frozenset({one, other}) for one in UNMASKED_ROLES for other in APART]
    + [frozenset(pair) for pair in combinations(sorted(APART), 2)]
    # Who assesses outcomes does not treat, and who oversees a site does not work there.
    + [frozenset({Role.OUTCOME_ASSESSOR, other}) for other in MASKED_ROLES - {Role.OUTCOME_ASSESSOR}]
    + [
        frozenset({one, other})
        for one in (Role.MONITOR, Role.STUDY_MANAGER)
        for other in (Role.INVESTIGATOR, Role.PHARMACIST, Role.NURSE)
    ]
)

ROLE_CHOICES = [(role.value, role.value.replace("_", " ")) for role in Role]
FACE_CHOICES = [("masked", "masked"), ("unmasked", "unmasked")]


def factor_face(roles: frozenset[Role]) -> str:
    """Return the face that checks the one-time codes of a person with these roles."""
    return "masked" if roles <= MASKED_FACTOR_ROLES else "unmasked"


def conflicts(held: frozenset[Role], wanted: Role) -> frozenset[Role]:
    """Return the held roles that nobody may hold together with ``wanted``."""
    return frozenset(role for role in held if frozenset({role, wanted}) in NEVER_TOGETHER)
