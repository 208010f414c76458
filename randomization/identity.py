"""
Who a person is, without saying it: a keyed hash of the hospital's own identifier.

The identifier itself is never stored. HMAC-SHA256 under the identity key over
``<study>|<normalized identifier>`` makes it useless outside this deployment and this trial: without
the key, nobody can try the few million identifiers that a hospital has. The site is no part of it,
so that a person who is moved to another hospital is still the same person; the identifier should
therefore be one that the person keeps, such as the number of the identity card.

Normalization, so that a number typed twice is one number: Unicode NFKC (full-width digits become
digits), case folded, and everything that is neither a letter nor a digit left out.
"""

from __future__ import annotations

import hmac
import unicodedata
from functools import cache

from django.conf import settings

from trialsite.keyfiles import read_key_file

LONGEST_IDENTIFIER = 64


def normalized(local_identifier: str) -> str:
    """Return the identifier's letters and digits in their one form; "" where it has none."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", local_identifier).casefold())
    return "".join(character for character in folded if character.isalnum())


def identity_hash(local_identifier: str, *, study: str) -> str:
    """
    Return the keyed hash, 64 hex characters, that stands for the person in ``study``.

    :raises trialsite.keyfiles.KeyFileError: if this process has no identity key.
    """
    message = f"{study}|{normalized(local_identifier)}".encode()
    return hmac.digest(_identity_key(settings.IDENTITY_KEY_FILE), message, "sha256").hex()


@cache
def _identity_key(path: str) -> bytes:
    return read_key_file(path).secret
