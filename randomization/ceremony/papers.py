"""
What goes with the slots: the seed for the release officers, and the reserved lists for the pharmacy.

Formats ``irt-seed/1`` and ``irt-emergency/1``, docs/specs/randomization-list.md. Everything here is
sealed; lengths tell a multiple of 4096 bytes and no more.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from randomization.domain.strata import emergency_site
from trialsite.audit.canonical import canonical
from trialsite.sealing import NONCE_BYTES, PublicKey, padded_document, seal, seal_pairwise

SEED_TITLE = "irt-seed/1"
EMERGENCY_TITLE = "irt-emergency/1"


def seed_info(*, study: str, root: bytes) -> bytes:
    """Return what binds the officers' sealed seed to its list."""
    return b"irt/seed/v1|" + canonical({"study": study, "root": root.hex()})


def reveal_key(seed: bytes, *, root: bytes) -> bytes:
    """Return the key under which the specification lies beside its seed."""
    return HKDF(algorithm=SHA256(), length=32, salt=root, info=b"irt/reveal/v1").derive(seed)


def reveal_place(*, study: str, root: bytes) -> bytes:
    """Return what the sealed specification is bound to."""
    return canonical({"study": study, "root": root.hex()})


def sealed_seed(
    seed: bytes, reveal: Mapping[str, Any], *, study: str, root: bytes, officers: Sequence[PublicKey]
) -> dict[str, Any]:
    """
    Return ``seed.json``: the seed for any two of the three officers, and with it what makes the list.

    :param reveal: ``spec``; ``arms`` of a list that was made elsewhere; ``seed0`` if a beacon was mixed in.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    key, place = reveal_key(seed, root=root), reveal_place(study=study, root=root)
    revealed = nonce + AESGCM(key).encrypt(nonce, padded_document(reveal), place)
    blobs = seal_pairwise(seed, officers, info=seed_info(study=study, root=root))
    return {
        "v": SEED_TITLE,
        "study": study,
        "root": root.hex(),
        "officers": [officer.kid for officer in officers],
        "sealed": {pair: base64.b64encode(blob).decode() for pair, blob in blobs.items()},
        "revealed": base64.b64encode(revealed).decode(),
    }


def emergency_info(*, study: str, site: str, root: bytes) -> bytes:
    """Return what binds a reserved list to its site and to the list that it is a part of."""
    return b"irt/emergency/v1|" + canonical({"study": study, "site": site, "root": root.hex()})


def emergency_sheet(
    rows: Sequence[Sequence[Any]],
    *,
    study: str,
    stratum: str,
    root: bytes,
    pharmacy: PublicKey,
) -> dict[str, Any]:
    """
    Return ``emergency/SITE.json``: the arms of a site's reserved list, for its unmasked pharmacy alone.

    :param rows: slot, randomization number, arm, treatment code and the leaf's salt (hex) of each slot.
    """
    site = emergency_site(stratum)
    info = emergency_info(study=study, site=site, root=root)
    sealed = seal(pharmacy, padded_document({"rows": [list(row) for row in rows]}), info=info)
    return {
        "v": EMERGENCY_TITLE,
        "study": study,
        "site": site,
        "stratum": stratum,
        "root": root.hex(),
        "kid": pharmacy.kid,
        "sealed": base64.b64encode(sealed).decode(),
    }
