"""
Opening, with private keys: the only module of the service that can learn an arm.

Which modules may import this one is a contract in ``pyproject.toml``; none of them is reachable
from the masked face, from Celery or from an admin. The interface to keys is four calls, so that a
KMS or an HSM can stand where ``FileKeys`` stands.

Whatever goes wrong is an ``OpeningFailed`` with a fixed sentence. It never carries the fault of
the cipher below, the plaintext or an arm.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import rfc8785
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trialsite import sealing
from trialsite.keyfiles import KeyFile, KeyFileError, read_key_file


class OpeningFailed(Exception):
    """Something sealed did not open, or a key was not there to open it."""


class IntegrityFailure(OpeningFailed):
    """
    An envelope opened, but what it holds is not what was committed to.

    The code break must not be answered from it: use the paper envelope, and raise the alarm.
    """


@dataclass(frozen=True)
class KeyDescription:
    """What may be said of a key: its id, algorithm, creation time and state."""

    kid: str
    alg: str
    created: dt.datetime
    state: str


class Keys(Protocol):
    """A provider of private keys: a file, a KMS or an HSM."""

    def public(self, kid: str) -> bytes:
        """Return the raw public key."""

    def open(self, kid: str, enc_ct: bytes, info: bytes) -> bytes:
        """Open one HPKE ciphertext. :raises OpeningFailed: if it does not open with this key."""

    def sign(self, kid: str, msg: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature. :raises OpeningFailed: if there is no such key."""

    def describe(self, kid: str) -> KeyDescription:
        """Describe the key. :raises OpeningFailed: if there is no such key."""


