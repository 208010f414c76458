"""
The secret files of a compose deployment: passwords, database addresses and Django's secrets.

One secret, one file of mode 0400, mounted into the one container that needs it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import quote

from trialsite.deployment.roles import LOGINS

DATABASE = "trialsite"
SECRET_KEYS = ("masked", "unmasked", "signer", "worker")


def make_secrets(out: Path, *, host: str, port: int) -> None:
    """
    Write the secret files into the new folder ``out``.

    :param host: where PostgreSQL is, seen from the containers.
    :raises FileExistsError: if ``out`` exists; a secret is never replaced.
    """
    out.mkdir(mode=0o700, parents=True)
    superuser = secrets.token_urlsafe(32)
    _write(out / "postgres_password", superuser)
    _write(out / "superuser_database_url", _url("postgres", superuser, host, port, "postgres"))
    for login in LOGINS:
        url = _url(login, secrets.token_urlsafe(32), host, port, DATABASE)
        _write(out / f"{login.removeprefix('irt_')}_database_url", url)
    for name in SECRET_KEYS:
        _write(out / f"{name}_secret_key", secrets.token_urlsafe(48))


def _url(login: str, password: str, host: str, port: int, database: str) -> str:
    return f"postgresql://{login}:{quote(password, safe='')}@{host}:{port}/{database}"


def _write(path: Path, text: str) -> None:
    # Without a line end: FILE settings are read whole.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(text)


def give_to(folder: Path, *, uid: int) -> None:
    """Make ``uid`` the owner of the folder's files, so that the containers' user can read them."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, -1)
