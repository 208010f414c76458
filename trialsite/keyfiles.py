"""
Private keys at rest: one key, one file, one line.

    trialsite-key/v1 <alg> <kid> <created, RFC 3339> <32 bytes, base64>

A file that anyone but its owner may read, or whose owner is neither this process's user nor root, is
refused, because a key that others may read is not a secret any more. A file is written once and
never replaced: rotation makes a new key id.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

FORMAT = "trialsite-key/v1"
ALGORITHMS = ("x25519", "ed25519", "hmac-sha256", "aes-256-gcm")
SECRET_BYTES = 32

# Far above any well-formed line, so that a wrong path (a database dump, a device) is not read whole.
_LONGEST_FILE = 1024
_KID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class KeyFileError(Exception):
    """A key file cannot be used; the message names the file and the fault, never its content."""


@dataclass(frozen=True)
class KeyFile:
    """One private or symmetric key; ``secret`` is always 32 bytes and never shown by ``repr``."""

    alg: str
    kid: str
    created: dt.datetime
    secret: bytes = field(repr=False)

    def public_bytes(self) -> bytes:
        """
        Return the raw 32-byte public key.

        :raises KeyFileError: if the key is symmetric and has none.
        """
        derive = _PUBLIC.get(self.alg)
        if derive is None:
            raise KeyFileError(f"Key {self.kid} ({self.alg}) has no public half.")
        return derive(self.secret)


def _x25519_public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _ed25519_public(secret: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


_PUBLIC: dict[str, Callable[[bytes], bytes]] = {"x25519": _x25519_public, "ed25519": _ed25519_public}


def is_kid(text: str) -> bool:
    """Tell whether ``text`` is a well-formed key id: lower-case words joined by single hyphens."""
    return len(text) <= 64 and _KID.fullmatch(text) is not None


def read_key_file(path: str | os.PathLike[str]) -> KeyFile:
    """
    Read one key.

    :raises KeyFileError: if the file is missing, is no regular file, may be read or written by
        anyone but its owner, belongs to another user than this process's or root, or is not exactly
        one well-formed line.
    """
    name = os.fspath(path)
    try:
        # Non-blocking, so that a named pipe put in the file's place is refused and not waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise KeyFileError(f"{name}: {error.strerror}.") from None
    try:
        # The open file is asked, not its name, so that nothing can be put in between.
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{name}: not a regular file.")
        if status.st_uid not in (0, os.geteuid()):
            raise KeyFileError(f"{name}: belongs to user {status.st_uid}, who may read and change it.")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise KeyFileError(f"{name}: mode {mode:04o} lets others read the key; use 0400.")
        return _parse(os.read(handle, _LONGEST_FILE + 1))
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{name}: {error}.") from None
    finally:
        os.close(handle)


def write_key_file(
    path: str | os.PathLike[str], alg: str, kid: str, secret: bytes, created: dt.datetime
) -> KeyFile:
    """
    Write one key to a new file of mode 0400 and return it as it will be read back.

    :raises KeyFileError: if the file exists already or cannot be made.
    :raises ValueError: if the key itself is malformed or ``created`` has no time zone.
    """
    if created.tzinfo is None:
        raise ValueError("created has no time zone")
    stamp = created.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{FORMAT} {alg} {kid} {stamp} {base64.b64encode(secret).decode()}\n".encode()
    key = _parse(line)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    except OSError as error:
        raise KeyFileError(f"{os.fspath(path)}: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # Half a key would block the path for good, since an existing file is never replaced.
        Path(path).unlink()
        raise KeyFileError(f"{os.fspath(path)}: {error.strerror}.") from None
    return key


def _parse(content: bytes) -> KeyFile:
    """Read the line; the messages name the fault and repeat nothing of the content."""
    if len(content) > _LONGEST_FILE or not content.isascii():
        raise ValueError("not a key file")
    fields = content.decode("ascii").split(" ")
    if len(fields) != 5 or fields[0] != FORMAT:
        raise ValueError(f"not a {FORMAT} line")
    _, alg, kid, created, encoded = fields
    if alg not in ALGORITHMS:
        raise ValueError("unknown algorithm")
    if not is_kid(kid):
        raise ValueError("malformed key id")
    return KeyFile(alg=alg, kid=kid, created=_time(created), secret=_secret(encoded))


def _time(text: str) -> dt.datetime:
    try:
        created = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("malformed creation time") from None
    if created.tzinfo is None:
        raise ValueError("creation time has no time zone")
    return created


def _secret(encoded: str) -> bytes:
    try:
        secret = base64.b64decode(encoded.removesuffix("\n"), validate=True)
    except binascii.Error:
        raise ValueError("malformed base64") from None
    # Encoding again catches a missing or doubled line end and base64 with stray bits.
    if base64.b64encode(secret).decode() + "\n" != encoded:
        raise ValueError("not exactly one line of canonical base64")
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"the key is not {SECRET_BYTES} bytes")
    return secret
