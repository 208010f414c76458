"""Roles that one person may never hold together, and two people for every grant."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.contrib.auth.hashers import check_password
from django.core.management import CommandError, call_command
from knox.models import AuthToken

from tests.people import NOON, PASSWORD, a_code, a_factor, a_person, a_site, a_trail
from trialsite.accounts.access import NotPermitted
from trialsite.accounts.models import SecondFactor, User
from trialsite.accounts.roles import Role
from trialsite.accounts.services import people
from trialsite.accounts.services.factors import Purpose, check_code
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.services import real_now

pytestmark = pytest.mark.django_db


def grant(user: User, role: Role, **who: object) -> None:
    two = {"by": "system:tests", "approved_by": "system:tests", **who}
    people.grant_role(user=user, role=role, site=None, at=NOON, **two)  # type: ignore[arg-type]


def test_nobody_holds_roles_of_both_sides() -> None:
    monitor = a_person("mona", Role.MONITOR)

    with pytest.raises(people.RolesConflict):
        grant(monitor, Role.STATISTICIAN)


def test_whoever_was_unmasked_stays_so_after_the_role_has_ended() -> None:
    once = a_person("stan", Role.STATISTICIAN)
    people.end_role(user=once, role=Role.STATISTICIAN, site=None, by="system:tests", at=NOON)

    with pytest.raises(people.RolesConflict):
        grant(once, Role.MONITOR)


def test_a_masked_role_that_has_ended_leaves_the_way_open() -> None:
    once = a_person("mona", Role.MONITOR)
    people.end_role(user=once, role=Role.MONITOR, site=None, by="system:tests", at=NOON)

    grant(once, Role.STATISTICIAN)

    assert [held.role for held in once.roles] == ["statistician"]


def test_a_role_takes_two_people_neither_of_whom_gets_it() -> None:
    alma, bert, mona = a_person("alma", Role.ADMINISTRATOR), a_person("bert"), a_person("mona")

    for by, second, user in ((alma, alma, mona), (alma, mona, mona), (alma, bert, alma)):
        with pytest.raises(people.SecondPersonNeeded):
            grant(user, Role.MONITOR, by=by, approved_by=second)
    grant(mona, Role.MONITOR, by=alma, approved_by=bert)

    held = mona.roles[0]
    assert (held.granted_by, held.approved_by) == ("alma", "bert")


def test_only_an_administrator_changes_accounts() -> None:
    ines, nora = a_person("ines", Role.INVESTIGATOR), a_person("nora")

    with pytest.raises(NotPermitted):
        people.set_password(user=nora, password=PASSWORD, by=ines, at=NOON)


def test_a_site_role_takes_a_site_and_no_other_does() -> None:
    user = a_person("ines")

    with pytest.raises(people.RoleNeedsSite):
        grant(user, Role.INVESTIGATOR)
    with pytest.raises(people.RoleNeedsSite):
        people.grant_role(
            user=user,
            role=Role.AUDITOR,
            site=a_site(),
            by="system:tests",
            approved_by="system:tests",
            at=NOON,
        )


@pytest.mark.parametrize("password", ["2short", "x" * 129, "1q2w3e4r5t6y7u8i", "alexander-the-second"])
def test_a_weak_password_is_refused(password: str) -> None:
    a_trail()

    with pytest.raises(people.PasswordTooWeak) as refused:
        people.create_user(
            username="alexander-the-second",
            full_name="",
            email="",
            password=password,
            by="system:tests",
            at=NOON,
        )

    assert password not in str(refused.value)


def test_every_change_is_on_the_trail_without_a_secret(factor_keys: dict[str, str]) -> None:
    user = a_person("ines", Role.INVESTIGATOR)
    secret = a_factor(user)
    call_command("issue_token", "ines", stdout=StringIO())
    people.deactivate_user(user=user, by="system:tests", at=NOON)

    events = [json.loads(bytes(entry.body)) for entry in Entry.objects.filter(kind=Kind.ACCOUNT_CHANGED)]
    changes = [event["data"]["change"] for event in events]
    assert changes == ["created", "role_granted", "second_factor_enrolled", "token_issued", "deactivated"]
    assert {event["about"]["user"] for event in events} == {str(user.pk)}
    for hidden in (PASSWORD, secret, user.password, AuthToken.objects.get().digest):
        assert hidden not in json.dumps(events)


def a_signature_file(folder: Path, password: str, otp: str) -> str:
    file = folder / "signature"
    file.write_text(f"{password}\n{otp}\n")
    return str(file)


def test_a_command_needs_the_signature_of_an_administrator(
    factor_keys: dict[str, str], tmp_path: Path
) -> None:
    alma = a_person("alma", Role.ADMINISTRATOR)
    nora = a_person("nora")
    secret = a_factor(alma)

    with pytest.raises(CommandError, match="Name an active person"):
        call_command("issue_token", "nora")
    forged = a_signature_file(tmp_path, PASSWORD, "000000")
    with pytest.raises(CommandError, match="signature_rejected"):
        call_command("issue_token", "nora", by="alma", signature_file=forged)
    printed = StringIO()
    signed = a_signature_file(tmp_path, PASSWORD, a_code(secret, real_now()))
    call_command("issue_token", "nora", by="alma", signature_file=signed, stdout=printed)

    assert printed.getvalue().startswith("irt_")
    assert AuthToken.objects.get().user == nora


def test_the_printed_uri_enrols_an_authenticator(factor_keys: dict[str, str]) -> None:
    a_person("ines", Role.INVESTIGATOR)
    printed = StringIO()

    call_command("enrol_second_factor", "ines", stdout=printed)

    assert printed.getvalue().startswith("otpauth://totp/")
    assert SecondFactor.objects.get().face == "unmasked"


def test_evaluation_users_are_one_of_each_role_and_a_second_site(
    factor_keys: dict[str, str], tmp_path: Path
) -> None:
    a_trail()
    a_site("PUREN")
    a_site("HANKOU")
    out = tmp_path / "users.json"

    call_command("create_evaluation_users", out=out, stdout=StringIO())
    written = out.read_text()
    call_command("create_evaluation_users", out=out, stdout=StringIO())

    users = json.loads(written)
    assert out.read_text() == written
    assert out.stat().st_mode & 0o777 == 0o600
    assert len(users) == User.objects.count() == 19
    assert users["second_preparer"]["role"] == "preparer"
    assert users["investigator_2"]["site"] == "HANKOU"
    one = User.objects.get(username="investigator")
    assert check_password(users["investigator"]["password"], one.password)
    assert one.email == "investigator@puren.example"
    now = real_now()
    otp = a_code(users["investigator"]["totp_secret"], now)
    assert check_code(user=one, otp=otp, purpose=Purpose.UNBLINDING, at=now)


def test_an_interrupted_start_gives_the_evaluation_users_new_secrets(
    factor_keys: dict[str, str], tmp_path: Path
) -> None:
    a_trail()
    a_site("PUREN")
    a_site("HANKOU")
    first, second = tmp_path / "first.json", tmp_path / "second.json"

    call_command("create_evaluation_users", out=first, stdout=StringIO())
    call_command("create_evaluation_users", out=second, stdout=StringIO())

    before, after = json.loads(first.read_text()), json.loads(second.read_text())
    assert before["nurse"]["token"] != after["nurse"]["token"]
    assert AuthToken.objects.count() == 19


def test_a_production_deployment_has_no_evaluation_users(settings: LazySettings, tmp_path: Path) -> None:
    settings.EVALUATION = False

    with pytest.raises(CommandError, match="evaluation deployments only"):
        call_command("create_evaluation_users", out=tmp_path / "users.json")
