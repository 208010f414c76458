"""One-time codes: right for ninety seconds, once for each purpose, on one face."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from tests.people import NOON, PASSWORD, a_code, a_factor, a_person, a_site
from trialsite.accounts.models import SecondFactor, User
from trialsite.accounts.roles import Role
from trialsite.accounts.services import people
from trialsite.accounts.services.factors import FactorKeyMissing, Purpose, RoleComesFirst, check_code
from trialsite.accounts.services.signatures import SignatureRejected, verify_signature

STEP = dt.timedelta(seconds=30)


@pytest.fixture
def ines(db: None, factor_keys: dict[str, str]) -> User:
    return a_person("ines", Role.INVESTIGATOR)


@pytest.mark.parametrize(("steps", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_is_right_one_step_either_way(ines: User, steps: int, right: bool) -> None:
    otp = a_code(a_factor(ines), NOON + steps * STEP)

    assert check_code(user=ines, otp=otp, purpose=Purpose.SESSION, at=NOON) is right


def test_rfc_6238s_own_code_is_right(ines: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_bytes", lambda length: b"12345678901234567890"[:length])
    a_factor(ines)

    # RFC 6238 appendix B, SHA-1, 59 seconds: 94287082, of which the last six digits.
    at = dt.datetime.fromtimestamp(59, dt.UTC)
    assert check_code(user=ines, otp="287082", purpose=Purpose.SESSION, at=at)


def test_a_code_may_be_typed_as_apps_show_it_in_two_halves(ines: User) -> None:
    otp = a_code(a_factor(ines), NOON)

    assert check_code(user=ines, otp=f" {otp[:3]} {otp[3:]}", purpose=Purpose.SESSION, at=NOON)


def test_a_code_works_once_for_each_purpose(ines: User) -> None:
    otp = a_code(a_factor(ines), NOON)

    tries = [
        check_code(user=ines, otp=otp, purpose=purpose, at=NOON + drift * STEP)
        for purpose, drift in [(Purpose.SESSION, 0), (Purpose.SESSION, 1), (Purpose.UNBLINDING, 0)]
    ]

    assert tries == [True, False, True]


@pytest.mark.parametrize("otp", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "\x00"])
def test_what_is_no_code_is_wrong(ines: User, otp: str) -> None:
    a_factor(ines)

    assert not check_code(user=ines, otp=otp, purpose=Purpose.SESSION, at=NOON)


@pytest.mark.parametrize(
    ("password", "otp", "active", "enrolled"),
    [
        ("wrong", None, True, True),
        (PASSWORD, "000000", True, True),
        (PASSWORD, None, False, True),
        (PASSWORD, None, True, False),
        ("", "", True, True),
    ],
)
def test_a_rejected_signature_says_the_same_whatever_was_wrong(
    ines: User, password: str, otp: str | None, active: bool, enrolled: bool
) -> None:
    code = a_code(a_factor(ines), NOON)
    ines.is_active = active
    if not enrolled:
        SecondFactor.objects.all().delete()

    with pytest.raises(SignatureRejected) as rejected:
        verify_signature(
            user=ines,
            password=password,
            otp=code if otp is None else otp,
            purpose=Purpose.UNBLINDING,
            at_real=NOON,
        )

    assert str(rejected.value) == "The password or the one-time code was not accepted."
    assert rejected.value.status == 403


def test_a_signature_with_a_wrong_password_leaves_the_code_unused(ines: User) -> None:
    otp = a_code(a_factor(ines), NOON)

    for password in ("wrong", PASSWORD):
        try:
            verify_signature(user=ines, password=password, otp=otp, purpose=Purpose.UNBLINDING, at_real=NOON)
        except SignatureRejected:
            assert password == "wrong"


def test_twenty_parallel_tries_of_one_code_work_once(a_fresh_database, factor_keys: dict[str, str]) -> None:
    ines = a_person("ines", Role.INVESTIGATOR)
    otp = a_code(a_factor(ines), NOON)
    together = threading.Barrier(20)

    def sign(_: int) -> bool:
        together.wait()
        try:
            with transaction.atomic():
                verify_signature(
                    user=ines, password=PASSWORD, otp=otp, purpose=Purpose.UNBLINDING, at_real=NOON
                )
        except SignatureRejected:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(20) as pool:
        accepted = list(pool.map(sign, range(20)))

    assert accepted.count(True) == 1


def test_a_secret_is_sealed_to_its_person_face_and_key(ines: User, settings: LazySettings) -> None:
    olga = a_person("olga", Role.INVESTIGATOR)
    secret = a_factor(ines)
    stored = SecondFactor.objects.get(user=ines)

    SecondFactor.objects.create(
        user=olga, face="unmasked", sealed_secret=stored.sealed_secret, enrolled_at=NOON
    )

    assert secret.encode() not in bytes(stored.sealed_secret)
    with pytest.raises(FactorKeyMissing):
        check_code(user=olga, otp=a_code(secret, NOON), purpose=Purpose.SESSION, at=NOON)


def test_the_masked_face_cannot_check_an_investigators_code(ines: User, settings: LazySettings) -> None:
    otp = a_code(a_factor(ines), NOON)
    settings.FACTOR_KEY_FILE, settings.MASKED_FACTOR_KEY_FILE = settings.MASKED_FACTOR_KEY_FILE, ""

    assert not check_code(user=ines, otp=otp, purpose=Purpose.MASKED_SIGN_IN, at=NOON)
    with pytest.raises(FactorKeyMissing):
        check_code(user=ines, otp=otp, purpose=Purpose.UNBLINDING, at=NOON)


def test_a_factor_of_the_masked_face_signs_nothing_on_the_unmasked_one(db: None, factor_keys) -> None:
    nurse = a_person("nora", Role.NURSE)
    otp = a_code(a_factor(nurse), NOON)

    assert SecondFactor.objects.get().face == "masked"
    assert not check_code(user=nurse, otp=otp, purpose=Purpose.UNBLINDING, at=NOON)
    assert check_code(user=nurse, otp=otp, purpose=Purpose.MASKED_SIGN_IN, at=NOON)


def test_a_factor_is_void_once_roles_moved_its_person_to_the_other_face(db: None, factor_keys) -> None:
    nora = a_person("nora", Role.NURSE)
    otp = a_code(a_factor(nora), NOON)
    people.grant_role(
        user=nora,
        role=Role.INVESTIGATOR,
        site=a_site(),
        by="system:tests",
        approved_by="system:tests",
        at=NOON,
    )

    assert not check_code(user=nora, otp=otp, purpose=Purpose.COMMAND, at=NOON)
    assert not check_code(user=nora, otp=otp, purpose=Purpose.MASKED_SIGN_IN, at=NOON)


def test_a_factor_comes_after_a_role(db: None, factor_keys) -> None:
    with pytest.raises(RoleComesFirst):
        a_factor(a_person())
