"""
The folders, secrets and environments of one evaluation deployment.

Everything lies in the data folder but the offline keys and the accounts' secrets, which stand
beside it. Each process is given the environment that its face needs, and nothing of the others.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from trialsite.deployment.postgres import database_url
from trialsite.deployment.roles import LOGINS

ROOT = Path(__file__).resolve().parent.parent.parent
DATABASE = "trialsite"
BROKER = "memory://"
FACES = ("masked", "unmasked")
# The login of each process, and the private keys that it holds (file names in its own folder).
PROCESSES: dict[str, str] = {
    "masked": "irt_masked",
    "unmasked": "irt_unmasked",
    "signer": "irt_unmasked",
    "worker": "irt_worker",
    "migrator": "irt_migrator",
}
KEYS: dict[str, dict[str, str]] = {
    "masked": {"IDENTITY_KEY_FILE": "identity-1.key", "FACTOR_KEY_FILE": "factor-masked-1.key"},
    "unmasked": {
        "CODE_BREAK_KEY_FILE": "code-break-1.key",
        "LOG_KEY_FILE": "log-1.key",
        "FACTOR_KEY_FILE": "factor-unmasked-1.key",
    },
    "signer": {"LOG_KEY_FILE": "log-1.key"},
}
# What a process takes over from whoever started the service: how to find programs, and no setting.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")


class FolderUnusable(RuntimeError):
    """A folder cannot be made, read or written, or holds what is not ours."""


@dataclass
class Evaluation:
    """One evaluation deployment in the folder ``data``."""

    data: Path
    trial_file: Path
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.data.absolute()

    @property
    def offline(self) -> Path:
        """Where the offline keys, the list's seed and the accounts' secrets are: outside the data."""
        return self.data.with_name(f"{self.data.name}-offline")

    @property
    def keys(self) -> Path:
        return self.data / "keys"

    @property
    def public_keys(self) -> Path:
        return self.keys / "public_keys.json"

    @property
    def sealed_list(self) -> Path:
        return self.data / "list"

    @property
    def users(self) -> Path:
        return self.offline / "evaluation-users.json"

    @property
    def is_new(self) -> bool:
        return not (self.data / "secrets.json").exists()

    def log(self, process: str) -> Path:
        return self.data / "logs" / f"{process}.log"

    @property
    def lock(self) -> Path:
        """Held by the service that runs on the data; also the sign that the folder is a deployment's."""
        return self.data / "serve.lock"

    def make_data_folder(self) -> None:
        """
        Make the data folder, or take one that is empty or a deployment's already.

        :raises FolderUnusable: when it holds something else.
        """
        if not self.data.exists():
            self.data.mkdir(mode=0o711, parents=True)  # PostgreSQL's own user passes through
        known = self.lock.exists() or (self.data / "set-up.json").exists()
        if not known and any(self.data.iterdir()):
            message = f"{self.data} is not empty and no deployment's: give a new folder, or an empty one."
            raise FolderUnusable(message)

    def make_folders(self) -> None:
        """Make the folders, closed to everyone else, and the secrets that stay with them."""
        for name in ("logs", "mail", "checkpoints"):
            (self.data / name).mkdir(mode=0o700, exist_ok=True)
        if self.is_new:
            self._set_the_past_aside()
            self.offline.mkdir(mode=0o700)
            write_private(
                self.data / "secrets.json",
                {
                    "deployment": f"evaluation-{secrets.token_hex(4)}.trialsite.local",
                    "passwords": {login: secrets.token_urlsafe(32) for login in LOGINS},
                    "secret_keys": {process: secrets.token_urlsafe(48) for process in PROCESSES},
                },
            )

    def _set_the_past_aside(self) -> None:
        """Keep the offline folder of a deployment whose data were deleted: keys are never destroyed."""
        if self.offline.exists():
            number = 1
            while (aside := self.offline.with_name(f"{self.offline.name}.{number}")).exists():
                number += 1
            self.offline.rename(aside)

    @property
    def secrets(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.data / "secrets.json").read_text())
        return content

    def database_url(self, login: str) -> str:
        return database_url(
            port=self.ports["postgres"],
            database=DATABASE,
            login=login,
            password=self.secrets["passwords"][login],
        )

    def environment(self, process: str) -> dict[str, str]:
        """Return the whole environment of a process: what its face needs and no more."""
        held = self.secrets
        keys = {name: str(self.keys / process / file) for name, file in KEYS.get(process, {}).items()}
        variables = {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "trialsite.settings",
            "TRIALSITE_FACE": process,
            "TRIALSITE_EVALUATION": "1",
            "TRIALSITE_DEPLOYMENT": held["deployment"],
            "TRIAL_FILE": str(self.trial_file),
            "DATABASE_URL": self.database_url(PROCESSES[process]),
            "SECRET_KEY": held["secret_keys"][process],
            "PUBLIC_KEYS_FILE": str(self.public_keys),
            **keys,
        }
        if process in ("unmasked", "signer"):
            variables["CHECKPOINT_FILE"] = str(self.data / "checkpoints" / "checkpoint.note")
        if process == "worker":
            variables |= {"BROKER_URL": BROKER, "MAIL_DIR": str(self.data / "mail")}
        return variables


def write_private(path: Path, content: object) -> None:
    """Write JSON that only its owner may read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def one_time_code(secret: str) -> str:
    """Return the code of this moment for a base32 secret, as an authenticator app computes it (RFC 6238)."""
    totp = TOTP(base64.b32decode(secret), 6, SHA1(), 30, enforce_key_length=False)  # noqa: S303
    return totp.generate(int(time.time())).decode()
