"""The one source of identifiers and of randomness that is not key or nonce material."""

from __future__ import annotations

import secrets
import uuid


def new_id() -> uuid.UUID:
    """Return a random version 4 UUID; never a time-ordered one, whose order would tell of the arm."""
    return uuid.UUID(bytes=random_bytes(16), version=4)


def random_bytes(length: int) -> bytes:
    """Return ``length`` bytes from the operating system's generator."""
    return secrets.token_bytes(length)
