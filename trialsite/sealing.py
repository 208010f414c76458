"""
Sealing, with public keys alone: what this module makes it cannot open.

HPKE (RFC 9180) base mode, DHKEM(X25519, HKDF-SHA256) / HKDF-SHA256 / AES-256-GCM, single shot, so
every ciphertext is ``enc(32) || ct || tag(16)`` and 48 bytes longer than its plaintext. The
``info`` of each binds it to its place. Three formats stand on it:

* the slot envelope, 96 bytes, one arm of one slot of the randomization list;
* the sealed body of an audit event, one length whatever it says, for several readers;
* the pairwise envelopes of a secret that any two of three release officers open together.

No arm, salt or data key is kept, logged or named in an exception here.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import hashlib
import itertools
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import rfc8785
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trialsite.keyfiles import is_kid

SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
HPKE_OVERHEAD: Final = 48

SLOT_PLAINTEXT_BYTES: Final = 48
SLOT_ENVELOPE_BYTES: Final = SLOT_PLAINTEXT_BYTES + HPKE_OVERHEAD
SLOT_VERSION: Final = 1
SALT_BYTES: Final = 32
ROOT_BYTES: Final = 32
# As many as there are letters to name them.
ARMS: Final = range(26)

BODY_BYTES: Final = 2048
# What has no one size is padded to whole steps of this.
DOCUMENT_STEP: Final = 4096
NONCE_BYTES: Final = 12
HEADER_VERSION: Final = "irt/envelope/v1"


class BodyTooLarge(ValueError):
    """A sealed body must fit its one fixed size; free text is limited before it comes here."""


class PublicKeysError(ValueError):
    """The file of public keys is missing a key or holds one that is malformed."""


@dataclass(frozen=True)
class PublicKey:
    """One reader's X25519 public key: ``raw`` is its 32 bytes."""

    kid: str
    alg: str
    raw: bytes

    def __post_init__(self) -> None:
        if not is_kid(self.kid) or self.alg != "x25519" or len(self.raw) != 32:
            raise PublicKeysError("a public key is not a well-formed x25519 key")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PublicKey:
        """
        Read ``{"kid", "alg", "raw"}`` with ``raw`` in base64.

        :raises PublicKeysError: if it is anything else.
        """
        try:
            raw = base64.b64decode(value["raw"], validate=True)
            return cls(kid=str(value["kid"]), alg=str(value["alg"]), raw=raw)
        except (KeyError, TypeError, binascii.Error):
            raise PublicKeysError("a public key is not {kid, alg, raw}") from None

    def to_json(self) -> dict[str, str]:
        """Return what ``from_json`` reads."""
        return {"kid": self.kid, "alg": self.alg, "raw": base64.b64encode(self.raw).decode()}


