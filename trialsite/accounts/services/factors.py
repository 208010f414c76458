"""
Second factors: RFC 6238 one-time codes, secrets sealed at rest, each code good for one use.

The secret lies in the database as ``factor/v1 KID`` newline, 12-byte nonce, AES-256-GCM ciphertext.
The header and ``user id|face`` are associated data, so a secret cannot be moved to another
person, face or key. Masked and unmasked face have different keys: neither can read, nor check, the
factors of the other's people.
"""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import secrets
from collections.abc import Sequence
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import settings
from django.db import connection, transaction

from trialsite.accounts.models import SecondFactor, User
from trialsite.accounts.roles import Role, factor_face
from trialsite.accounts.services.changes import account_changed, require_manager
from trialsite.errors import Refused
from trialsite.keyfiles import KeyFile, KeyFileError, read_key_file

SECRET_BYTES = 20
NONCE_BYTES = 12
STEP_SECONDS = 30
DIGITS = 6
# One step of clock difference either way (RFC 6238 section 5.2).
_DRIFT = (0, -1, 1)


class Purpose(StrEnum):
    """What a code is given for. Each has its own memory of used codes."""

    UNBLINDING = "unblinding"
    SESSION = "session"
    COMMAND = "command"
    # The masked login may write used codes of this prefix only (migration 0002).
    MASKED_SIGN_IN = "masked-sign-in"


class FactorKeyMissing(Refused):
    """This process has no key for the factors of that face."""

    code = "factor_key_missing"
    status = 503


class RoleComesFirst(Refused):
    """A second factor belongs to a face, and roles decide which."""

    code = "role_comes_first"


def enrol(*, user: User, by: User | str, at: dt.datetime, key_files: Sequence[str] | None = None) -> str:
    """
    Give ``user`` a new secret in place of any older one and return it, base32; shown once.

    It is sealed for the one face that will check the person's codes (``roles.factor_face``), so
    roles come first; a factor enrolled before they moved the person to the other face is void.

    :param key_files: factor key files to choose from; those of the settings if not given.
    :raises NotPermitted: if ``by`` is a person who may not manage people.
    :raises RoleComesFirst: if the person has no role.
    :raises FactorKeyMissing: if none of the key files is of that face.
    """
    require_manager(by)
    if not user.roles:
        raise RoleComesFirst("Grant a role first: it decides which face checks the codes.")
    face = _face_of(user)
    secret = secrets.token_bytes(SECRET_BYTES)
    sealed = _seal(secret, user=user, face=face, key=_key(face, key_files))
    with transaction.atomic():
        SecondFactor.objects.update_or_create(
            user=user, defaults={"face": face, "sealed_secret": sealed, "enrolled_at": at}
        )
        account_changed("second_factor_enrolled", user=user, by=by, at=at, face=face)
    return base64.b32encode(secret).decode()


def otpauth_uri(*, user: User, secret: str) -> str:
    """Return what an authenticator app reads (Google Authenticator's key URI format)."""
    totp = _totp(base64.b32decode(secret))
    return totp.get_provisioning_uri(account_name=user.username, issuer=settings.DEPLOYMENT)


def check_code(*, user: User, otp: str, purpose: Purpose, at: dt.datetime) -> bool:
    """
    Return whether ``otp`` is a code of ``user`` now that was not used for ``purpose`` before; use it up.

    Two requests with one code: the second waits for the first's transaction and gets False.

    :param at: real time. Codes of the step before and after it count too.
    :raises FactorKeyMissing: if this process has no key for the person's factor.
    """
    factor = SecondFactor.objects.filter(user=user).first()
    if factor is None or not _serves(factor, purpose, face=_face_of(user)):
        return False
    totp = _totp(_open(factor))
    step = int(at.timestamp()) // STEP_SECONDS
    # Many authenticator apps show a code in two halves.
    given = "".join(otp.split()).encode()
    for candidate in (step + drift for drift in _DRIFT):
        if hmac.compare_digest(totp.generate(candidate * STEP_SECONDS), given):
            return _use_up(user=user, purpose=purpose, step=candidate)
    return False


def _face_of(user: User) -> str:
    return factor_face(frozenset(Role(grant.role) for grant in user.roles))


def _serves(factor: SecondFactor, purpose: Purpose, *, face: str) -> bool:
    """
    Return whether a code of this factor may serve the purpose at all.

    A factor of the masked face never opens anything on the unmasked one: whoever took the masked
    host knows those secrets. Commands need a shell on the unmasked host beside the code.

    :param face: the face of the person's roles now; a factor enrolled before they changed is void.
    """
    if factor.face != face:
        return False
    if purpose is Purpose.COMMAND:
        return True
    return factor.face == ("masked" if purpose is Purpose.MASKED_SIGN_IN else "unmasked")


def _use_up(*, user: User, purpose: Purpose, step: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_usedcode (user_id, purpose, step) VALUES (%s, %s, %s)"
            " ON CONFLICT (user_id, purpose, step) DO NOTHING",
            [user.pk, purpose.value, step],
        )
        return bool(cursor.rowcount == 1)


def _totp(secret: bytes) -> TOTP:
    # SHA-1 is what RFC 6238 apps speak; HMAC does not rest on its collision resistance.
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303


def _seal(plain: bytes, *, user: User, face: str, key: KeyFile) -> bytes:
    header = f"factor/v1 {key.kid}\n".encode()
    nonce = secrets.token_bytes(NONCE_BYTES)
    return header + nonce + AESGCM(key.secret).encrypt(nonce, plain, _associated(header, user, face))


def _open(factor: SecondFactor) -> bytes:
    header, _, sealed = bytes(factor.sealed_secret).partition(b"\n")
    header += b"\n"
    key = _key(factor.face)
    associated = _associated(header, factor.user, factor.face)
    try:
        return AESGCM(key.secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except InvalidTag:
        raise FactorKeyMissing("This process cannot read the person's second factor.") from None


def _associated(header: bytes, user: User, face: str) -> bytes:
    return header + f"{user.pk}|{face}".encode()


def _key(face: str, key_files: Sequence[str] | None = None) -> KeyFile:
    """
    Return the factor key of a face, found by its key id.

    :raises FactorKeyMissing: if none of this process's key files is it.
    """
    for path in key_files or (settings.FACTOR_KEY_FILE, settings.MASKED_FACTOR_KEY_FILE):
        if not path:
            continue
        try:
            key = read_key_file(path)
        except KeyFileError:
            continue
        if key.kid.startswith(f"factor-{face}-") and key.alg == "aes-256-gcm":
            return key
    raise FactorKeyMissing(f"This process has no key for second factors of the {face} face.")
