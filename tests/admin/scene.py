"""
A small trial with a record of every kind, for the admin's tests.

Whatever the admin must not show holds a canary: a text or number that occurs nowhere else.
"""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import re
import uuid
from dataclasses import dataclass
from typing import Any

from axes.models import AccessAttempt
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.contrib.auth.hashers import make_password
from django.test import Client
from knox.models import AuthToken

from randomization import models as randomization
from supply import models as supply
from trialsite.accounts.models import RoleGrant, Site, User, WorkSession
from trialsite.accounts.roles import Role
from trialsite.accounts.services import factors
from trialsite.api.models import IdempotentRequest
from trialsite.audit.kinds import Kind
from trialsite.audit.services import record
from trialsite.outbox.models import Message

NOON = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)
PASSWORD = "a-long-password-of-the-tests"
CANARIES = (
    "CANARY",
    base64.b64encode(b"CANARY").decode().rstrip("="),
    b"CANARY".hex(),
    "90173",  # the list's length
    "70412",  # the next slot
    "70411",  # a position on the list
    "60913",  # a position in the pool of kit numbers
    "md5$",  # a password's digest
)
_addresses = itertools.count(1)


@dataclass(frozen=True)
class Scene:
    """What was made, by model label."""

    records: dict[str, Any]
    secrets: dict[str, str]

    def person(self, username: str) -> User:
        return User.objects.get(username=username)

    def code(self, username: str, at: dt.datetime | None = None) -> str:
        """Return the person's one-time code at a real time."""
        moment = at or dt.datetime.now(dt.UTC)
        totp = TOTP(base64.b32decode(self.secrets[username]), 6, SHA1(), 30)  # noqa: S303 - what RFC 6238 apps speak
        return totp.generate(int(moment.timestamp())).decode()

    def credentials(self, person: str, **changes: str) -> dict[str, str]:
        given = {"username": person, "password": PASSWORD, "otp": self.code(person)}
        return given | changes


def a_person(username: str, *roles: Role, site: Site | None = None, superuser: bool = False) -> User:
    person = User.objects.create(
        username=username,
        full_name=f"Person {username}",
        email=f"{username}@example.org",
        password=make_password(PASSWORD),
        is_superuser=superuser,
        created_at=NOON,
    )
    for role in roles:
        RoleGrant.objects.create(
            user=person, role=role, site=site, granted_at=NOON, granted_by="system", approved_by="system"
        )
    return person


def a_browser() -> Client:
    """Return a browser at an address of its own, so that one lock-out does not reach another."""
    return Client(REMOTE_ADDR=f"192.0.2.{next(_addresses) % 250 + 1}")


def signed_in(scene: Scene, username: str) -> Client:
    browser = a_browser()
    answer = browser.post("/admin/login/", scene.credentials(username))
    assert answer.status_code == 302, answer.content
    return browser


def text_of(answer: Any) -> str:
    return str(answer.content, "utf-8")


def rows_in(answer: Any) -> int:
    """Return how many records a list page shows."""
    return len(re.findall(r'<tr><t[hd] class="field-', text_of(answer)))


def a_scene() -> Scene:
    """Make the people, then one record of every model, secret ones too."""
    puren = Site.objects.create(code="PUREN", name="Puren Hospital", time_zone="Asia/Shanghai")
    Site.objects.create(code="HANKOU", name="Hankou Hospital", time_zone="Asia/Shanghai")
    people = {
        "monitor": a_person("monitor", Role.MONITOR),
        "study_manager": a_person("study_manager", Role.STUDY_MANAGER),
        "administrator": a_person("administrator", Role.ADMINISTRATOR),
        "superuser": a_person("superuser", Role.ADMINISTRATOR, superuser=True),
        "investigator": a_person("investigator", Role.INVESTIGATOR, site=puren),
        "pharmacist": a_person("pharmacist", Role.PHARMACIST, site=puren),
        "investigating_superuser": a_person(
            "investigating_superuser", Role.INVESTIGATOR, site=puren, superuser=True
        ),
        "preparer": a_person("preparer", Role.PREPARER, site=puren),
        "preparing_superuser": a_person("preparing_superuser", Role.PREPARER, site=puren, superuser=True),
        "once_unmasked_superuser": a_person("once_unmasked_superuser", Role.MONITOR, superuser=True),
    }
    RoleGrant.objects.create(
        user=people["once_unmasked_superuser"], role=Role.PREPARER, site=puren, granted_at=NOON,
        granted_by="system", approved_by="system", ended_at=NOON,
    )  # fmt: skip
    records: dict[str, Any] = {"accounts.Site": puren, "accounts.User": people["investigator"]}
    records["accounts.RoleGrant"] = RoleGrant.objects.get(user=people["monitor"])
    _trial(records, people["investigator"])
    _records_of_the_participant(records, people["investigator"])
    _treatment(records, people["investigator"])
    _unmasked_side(records, people["preparer"])
    _sign_in_leftovers(records, people["monitor"])
    return Scene(records=records, secrets={})