class FileKeys:
    """The keys of the given key files, held in memory for the life of the process."""

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """
        Load X25519 and Ed25519 keys.

        :raises KeyFileError: if a file is refused, holds a symmetric key, or a key id comes twice.
        """
        self._keys: dict[str, KeyFile] = {}
        for path in paths:
            key = read_key_file(path)
            if key.alg not in ("x25519", "ed25519"):
                raise KeyFileError(f"{os.fspath(path)}: {key.alg} is no key pair.")
            if key.kid in self._keys:
                raise KeyFileError(f"{os.fspath(path)}: key id {key.kid} was given twice.")
            self._keys[key.kid] = key

    @property
    def kids(self) -> tuple[str, ...]:
        """Return the ids of the keys, in the order of the files."""
        return tuple(self._keys)

    def public(self, kid: str) -> bytes:
        """Return the raw public key. :raises OpeningFailed: if there is no such key."""
        return self._key(kid).public_bytes()

    def open(self, kid: str, enc_ct: bytes, info: bytes) -> bytes:
        """Open one HPKE ciphertext. :raises OpeningFailed: if it does not open with this key."""
        private = X25519PrivateKey.from_private_bytes(self._key(kid, alg="x25519").secret)
        try:
            return sealing.SUITE.decrypt(enc_ct, private, info=info)
        except (InvalidTag, ValueError):
            raise OpeningFailed(f"The envelope does not open with key {kid} at this place.") from None

    def sign(self, kid: str, msg: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature. :raises OpeningFailed: if there is no such key."""
        return Ed25519PrivateKey.from_private_bytes(self._key(kid, alg="ed25519").secret).sign(msg)

    def describe(self, kid: str) -> KeyDescription:
        """Describe the key. :raises OpeningFailed: if there is no such key."""
        key = self._key(kid)
        return KeyDescription(kid=key.kid, alg=key.alg, created=key.created, state="active")

    def _key(self, kid: str, *, alg: str | None = None) -> KeyFile:
        key = self._keys.get(kid)
        if key is None or (alg is not None and key.alg != alg):
            raise OpeningFailed(f"There is no {alg or 'private'} key {kid} here.")
        return key


def open_slot(
    keys: Keys,
    kid: str,
    envelope: bytes,
    *,
    study: str,
    stratum: str,
    slot: int,
    root: bytes,
    leaf_hash: bytes,
) -> int:
    """
    Return the arm of one slot, numbered from 0.

    The opened arm and salt must reproduce ``leaf_hash``, the slot's RFC 9162 leaf hash under the
    published ``root``. Anyone can seal with a public key; only the list's maker knew the salt.

    :raises IntegrityFailure: if the envelope opens but does not reproduce the leaf.
    :raises OpeningFailed: if the envelope does not open with this key at this place.
    """
    if len(envelope) != sealing.SLOT_ENVELOPE_BYTES:
        raise OpeningFailed("The envelope has not the size of a slot envelope.")
    info = sealing.slot_info(study=study, stratum=stratum, slot=slot, kid=kid, root=root)
    plaintext = keys.open(kid, bytes(envelope), info)
    version, arm, salt, rest = plaintext[0], plaintext[1], plaintext[2:34], plaintext[34:]
    if version != sealing.SLOT_VERSION or arm not in sealing.ARMS or any(rest):
        raise IntegrityFailure("The envelope does not hold what a slot envelope holds.")
    data = sealing.slot_leaf(study=study, stratum=stratum, slot=slot, arm=arm, salt=salt)
    if not hmac.compare_digest(hashlib.sha256(b"\0" + data).digest(), bytes(leaf_hash)):
        raise IntegrityFailure("The envelope does not hold what the list committed to.")
    return arm


def open_body(
    keys: Keys,
    kid: str,
    envelope: Mapping[str, Any],
    *,
    event_id: UUID | None = None,
    study: str | None = None,
) -> dict[str, Any]:
    """
    Return the body that ``sealing.seal_body`` sealed.

    Pass the ``event_id`` (and ``study``) that the audit event shows in clear: an envelope moved
    from one event to another opens well, and only its header tells that it lies in the wrong place.

    :raises IntegrityFailure: if the envelope is of another event, its data key is not the one the
        header commits to, or the ciphertext, padding or content is not what was sealed.
    :raises OpeningFailed: if it is malformed or has no wrap that this key opens.
    """
    header, claims = _header(envelope)
    if (event_id is not None and claims["id"] != str(event_id)) or (
        study is not None and claims["study"] != study
    ):
        raise IntegrityFailure("The sealed body belongs to another event.")
    wraps = envelope["w"]
    if sorted(wraps) != sorted(claims["kids"]):
        raise IntegrityFailure("The wraps are not those that the header names.")
    if kid not in wraps:
        raise OpeningFailed(f"The sealed body has no wrap for key {kid}.")
    data_key = keys.open(kid, _unbase64(wraps[kid]), sealing.wrap_info(header, kid))
    encryption_key, commitment = sealing.body_keys(data_key, event_id=UUID(claims["id"]))
    if not hmac.compare_digest(commitment, bytes.fromhex(claims["kc"])):
        raise IntegrityFailure("The data key is not the one that the header commits to.")
    return _decrypt(_unbase64(envelope["c"]), encryption_key, header)


def _header(envelope: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Return the header's bytes and its claims, each of the right type."""
    try:
        header = envelope["h"].encode()
        claims = json.loads(header)
        UUID(claims["id"]), bytes.fromhex(claims["kc"])
        well_formed = (
            rfc8785.dumps(claims) == header
            and claims.keys() == {"v", "id", "study", "t", "kc", "kids"}
            and claims["v"] == sealing.HEADER_VERSION
            and all(isinstance(kid, str) for kid in claims["kids"])
            and isinstance(envelope["w"], Mapping)
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        well_formed = False
    if not well_formed:
        raise OpeningFailed("The sealed body is malformed.")
    return header, claims


def _decrypt(ciphertext: bytes, key: bytes, header: bytes) -> dict[str, Any]:
    nonce, rest = ciphertext[: sealing.NONCE_BYTES], ciphertext[sealing.NONCE_BYTES :]
    try:
        padded = AESGCM(key).decrypt(nonce, rest, header)
    except (InvalidTag, ValueError):
        raise IntegrityFailure("The ciphertext is not the one that was sealed.") from None
    return unpadded(padded)


def unpadded(padded: bytes) -> dict[str, Any]:
    """
    Return the document whose canonical JSON was padded.

    :raises IntegrityFailure: if the padding or the content has another form.
    """
    content, mark, zeros = padded.rpartition(b"\x80")
    if not mark or any(zeros):
        raise IntegrityFailure("The padding is not the one that was sealed.")
    try:
        body = json.loads(content)
        # Two readers of one text with a doubled key could see two different things.
        canonical = isinstance(body, dict) and rfc8785.dumps(body) == content
    except (ValueError, RecursionError):
        canonical = False
    if not canonical:
        raise IntegrityFailure("The sealed content is not canonical JSON.")
    return dict(body)


def _unbase64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise OpeningFailed("The sealed body is malformed.") from None


# One officer's part: where the private key is, and its id there.
Officer = tuple[Keys, str]


def open_pairwise_outer(blob: bytes, second: Officer, info: bytes) -> bytes:
    """Take off the outer seal, which the pair's second officer ("2" of "1+2") holds."""
    keys, kid = second
    return keys.open(kid, blob, info + b"|outer")


def open_pairwise_inner(inner: bytes, first: Officer, info: bytes) -> bytes:
    """Take off the inner seal, which the pair's first officer ("1" of "1+2") holds."""
    keys, kid = first
    return keys.open(kid, inner, info + b"|inner")


def open_pairwise(blob: bytes, first: Officer, second: Officer, info: bytes) -> bytes:
    """
    Return the secret of one pairwise envelope; the officers stand in the order of its label.

    :raises OpeningFailed: if either key is not the one it was sealed to.
    """
    return open_pairwise_inner(open_pairwise_outer(blob, second, info), first, info)
