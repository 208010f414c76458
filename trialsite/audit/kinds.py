"""
The closed list of audit events: who may write each, and whether masked roles may see it.

A plain table. The migrate step copies it into the database, whose append function reads it there;
the verifier refuses any other kind. No kind, and no field that stands in clear, depends on an arm.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """What happened, as ``noun.past``; it stands in the event's body under ``k``."""

    GENESIS = "genesis"
    TRIAL_LOADED = "trial.loaded"
    LIST_COMMITTED = "list.committed"
    LIST_EXTENDED = "list.extended"
    TRIAL_APPROVED = "trial.approved"
    TRIAL_ACTIVATED = "trial.activated"
    TRIAL_AMENDED = "trial.amended"
    ENROLMENT_CHANGED = "enrolment.changed"
    PARTICIPANT_SCREENED = "participant.screened"
    PARTICIPANT_SCREENING_REVISED = "participant.screening_revised"
    CONSENT_GIVEN = "consent.given"
    CONSENT_WITHDRAWN = "consent.withdrawn"
    PARTICIPANT_RANDOMIZED = "participant.randomized"
    SLOT_SPOILED = "slot.spoiled"
    PARTICIPANT_CORRECTED = "participant.corrected"
    PARTICIPANT_RANDOMIZED_IN_ERROR = "participant.randomized_in_error"
    PARTICIPANT_IN_WRONG_STRATUM = "participant.in_wrong_stratum"
    PARTICIPANT_INELIGIBLE = "participant.ineligible"
    PARTICIPANT_DUPLICATE = "participant.duplicate"
    PARTICIPANT_TRANSFERRED = "participant.transferred"
    PARTICIPANT_DISCONTINUED = "participant.discontinued"
    INFUSION_ORDERED = "infusion.ordered"
    INFUSION_ORDER_CANCELLED = "infusion.order_cancelled"
    INFUSION_OPENED = "infusion.opened"
    INFUSION_UNDOCUMENTED = "infusion.undocumented"
    INFUSION_MISSED = "infusion.missed"
    INFUSION_STARTED = "infusion.started"
    INFUSION_STOPPED = "infusion.stopped"
    KIT_RELEASED = "kit.released"
    KIT_DISPENSED = "kit.dispensed"
    KIT_WASTED = "kit.wasted"
    KIT_EXPIRED = "kit.expired"
    BEDSIDE_STOPPED = "bedside.stopped"
    ACCIDENTAL_UNBLINDING_REPORTED = "accidental_unblinding.reported"
    ACCOUNT_CHANGED = "account.changed"
    KEY_CREATED = "key.created"
    LOT_RECEIVED = "lot.received"
    UNBLINDING = "unblinding"
    PREPARATION = "preparation"


class Side(StrEnum):
    """Which of the processes writes: each has its own database login. The signer is unmasked."""

    MASKED = "masked"
    UNMASKED = "unmasked"
    WORKER = "worker"
    MIGRATOR = "migrator"


_COMMAND = frozenset({Side.MIGRATOR})
_OPERATION = frozenset({Side.MIGRATOR, Side.UNMASKED})
_SITE = frozenset({Side.MASKED})
# Windows and expiry are judged at use, so any process may be the first to find one past.
_SWEEP = frozenset({Side.MASKED, Side.UNMASKED, Side.WORKER})
_PHARMACY = frozenset({Side.UNMASKED})

