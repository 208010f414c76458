"""
Signatures: a password and a one-time code, given together for one act (21 CFR 11.200).

Never behind a lock-out. Sign-ins are guarded by axes; a signature may stand between a patient and
an emergency unblinding, so a wrong one costs the time of one password hash and nothing else.
"""

from __future__ import annotations

import datetime as dt

from trialsite.accounts.models import User
from trialsite.accounts.services.factors import Purpose, check_code
from trialsite.errors import Refused


class SignatureRejected(Refused):
    """Something about the signature is wrong; what, is not said."""

    code = "signature_rejected"
    status = 403

    def __init__(self) -> None:
        super().__init__("The password or the one-time code was not accepted.")


def verify_signature(*, user: User, password: str, otp: str, purpose: Purpose, at_real: dt.datetime) -> None:
    """
    Return if ``user`` signs with password and one-time code; the code is used up for ``purpose``.

    :param at_real: real time; trial time may run ahead of the person's authenticator.
    :raises SignatureRejected: otherwise, in the same words whatever was wrong.
    """
    # The password first and always: a rejected one leaves the code unused and takes as long.
    right = user.is_active and user.check_password(password)
    if not right or not check_code(user=user, otp=otp, purpose=purpose, at=at_real):
        raise SignatureRejected


def verify_password(*, user: User, password: str) -> None:
    """
    Return if the password is the person's: one signature component inside a work session.

    :raises SignatureRejected: otherwise.
    """
    if not (user.is_active and user.check_password(password)):
        raise SignatureRejected
