"""The people of an evaluation deployment: one for each role, at two sites where roles need one."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import TypedDict

from trialsite.accounts.models import RoleGrant, Site, User
from trialsite.accounts.roles import Role
from trialsite.accounts.services import factors, people, tokens

BY = "system:evaluation"
PASSWORD_BYTES = 18
FIRST_SITE, SECOND_SITE = "PUREN", "HANKOU"
# Username -> role and site. Named for what they do, so that an example reads by itself.
PEOPLE: dict[str, tuple[Role, str | None]] = {
    "investigator": (Role.INVESTIGATOR, FIRST_SITE),
    "pharmacist": (Role.PHARMACIST, FIRST_SITE),
    "nurse": (Role.NURSE, FIRST_SITE),
    "outcome_assessor": (Role.OUTCOME_ASSESSOR, FIRST_SITE),
    "monitor": (Role.MONITOR, None),
    "study_manager": (Role.STUDY_MANAGER, None),
    "preparer": (Role.PREPARER, FIRST_SITE),
    "second_preparer": (Role.PREPARER, FIRST_SITE),
    "statistician": (Role.STATISTICIAN, None),
    "safety_officer": (Role.SAFETY_OFFICER, None),
    "emergency_desk": (Role.EMERGENCY_DESK, None),
    "auditor": (Role.AUDITOR, None),
    "officer_1": (Role.RELEASE_OFFICER, None),
    "officer_2": (Role.RELEASE_OFFICER, None),
    "officer_3": (Role.RELEASE_OFFICER, None),
    "administrator": (Role.ADMINISTRATOR, None),
    "investigator_2": (Role.INVESTIGATOR, SECOND_SITE),
    "preparer_2": (Role.PREPARER, SECOND_SITE),
    "second_preparer_2": (Role.PREPARER, SECOND_SITE),
}


class EvaluationUser(TypedDict):
    """One member of the ready file's ``users``."""

    token: str
    password: str
    totp_secret: str
    role: str
    site: str | None


def create_users(*, at: dt.datetime, key_files: Sequence[str]) -> dict[str, EvaluationUser]:
    """
    Make the people and return their secrets, which are kept nowhere else.

    People who are there already (a start that was interrupted) get new secrets.

    :param key_files: the factor keys of both faces.
    :raises Site.DoesNotExist: if the trial file, which names the sites, was not loaded.
    """
    return {
        username: _secrets_of(username, role=role, site=site, at=at, key_files=key_files)
        for username, (role, site) in PEOPLE.items()
    }


def _secrets_of(
    username: str, *, role: Role, site: str | None, at: dt.datetime, key_files: Sequence[str]
) -> EvaluationUser:
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    user = _user(username, password=password, at=at)
    where = Site.objects.get(code=site) if site else None
    if not RoleGrant.objects.filter(user=user, role=role.value, site=where, ended_at=None).exists():
        people.grant_role(user=user, role=role, site=where, by=BY, approved_by=BY, at=at)
    return {
        "token": tokens.issue_token(user=user, by=BY, at=at),
        "password": password,
        "totp_secret": factors.enrol(user=user, by=BY, at=at, key_files=key_files),
        "role": role.value,
        "site": site,
    }


def _user(username: str, *, password: str, at: dt.datetime) -> User:
    user = User.objects.filter(username=username).first()
    if user:
        tokens.revoke_tokens(user=user, by=BY, at=at)
        people.set_password(user=user, password=password, by=BY, at=at)
        return user
    email = f"{username}@puren.example"
    full_name = username.replace("_", " ").capitalize()
    return people.create_user(
        username=username, full_name=full_name, email=email, password=password, by=BY, at=at
    )