WRITERS: Final[Mapping[Kind, frozenset[Side]]] = MappingProxyType(
    {
        Kind.GENESIS: _COMMAND,
        Kind.TRIAL_LOADED: _OPERATION,
        Kind.LIST_COMMITTED: _OPERATION,
        Kind.LIST_EXTENDED: _OPERATION,
        Kind.TRIAL_APPROVED: _OPERATION,
        Kind.TRIAL_ACTIVATED: _OPERATION,
        Kind.TRIAL_AMENDED: _OPERATION,
        # The study manager's, and the activation's, which is a command.
        Kind.ENROLMENT_CHANGED: _SITE | _COMMAND,
        Kind.PARTICIPANT_SCREENED: _SITE,
        Kind.PARTICIPANT_SCREENING_REVISED: _SITE,
        Kind.CONSENT_GIVEN: _SITE,
        Kind.CONSENT_WITHDRAWN: _SITE,
        Kind.PARTICIPANT_RANDOMIZED: _SITE,
        Kind.SLOT_SPOILED: _SITE,
        Kind.PARTICIPANT_CORRECTED: _SITE,
        Kind.PARTICIPANT_RANDOMIZED_IN_ERROR: _SITE,
        Kind.PARTICIPANT_IN_WRONG_STRATUM: _SITE,
        Kind.PARTICIPANT_INELIGIBLE: _SITE,
        Kind.PARTICIPANT_DUPLICATE: _SITE,
        Kind.PARTICIPANT_TRANSFERRED: _SITE,
        Kind.PARTICIPANT_DISCONTINUED: _SITE,
        Kind.INFUSION_ORDERED: _SITE,
        Kind.INFUSION_ORDER_CANCELLED: _SITE,
        Kind.INFUSION_OPENED: _SWEEP,
        Kind.INFUSION_UNDOCUMENTED: _SWEEP,
        Kind.INFUSION_MISSED: _SITE,
        Kind.INFUSION_STARTED: _SITE,
        Kind.INFUSION_STOPPED: _SITE,
        Kind.KIT_RELEASED: _PHARMACY,
        Kind.KIT_DISPENSED: _SITE,
        Kind.KIT_WASTED: _SITE,
        Kind.KIT_EXPIRED: _SWEEP,
        Kind.BEDSIDE_STOPPED: _SITE,
        Kind.ACCIDENTAL_UNBLINDING_REPORTED: _SITE,
        Kind.ACCOUNT_CHANGED: _COMMAND,
        Kind.KEY_CREATED: _OPERATION,
        Kind.LOT_RECEIVED: _PHARMACY,
        Kind.UNBLINDING: _PHARMACY,
        Kind.PREPARATION: _PHARMACY,
    }
)

# The whole body is sealed, and request, denial, reveal and read are one kind: neither kind, size
# nor fields tell them apart. A report of an accidental unblinding stands in clear but for its text.
SEALED: Final = frozenset({Kind.UNBLINDING, Kind.PREPARATION})

# Who released a bag could be told from who prepared it; masked roles learn the role only.
WITHOUT_ACTOR: Final = frozenset({Kind.KIT_RELEASED})

# Of the pharmacy's work masked roles see one thing, that a kit was released.
MASKED_VISIBLE: Final = frozenset(
    {
        Kind.GENESIS,
        Kind.TRIAL_LOADED,
        Kind.LIST_COMMITTED,
        Kind.LIST_EXTENDED,
        Kind.TRIAL_APPROVED,
        Kind.TRIAL_ACTIVATED,
        Kind.TRIAL_AMENDED,
        Kind.ENROLMENT_CHANGED,
        Kind.PARTICIPANT_SCREENED,
        Kind.PARTICIPANT_SCREENING_REVISED,
        Kind.CONSENT_GIVEN,
        Kind.CONSENT_WITHDRAWN,
        Kind.PARTICIPANT_RANDOMIZED,
        Kind.SLOT_SPOILED,
        Kind.PARTICIPANT_CORRECTED,
        Kind.PARTICIPANT_RANDOMIZED_IN_ERROR,
        Kind.PARTICIPANT_IN_WRONG_STRATUM,
        Kind.PARTICIPANT_INELIGIBLE,
        Kind.PARTICIPANT_DUPLICATE,
        Kind.PARTICIPANT_TRANSFERRED,
        Kind.PARTICIPANT_DISCONTINUED,
        Kind.INFUSION_ORDERED,
        Kind.INFUSION_ORDER_CANCELLED,
        Kind.INFUSION_OPENED,
        Kind.INFUSION_UNDOCUMENTED,
        Kind.INFUSION_MISSED,
        Kind.INFUSION_STARTED,
        Kind.INFUSION_STOPPED,
        Kind.KIT_RELEASED,
        Kind.KIT_DISPENSED,
        Kind.KIT_WASTED,
        Kind.KIT_EXPIRED,
        Kind.BEDSIDE_STOPPED,
        Kind.ACCIDENTAL_UNBLINDING_REPORTED,
    }
)
