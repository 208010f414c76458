"""
Signed notes and checkpoints, byte for byte as C2SP writes them.

* c2sp.org/signed-note: a text, an empty line, and lines ``— <key name> base64(key id || signature)``;
* c2sp.org/tlog-checkpoint: the note text ``<origin>\\n<size>\\n<base64 root>\\n``;
* c2sp.org/tlog-cosignature: a witness's signature with its time (type 0x04).

A note with no valid signature by a known key is nothing, and so is one where a known key's signature
is wrong. Signatures of keys that the reader does not know are ignored: a trail gains witnesses
without its older readers failing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04

MOST_SIGNATURES: Final = 100
LONGEST_NOTE: Final = 1 << 20
ROOT_BYTES: Final = 32

_DASH: Final = "— "
_SIGNATURE_BYTES: Final = {ED25519: 64, COSIGNATURE: 8 + 64}


class NoteInvalid(ValueError):
    """The bytes are no well-formed note, key or checkpoint."""


class SignatureInvalid(NoteInvalid):
    """A known key's signature is wrong: the whole note is rejected."""


class Unsigned(NoteInvalid):
    """No known key signed the note."""


def _check_name(name: str) -> None:
    if not name or "+" in name or any(character.isspace() for character in name):
        raise NoteInvalid("malformed key name")
    _check_text(name)
    if "\n" in name:
        raise NoteInvalid("malformed key name")


def _check_text(text: str) -> None:
    if any(character < " " and character != "\n" for character in text):
        raise NoteInvalid("a note holds no control characters")


def _unbase64(text: str) -> bytes:
    """Decode the one canonical spelling, so that a note has no second one with the same meaning."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteInvalid("malformed base64") from None
    if base64.b64encode(content).decode() != text:
        raise NoteInvalid("base64 is not canonical")
    return content


def _key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes((kind,)) + public).digest()[:4]


@dataclass(frozen=True)
class VerifierKey:
    """A public note key; ``str`` of it is its vkey text."""

    name: str
    public: bytes
    kind: int = ED25519

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.kind not in _SIGNATURE_BYTES or len(self.public) != 32:
            raise NoteInvalid("not an Ed25519 note key")

    @property
    def key_id(self) -> bytes:
        """Return the 4 bytes that stand before each signature of the key."""
        return _key_id(self.name, self.kind, self.public)

    @property
    def vkey(self) -> str:
        """Return ``<name>+<key id, hex>+<base64(type || public key)>``."""
        material = base64.b64encode(bytes((self.kind,)) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    def __str__(self) -> str:
        return self.vkey

    @classmethod
    def parse(cls, vkey: str) -> VerifierKey:
        """
        Read a vkey.

        :raises NoteInvalid: if it is mangled: the key id must be that of the name and key.
        """
        # Base64 may hold a plus, a name may not.
        name, _, rest = vkey.partition("+")
        key_id, _, encoded = rest.partition("+")
        material = _unbase64(encoded)
        if not re.fullmatch("[0-9a-f]{8}", key_id) or not material:
            raise NoteInvalid("malformed verifier key")
        key = cls(name=name, public=material[1:], kind=material[0])
        if key.key_id.hex() != key_id:
            raise NoteInvalid("the key id is not that of the key")
        return key

    def verify(self, text: str, signature: bytes) -> int | None:
        """
        Check a signature, without its key id, of a note text.

        Returns the witness's time in seconds since 1970 for a cosignature, else nothing.

        :raises SignatureInvalid: if it is not this key's signature of the text.
        """
        if len(signature) != _SIGNATURE_BYTES[self.kind]:
            raise SignatureInvalid(f"the signature by {self.name} has the wrong length")
        at = int.from_bytes(signature[:-64], "big") if self.kind == COSIGNATURE else None
        message = text.encode() if at is None else _cosigned(text, at)
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature[-64:], message)
        except (InvalidSignature, ValueError):
            raise SignatureInvalid(f"the signature by {self.name} is wrong") from None
        return at


def _cosigned(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


@dataclass(frozen=True)
class Signer:
    """Signs notes under a name by a callback, so that the private key may lie in a KMS or an HSM."""

    name: str
    public: bytes
    sign: Callable[[bytes], bytes]

    @property
    def verifier(self) -> VerifierKey:
        """Return the public half, for signatures of notes."""
        return VerifierKey(self.name, self.public)

    @property
    def witness(self) -> VerifierKey:
        """Return the public half, for cosignatures."""
        return VerifierKey(self.name, self.public, COSIGNATURE)


def SigningKey(name: str, seed: bytes) -> Signer:  # noqa: N802 - reads as the class it stands for
    """Return the signer of a 32-byte Ed25519 seed. :raises ValueError: if the seed is not 32 bytes."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return Signer(name=name, public=private.public_key().public_bytes_raw(), sign=private.sign)


