"""Participants, the sealed list, allocations, and the fact that a code was broken."""

from randomization.models.participants import (
    Consent,
    Correction,
    Discontinuation,
    Participant,
    RandomizationError,
    ScreeningRevision,
    Transfer,
)
from randomization.models.sealed_list import (
    Allocation,
    RandomizationList,
    SealedArm,
    Slot,
    SpoiledSlot,
    Stratum,
)
from randomization.models.trial import Approval, EnrolmentChange, TrialVersion
from randomization.models.unblinding import AccidentalUnblinding, Unblinding

__all__ = [
    "AccidentalUnblinding",
    "Allocation",
    "Approval",
    "Consent",
    "Correction",
    "Discontinuation",
    "EnrolmentChange",
    "Participant",
    "RandomizationError",
    "RandomizationList",
    "ScreeningRevision",
    "SealedArm",
    "Slot",
    "SpoiledSlot",
    "Stratum",
    "Transfer",
    "TrialVersion",
    "Unblinding",
]
