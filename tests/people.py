"""People, sites and a trail with its first event, for tests that call services or the interface."""

from __future__ import annotations

import base64
import datetime as dt
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import LazySettings
from django.test import Client

from trialsite.accounts.models import Site, User
from trialsite.accounts.roles import SITE_ROLES, Role
from trialsite.accounts.services import factors, people, tokens
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Head
from trialsite.audit.services import genesis, record
from trialsite.clock.models import TrialClock
from trialsite.keyfiles import write_key_file

NOON = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)
PASSWORD = "a-long-password-of-the-tests"


def a_trail() -> None:
    """Start the trail and the trial clock, once per database."""
    TrialClock.objects.get_or_create(id=True)
    if not Head.objects.get().size:
        data = {"origin": "tests.local/NCT04293692", "study": "NCT04293692", "evaluation": True}
        record(kind=Kind.GENESIS, by="system:tests", at=NOON, about={}, data=data)
    genesis.cache_clear()


def a_site(code: str = "PUREN") -> Site:
    return Site.objects.get_or_create(
        code=code, defaults={"name": f"{code} Hospital", "time_zone": "Asia/Shanghai"}
    )[0]


def a_person(username: str = "ines", *roles: Role, site: str = "PUREN") -> User:
    """A person of those roles, at one site where a role needs one."""
    a_trail()
    user = people.create_user(
        username=username,
        full_name=f"Person {username}",
        email="",
        password=PASSWORD,
        by="system:tests",
        at=NOON,
    )
    for role in roles:
        where = a_site(site) if role in SITE_ROLES else None
        people.grant_role(
            user=user, role=role, site=where, by="system:tests", approved_by="system:tests", at=NOON
        )
    return user


def a_factor(user: User) -> str:
    """Enrol a second factor and return its secret."""
    return factors.enrol(user=user, by="system:tests", at=NOON)


def a_code(secret: str, at: dt.datetime) -> str:
    """Return the one-time code at a real time, as an authenticator computes it."""
    totp = TOTP(base64.b32decode(secret), 6, SHA1(), 30)  # noqa: S303 - RFC 6238
    return totp.generate(int(at.timestamp())).decode()


def a_client(user: User | None = None, **headers: str) -> Client:
    """A REST client with a token of that person, if any."""
    if user is None:
        return Client(headers=headers)
    token = tokens.issue_token(user=user, by="system:tests", at=NOON)
    return Client(headers={"Authorization": f"Bearer {token}", **headers})


@pytest.fixture
def factor_keys(settings: LazySettings, tmp_path: Path) -> dict[str, str]:
    """The factor keys of both faces, both given to this process."""
    paths = {}
    for face in ("masked", "unmasked"):
        paths[face] = str(tmp_path / f"factor-{face}.key")
        write_key_file(paths[face], "aes-256-gcm", f"factor-{face}-1", os.urandom(32), NOON)
    settings.FACTOR_KEY_FILE, settings.MASKED_FACTOR_KEY_FILE = paths["unmasked"], paths["masked"]
    return paths