def enrol_everybody(scene: Scene) -> None:
    """Give every person a second factor, as the command does; this process has both keys."""
    for person in User.objects.all():
        scene.secrets[person.username] = factors.enrol(user=person, by="system:tests", at=NOON)


def _trial(records: dict[str, Any], by: User) -> None:
    version = randomization.TrialVersion.objects.create(
        content_hash="c0ffee" * 10 + "abcd", protocol="NCT04293692", version="1.0",
        document={"title": "Umbilical cord cells for pneumonia"}, loaded_at=NOON, loaded_by="system",
        activated_at=NOON, activated_by=by,
    )  # fmt: skip
    the_list = randomization.RandomizationList.objects.create(
        trial_version=version, root=b"CANARY" * 5 + b"00", commitment=b"CANARY" * 5 + b"00",
        leaf_count=90173 * 2, commitment_note="CANARY", sealed_seed={"1+2": "CANARY"},
        installed_at=NOON,
    )  # fmt: skip
    stratum = randomization.Stratum.objects.create(
        code="age_group=18-59|respiratory_support=conventional_oxygen", list=the_list, ordinal=0,
        levels={"age_group": "18-59", "respiratory_support": "conventional_oxygen"},
        length=90173, next_slot=70412,
    )  # fmt: skip
    slot = randomization.Slot.objects.create(
        list=the_list, stratum=stratum, position=70411, randomization_number="R-48213"
    )
    randomization.SealedArm.objects.create(
        slot=slot, envelope=b"CANARY" * 16, key_id="code-break-1", leaf_hash=b"CANARY" * 5 + b"00"
    )
    participant = randomization.Participant.objects.create(
        screening_number="PUREN-0001", site_id="PUREN", identity_hash="CANARY", sex="female",
        birth_date=dt.date(1980, 5, 4), weight_kg="61.50", consented_at=NOON,
        eligibility={"I1": True, "E1": False}, status="eligible", stratum_levels=stratum.levels,
        trial_version=version, created_at=NOON, created_by=by,
    )  # fmt: skip
    allocation = randomization.Allocation.objects.create(
        participant=participant, slot=slot, stratum=stratum, position=70411,
        randomization_number="R-48213", randomized_at=NOON, randomized_by=by,
    )  # fmt: skip
    ended = randomization.Discontinuation.objects.create(
        participant=participant,
        scope="treatment",
        reason="withdrew",
        at=NOON,
        recorded_at=NOON,
        recorded_by=by,
    )
    report = randomization.AccidentalUnblinding.objects.create(
        participant=participant,
        occurred_at=NOON,
        sealed_account={"c": "CANARY"},
        reported_at=NOON,
        reported_by=by,
    )
    randomization.Unblinding.objects.create(
        participant=participant, requested_by=by, category="emergency", reveal_to="requester",
        requested_at=NOON, intent_position=70411,
    )  # fmt: skip
    for model in (version, stratum, participant, allocation, ended, report):
        records[model._meta.label] = model


