"""
A set of keys for an evaluation deployment.

The keys of each process stand in a folder of their own, those of offline people in a folder
outside the data. All belong to one OS user here, so the file modes prove nothing about who may
read them: in a trial each key is made by the one who holds it.
"""

from __future__ import annotations

import datetime as dt
import secrets
from pathlib import Path

from trialsite.audit.notes import VerifierKey
from trialsite.keyfiles import KeyFile, write_key_file
from trialsite.sealing import PublicKey, PublicKeys

PUBLIC_KEYS = "public_keys.json"
SECRET_BYTES = 32

# Key id and algorithm, by the folder of the process that holds the key.
OF_PROCESSES = {
    "masked": (("identity-1", "hmac-sha256"), ("factor-masked-1", "aes-256-gcm")),
    "unmasked": (("code-break-1", "x25519"), ("log-1", "ed25519"), ("factor-unmasked-1", "aes-256-gcm")),
}
OFFLINE = (
    ("auditor-1", "x25519"),
    ("safety-desk-1", "x25519"),
    ("release-1", "x25519"),
    ("release-2", "x25519"),
    ("release-3", "x25519"),
    ("statistician-1", "ed25519"),
    ("emergency-1", "x25519"),
)


def make_keys(*, keys: Path, offline: Path, origin: str, at: dt.datetime) -> None:
    """
    Make the keys of every process under ``keys`` and those of offline people under ``offline``.

    :param origin: the trail's origin line; the log signs under this name.
    :raises FileExistsError: if ``keys`` exists; a key is never replaced.
    """
    keys.mkdir(mode=0o700, parents=True)
    offline.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = {kid: _make(offline, kid, alg, at) for kid, alg in OFFLINE}
    for process, wanted in OF_PROCESSES.items():
        (keys / process).mkdir(mode=0o700)
        made |= {kid: _make(keys / process, kid, alg, at) for kid, alg in wanted}
    # The signer signs checkpoints with the log's key, and holds no other.
    (keys / "signer").mkdir(mode=0o700)
    log = made["log-1"]
    write_key_file(keys / "signer" / "log-1.key", log.alg, log.kid, log.secret, at)
    first, second, third = (_public(made[f"release-{number}"]) for number in (1, 2, 3))
    PublicKeys(
        code_break=_public(made["code-break-1"]),
        auditor=_public(made["auditor-1"]),
        safety_desk=_public(made["safety-desk-1"]),
        release=(first, second, third),
        log=VerifierKey(origin, log.public_bytes()).vkey,
        statistician=VerifierKey(f"{origin}/statistician", made["statistician-1"].public_bytes()).vkey,
        emergency=_public(made["emergency-1"]),
    ).dump(keys / PUBLIC_KEYS)


def _make(folder: Path, kid: str, alg: str, at: dt.datetime) -> KeyFile:
    return write_key_file(folder / f"{kid}.key", alg, kid, secrets.token_bytes(SECRET_BYTES), at)


def _public(key: KeyFile) -> PublicKey:
    return PublicKey(kid=key.kid, alg=key.alg, raw=key.public_bytes())