def sign_note(text: str, *signers: Signer) -> str:
    """
    Return the signed note of ``text``, which ends in a newline.

    :raises NoteInvalid: if the text is empty, lacks the newline or holds control characters.
    """
    if not text.endswith("\n"):
        raise NoteInvalid("a note's text ends in a newline")
    _check_text(text)
    lines = [_line(signer.verifier, signer.sign(text.encode())) for signer in signers]
    return f"{text}\n{''.join(lines)}"


def cosign_note(note: str, witness: Signer, *, at: int) -> str:
    """Return the note with one more line: a witness's cosignature at ``at``, seconds since 1970."""
    text, _ = split_note(note)
    signature = at.to_bytes(8, "big") + witness.sign(_cosigned(text, at))
    return note + _line(witness.witness, signature)


def _line(key: VerifierKey, signature: bytes) -> str:
    return f"{_DASH}{key.name} {base64.b64encode(key.key_id + signature).decode()}\n"


@dataclass(frozen=True)
class SignatureLine:
    """One signature as it stands in a note, not yet checked."""

    name: str
    key_id: bytes
    signature: bytes


def split_note(note: str | bytes) -> tuple[str, tuple[SignatureLine, ...]]:
    """
    Return a note's text and signature lines, checking its form and no signature.

    :raises NoteInvalid: if the form is not exactly that of a signed note, or it has more than 100
        signatures or a megabyte.
    """
    try:
        whole = note.decode("utf-8") if isinstance(note, bytes) else note
        size = len(whole.encode())
    except UnicodeError:
        raise NoteInvalid("a note is UTF-8") from None
    if size > LONGEST_NOTE:
        raise NoteInvalid("the note is too long")
    _check_text(whole)
    # The text may hold empty lines; the last one ends it.
    text, separator, signatures = whole.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise NoteInvalid("a note is a text, an empty line and signatures")
    lines = signatures[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise NoteInvalid("the note has too many signatures")
    return text + "\n", tuple(_parse_line(line) for line in lines)


def _parse_line(line: str) -> SignatureLine:
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not separator:
        raise NoteInvalid("malformed signature line")
    _check_name(name)
    content = _unbase64(encoded)
    if len(content) < 5:
        raise NoteInvalid("malformed signature line")
    return SignatureLine(name=name, key_id=content[:4], signature=content[4:])


@dataclass(frozen=True)
class Verified:
    """A known key whose signature held, and the time it gave if it is a witness."""

    key: VerifierKey
    at: int | None


@dataclass(frozen=True)
class Note:
    """A note that at least one known key signed."""

    text: str
    signatures: tuple[Verified, ...]


def open_note(note: str | bytes, verifiers: Iterable[VerifierKey]) -> Note:
    """
    Return the text of a note and who of ``verifiers`` signed it.

    :raises SignatureInvalid: if a signature under a known name and key id is wrong.
    :raises Unsigned: if no known key signed it.
    :raises NoteInvalid: if it is no note.
    """
    text, lines = split_note(note)
    known: dict[tuple[str, bytes], VerifierKey] = {(key.name, key.key_id): key for key in verifiers}
    signatures: dict[VerifierKey, Verified] = {}
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is not None:
            # Every signature is checked, and of several by one witness the first time counts.
            signatures.setdefault(key, Verified(key=key, at=key.verify(text, line.signature)))
    if not signatures:
        raise Unsigned("no known key signed the note")
    return Note(text=text, signatures=tuple(signatures.values()))


@dataclass(frozen=True)
class Checkpoint:
    """The size and root of the log ``origin`` at one moment: the text that the log's key signs."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        _check_name(self.origin)
        if self.size < 0 or len(self.root) != ROOT_BYTES:
            raise NoteInvalid("malformed checkpoint")

    @property
    def text(self) -> str:
        """Return the note text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """
        Read a note text.

        :raises NoteInvalid: if it is no checkpoint. Extension lines, which C2SP allows and does
            not recommend, are refused: this log writes none.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3] or not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]):
            raise NoteInvalid("malformed checkpoint")
        return cls(origin=lines[0], size=int(lines[1]), root=_unbase64(lines[2]))


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> str:
    """
    Return the signed checkpoint.

    :raises NoteInvalid: if the key has another name than the log: a reader finds it by the origin.
    """
    if signer.name != checkpoint.origin:
        raise NoteInvalid("a log's key bears the name of its origin")
    return sign_note(checkpoint.text, signer)


def open_checkpoint(note: str | bytes, verifiers: Sequence[VerifierKey]) -> tuple[Checkpoint, Note]:
    """
    Return a checkpoint that the log's own key signed, and the note it came in.

    :raises Unsigned: if no known key that bears the origin's name signed it; witnesses do not do.
    :raises NoteInvalid: as ``open_note`` and ``Checkpoint.parse``.
    """
    opened = open_note(note, verifiers)
    checkpoint = Checkpoint.parse(opened.text)
    if not any(s.key.name == checkpoint.origin and s.key.kind == ED25519 for s in opened.signatures):
        raise Unsigned("the checkpoint is not signed by its own log")
    return checkpoint, opened
