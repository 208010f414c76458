"""What the statistician signed of the list, read and checked."""

from __future__ import annotations

from randomization.domain.sealed_list import Commitment, SealedListInvalid
from trialsite.audit import notes
from trialsite.audit.services import public_keys


class CommitmentInvalid(ValueError):
    """The note is not a commitment that this deployment's statistician signed."""


def signed_commitment(note: str) -> Commitment:
    """
    Return what ``note`` commits to.

    :raises CommitmentInvalid: if the statistician did not sign it, or it is malformed.
    """
    try:
        statistician = notes.VerifierKey.parse(public_keys().statistician)
        return Commitment.parse(notes.open_note(note, [statistician]).text)
    except notes.NoteInvalid as error:
        raise CommitmentInvalid(f"The commitment is not signed by the statistician: {error}.") from None
    except SealedListInvalid as error:
        raise CommitmentInvalid(f"The commitment is malformed: {error}.") from None
