"""What stood against a randomization in the person randomized, told by the record as it is now."""

from __future__ import annotations

from randomization.domain.consent import standing
from randomization.models import Participant
from randomization.services.assignment import Discontinued
from randomization.services.consent import ConsentNotGiven, ConsentWithdrawn


def deviations(participant: Participant) -> list[str]:
    """
    Return the codes with which a randomization at that moment would have been refused.

    ``consent_not_given``, ``consent_withdrawn`` and ``discontinued``, judged at the time of the
    randomization, on paper that of the paper. Consent and ends may be entered or corrected afterwards.
    """
    if not participant.is_randomized:
        return []
    then = participant.allocation.randomized_at
    consent = standing(act for act in participant.consents.all() if act.at < then)
    stood_against = {
        ConsentNotGiven.code: participant.consented_at > then,
        ConsentWithdrawn.code: consent is not None and consent.withdrawn_at is not None,
        Discontinued.code: any(end.at < then for end in participant.discontinuations.all()),
    }
    return [code for code, stood in stood_against.items() if stood]


def unreported_deviations(participant: Participant) -> list[str]:
    """Return the deviations; none, once somebody has reported the participant randomized in error."""
    reported = any(error.kind == "randomized_in_error" for error in participant.errors_in_force)
    return [] if reported else deviations(participant)