def _records_of_the_participant(records: dict[str, Any], by: User) -> None:
    participant = records["randomization.Participant"]
    corrected = randomization.Correction.objects.create(
        participant=participant, pointer="/birth_date", old="1980-04-05", new="1980-05-04",
        reason="Day and month were exchanged.", at=NOON, recorded_by=by,
    )  # fmt: skip
    error = randomization.RandomizationError.objects.create(
        participant=participant, kind="ineligible", criteria=["E1"], stratum_used=participant.stratum_levels,
        reason="Found by the monitor.", known_at=NOON, recorded_at=NOON, recorded_by=by,
    )  # fmt: skip
    consent = randomization.Consent.objects.create(
        participant=participant, act="given", version="1.0", giver="representative", relationship="wife",
        at=NOON, recorded_at=NOON, recorded_by=by,
    )  # fmt: skip
    revision = randomization.ScreeningRevision.objects.create(
        participant=participant, old={"status": "screen_failed"}, new={"status": "eligible"},
        reason="Read wrongly.", at=NOON, recorded_by=by,
    )  # fmt: skip
    transfer = randomization.Transfer.objects.create(
        participant=participant, from_site_id="HANKOU", to_site_id="PUREN", reason="Nearer.", at=NOON,
        recorded_by=by,
    )  # fmt: skip
    for model in (corrected, error, consent, revision, transfer):
        records[model._meta.label] = model


def _treatment(records: dict[str, Any], by: User) -> None:
    participant = records["randomization.Participant"]
    infusion = supply.Infusion.objects.create(
        participant=participant, site_id="PUREN", number=1, day=1, opens_at=NOON, target_at=NOON,
        closes_at=NOON + dt.timedelta(days=1), status="released",
        deviations=[{"code": "late", "detail": "late entry", "recorded_at": "2026-03-02T05:00:00Z"}],
    )  # fmt: skip
    order = supply.Order.objects.create(
        infusion=infusion, weight_kg="61.50", weighed_at=NOON, needed_at=NOON, ward="Ward 7",
        ordered_at=NOON, ordered_by=by,
    )  # fmt: skip
    kit = supply.Kit.objects.create(
        number="7KD4RX2M", site_id="PUREN", participant=participant, infusion=infusion, status="released",
        released_at=NOON, expires_at=NOON + dt.timedelta(hours=4),
    )  # fmt: skip
    for model in (infusion, order, kit):
        records[model._meta.label] = model


def _unmasked_side(records: dict[str, Any], by: User) -> None:
    number = supply.KitNumber.objects.create(number="CANARYNUM", position=60913)
    supply.Lot.objects.create(
        site_id="PUREN", component="cells", number="CANARY-LOT", expires_at=NOON, certificate="CANARY",
        received_at=NOON, received_by=by,
    )  # fmt: skip
    supply.SiteReadiness.objects.create(site_id="PUREN", ready_until=dt.datetime(2031, 7, 9, tzinfo=dt.UTC))
    supply.Preparation.objects.create(
        order=records["supply.Order"], site_id="PUREN", status="covered", kit_number=number,
        sealed_contents={"c": "CANARY"}, prepared_by=by, completed_at=NOON,
    )  # fmt: skip
    WorkSession.objects.create(user=by, digest=b"CANARY" * 5, opened_at=NOON, expires_at=NOON)
    Message.objects.create(
        dedupe_key="CANARY", recipient="canary@example.org", subject="CANARY", body="CANARY",
        created_at=NOON, next_attempt_at=NOON,
    )  # fmt: skip


def _sign_in_leftovers(records: dict[str, Any], by: User) -> None:
    AuthToken.objects.create(user=by)
    AuthToken.objects.update(digest="CANARY")
    IdempotentRequest.objects.create(
        user=by, face="masked", key="CANARY", fingerprint="CANARY", answer='{"x": "CANARY"}', created_at=NOON
    )
    records["axes.AccessAttempt"] = AccessAttempt.objects.create(
        username="mallory", ip_address="198.51.100.7", user_agent="curl", http_accept="",
        path_info="/admin/login/",        get_data="CANARY", post_data="CANARY", failures_since_start=1,
    )  # fmt: skip


def events_of_the_day(scene: Scene) -> None:
    """Append what the masked face would have; the caller acts as ``irt_masked``."""
    by = scene.records["accounts.User"]
    about = {"participant": str(scene.records["randomization.Participant"].pk), "site": "PUREN"}
    record(kind=Kind.PARTICIPANT_SCREENED, by=by, role="investigator", at=NOON, about=about)
    hidden = {"preparation": f"CANARY-{uuid.uuid4()}"}
    data = {"slot": 70411}
    record(
        kind=Kind.PARTICIPANT_RANDOMIZED, by=by, role="investigator", at=NOON, about=about | hidden, data=data
    )