@dataclass(frozen=True)
class PublicKeys:
    """
    The public halves every process may hold; ``log`` and ``statistician`` are note keys (vkey text).

    ``emergency`` is the unmasked pharmacy's, for the lists that are reserved for when the system is
    down; a file from before there were such lists has none.
    """

    code_break: PublicKey
    auditor: PublicKey
    safety_desk: PublicKey
    release: tuple[PublicKey, PublicKey, PublicKey]
    log: str
    statistician: str
    emergency: PublicKey | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PublicKeys:
        """
        Read the JSON file that ``dump`` writes.

        :raises PublicKeysError: if it is not that file.
        """
        try:
            document = json.loads(Path(path).read_bytes())
            first, second, third = (PublicKey.from_json(key) for key in document["release"])
            emergency = document.get("emergency")
            return cls(
                code_break=PublicKey.from_json(document["code_break"]),
                auditor=PublicKey.from_json(document["auditor"]),
                safety_desk=PublicKey.from_json(document["safety_desk"]),
                release=(first, second, third),
                log=str(document["log"]),
                statistician=str(document["statistician"]),
                emergency=None if emergency is None else PublicKey.from_json(emergency),
            )
        except OSError as error:
            raise PublicKeysError(f"{os.fspath(path)}: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PublicKeysError(f"{os.fspath(path)}: not a file of public keys ({error}).") from None

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write the keys as JSON, over what was there."""
        document: dict[str, Any] = {
            "code_break": self.code_break.to_json(),
            "auditor": self.auditor.to_json(),
            "safety_desk": self.safety_desk.to_json(),
            "release": [key.to_json() for key in self.release],
            "log": self.log,
            "statistician": self.statistician,
        }
        if self.emergency:
            document["emergency"] = self.emergency.to_json()
        Path(path).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def seal(public_key: PublicKey, plaintext: bytes, *, info: bytes) -> bytes:
    """
    Return ``enc || ct``: ``plaintext`` sealed to one key and to the place that ``info`` names.

    RFC 9180 section 8.1 names ``info`` as the place for associated data in single-shot use.
    """
    return SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public_key.raw), info=info)


def slot_info(*, study: str, stratum: str, slot: int, kid: str, root: bytes) -> bytes:
    """
    Return the ``info`` that binds a slot envelope to its slot, its key and its list.

    :raises ValueError: if ``root`` is not the 32 bytes of the list's Merkle root.
    """
    if len(root) != ROOT_BYTES:
        raise ValueError(f"root is not {ROOT_BYTES} bytes")
    place = b'{"kid":%s,"root":"%s","slot":%d,"stratum":%s,"study":%s}'
    hexed = root.hex().encode()
    return b"irt/slot/v1|" + place % (_quoted(kid), hexed, slot, _quoted(stratum), _quoted(study))


def slot_leaf(*, study: str, stratum: str, slot: int, arm: int, salt: bytes) -> bytes:
    """
    Return the data of one leaf of the list's Merkle tree (``irt-slot/1``, RFC 8785 JSON).

    The arm is one bit: it is the secret salt that keeps the published leaf hash from telling it.

    :raises ValueError: if ``arm`` is not 0 to 25 or ``salt`` is not 32 bytes.
    """
    _check_arm(arm, salt)
    data = b'{"arm":%d,"salt":"%s","slot":%d,"stratum":%s,"study":%s,"v":"irt-slot/1"}'
    return data % (arm, salt.hex().encode(), slot, _quoted(stratum), _quoted(study))


def seal_slot(
    public_key: PublicKey, *, arm: int, salt: bytes, study: str, stratum: str, slot: int, root: bytes
) -> bytes:
    """
    Return the 96-byte envelope of one slot.

    The plaintext is ``0x01 || arm || salt(32) || zero(14)``: one length for all arms.

    :raises ValueError: if ``arm`` is not 0 to 25, or ``salt`` or ``root`` is not 32 bytes.
    """
    _check_arm(arm, salt)
    plaintext = (bytes((SLOT_VERSION, arm)) + salt).ljust(SLOT_PLAINTEXT_BYTES, b"\0")
    info = slot_info(study=study, stratum=stratum, slot=slot, kid=public_key.kid, root=root)
    return seal(public_key, plaintext, info=info)


@functools.lru_cache
def _quoted(text: str) -> bytes:
    """Return a text in canonical JSON. Names come again with every slot of a list, and dumping is slow."""
    return rfc8785.dumps(text)


def _check_arm(arm: int, salt: bytes) -> None:
    # The message repeats no value: it would carry the arm into whatever prints the exception.
    if arm not in ARMS or len(salt) != SALT_BYTES:
        raise ValueError(f"a slot needs an arm of 0 to {ARMS[-1]} and a salt of {SALT_BYTES} bytes")


def seal_body(
    body: Mapping[str, Any],
    *,
    event_id: UUID,
    study: str,
    at: dt.datetime,
    recipients: Sequence[PublicKey],
    size: int = BODY_BYTES,
) -> dict[str, Any]:
    """
    Seal the body of one audit event to each recipient; return ``{"h", "w", "c"}``, safe for JSON.

    ``h`` is the header's canonical JSON text, which the ciphertext authenticates; ``w`` maps key id
    to the wrapped one-use data key; ``c`` is nonce and ciphertext. The body is padded (ISO/IEC
    7816-4) to exactly ``size`` bytes, so that for the same recipients every result has one length.

    The header carries a commitment to the data key: AES-GCM has none of its own, and a sender
    could otherwise show two readers two different bodies under one ciphertext.

    :raises BodyTooLarge: if the body's canonical JSON does not fit.
    :raises ValueError: if there is no recipient, or one twice, or ``at`` has no time zone.
    """
    kids = [key.kid for key in recipients]
    if not kids or len(set(kids)) != len(kids):
        raise ValueError("a sealed body needs at least one recipient and each only once")
    padded = pad(rfc8785.dumps(dict(body)), size=size)
    data_key = secrets.token_bytes(32)
    encryption_key, commitment = body_keys(data_key, event_id=event_id)
    header = rfc8785.dumps(
        {
            "v": HEADER_VERSION,
            "id": str(event_id),
            "study": study,
            "t": _utc_milliseconds(at),
            "kc": commitment.hex(),
            "kids": kids,
        }
    )
    nonce = secrets.token_bytes(NONCE_BYTES)
    ciphertext = nonce + AESGCM(encryption_key).encrypt(nonce, padded, header)
    wraps = {key.kid: seal(key, data_key, info=wrap_info(header, key.kid)) for key in recipients}
    return {
        "h": header.decode(),
        "w": {kid: base64.b64encode(wrap).decode() for kid, wrap in wraps.items()},
        "c": base64.b64encode(ciphertext).decode(),
    }


def body_keys(data_key: bytes, *, event_id: UUID) -> tuple[bytes, bytes]:
    """Return the encryption key and the key commitment, 32 bytes each, that a data key yields."""
    derived = HKDF(algorithm=SHA256(), length=64, salt=event_id.bytes, info=HEADER_VERSION.encode()).derive(
        data_key
    )
    return derived[:32], derived[32:]


def wrap_info(header: bytes, kid: str) -> bytes:
    """Return the ``info`` that binds a wrapped data key to one header and one reader."""
    return b"irt/wrap/v1|" + hashlib.sha256(header).digest() + kid.encode()


def pad(body: bytes, *, size: int) -> bytes:
    """
    Return ``body`` padded to exactly ``size`` bytes: 0x80, then zeros (ISO/IEC 7816-4).

    :raises BodyTooLarge: if there is no room for the one byte that marks the end.
    """
    if len(body) >= size:
        raise BodyTooLarge(f"a sealed body must be shorter than {size} bytes")
    return (body + b"\x80").ljust(size, b"\0")


def padded_document(document: Mapping[str, Any]) -> bytes:
    """Return a document's canonical JSON, padded to whole steps of 4096 bytes (ISO/IEC 7816-4)."""
    content = rfc8785.dumps(dict(document))
    return pad(content, size=(len(content) // DOCUMENT_STEP + 1) * DOCUMENT_STEP)


def _utc_milliseconds(at: dt.datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("at has no time zone")
    return at.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def seal_pairwise(secret: bytes, officers: Sequence[PublicKey], *, info: bytes) -> dict[str, bytes]:
    """
    Seal ``secret`` so that any two of three officers open it together and none does alone.

    For each pair the first officer's seal lies inside the second's, so the second opens first and
    hands over what the first finishes. No share is ever put together on a server. A 32-byte secret
    makes three blobs of 128 bytes, under ``"1+2"``, ``"1+3"`` and ``"2+3"``.

    :raises ValueError: if there are not exactly three different officers.
    """
    if len(officers) != 3 or len({officer.raw for officer in officers}) != 3:
        raise ValueError("pairwise sealing needs exactly three different keys")
    blobs = {}
    for (i, first), (j, second) in itertools.combinations(enumerate(officers, start=1), 2):
        inner = seal(first, secret, info=info + b"|inner")
        blobs[f"{i}+{j}"] = seal(second, inner, info=info + b"|outer")
    return blobs
