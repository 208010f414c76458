"""
A trial that is ready for participants, made by the product's own set-up.

Keys, genesis, trial file, sealed list, people and activation are those of an evaluation deployment.
What may be asked of it reads as sentences: ``world.person("investigator")``, ``world.signature(...)``.
"""

from __future__ import annotations

import base64
import datetime as dt
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import LazySettings
from rest_framework.test import APIClient

from randomization import generator, identity, selectors
from randomization.models import Participant
from randomization.services import lists, screening, setup
from supply.models import SiteReadiness
from supply.services import activation
from trialsite import opening, protocol
from trialsite.accounts.models import User
from trialsite.accounts.services import evaluation
from trialsite.audit import merkle, notes, services, signing
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry
from trialsite.clock.models import TrialClock
from trialsite.clock.services import trial_now
from trialsite.deployment import initkeys
from trialsite.keyfiles import read_key_file
from trialsite.sealing import PublicKeys

DEPLOYMENT = "tests.trialsite.local"
STUDY = "NCT04293692"
ORIGIN = f"{DEPLOYMENT}/{STUDY}"
SEED = bytes(range(32))
_numbers = itertools.count(1)


@dataclass(frozen=True)
class World:
    """One deployment: where its keys lie, and its people's secrets."""

    keys: Path
    offline: Path
    users: Mapping[str, Any]

    @property
    def list_folder(self) -> Path:
        """Where the list lies as the generator wrote it."""
        return self.keys.with_name("list")

    def person(self, username: str) -> User:
        return User.objects.get(username=username)

    def code(self, username: str, *, steps: int = 0) -> str:
        """Return the person's one-time code now, or ``steps`` half-minutes from now."""
        totp = TOTP(base64.b32decode(self.users[username]["totp_secret"]), 6, SHA1(), 30)  # noqa: S303
        now = int(dt.datetime.now(dt.UTC).timestamp())
        return totp.generate(now + 30 * steps).decode()

    def signature(self, username: str, *, steps: int = 0) -> dict[str, str]:
        return {"password": self.users[username]["password"], "otp": self.code(username, steps=steps)}

    def client(self, username: str) -> APIClient:
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {self.users[username]['token']}")
        return client

    def environment(self, face: str) -> dict[str, str]:
        """Return what a process of that face is given beside its database."""
        given = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TRIALSITE_FACE": face,
            "TRIALSITE_EVALUATION": "1",
            "TRIALSITE_DEPLOYMENT": DEPLOYMENT,
            "SECRET_KEY": "a-secret-of-the-tests-which-opens-nothing-anywhere",
        }
        return given | {name: str(path) for name, path in self.key_files(face).items()}

    def key_files(self, face: str) -> dict[str, Path]:
        held = self.keys / face
        files = {
            "PUBLIC_KEYS_FILE": self.keys / initkeys.PUBLIC_KEYS,
            "FACTOR_KEY_FILE": held / f"factor-{face}-1.key",
        }
        if face == "masked":
            return files | {"IDENTITY_KEY_FILE": held / "identity-1.key"}
        return files | {
            "CODE_BREAK_KEY_FILE": held / "code-break-1.key",
            "LOG_KEY_FILE": held / "log-1.key",
            "CHECKPOINT_FILE": self.keys / "checkpoint.note",
        }

    def sealed_events(
        self, kind: Kind = Kind.UNBLINDING, *, reader: str = "auditor-1"
    ) -> list[dict[str, Any]]:
        """Return the bodies of the sealed events of a kind, as an offline reader reads them."""
        keys = opening.FileKeys([self.offline / f"{reader}.key"])
        events = [parse(bytes(entry.body)) for entry in Entry.objects.filter(kind=kind).order_by("position")]
        return [opening.open_body(keys, reader, event["sealed"]) for event in events]


def a_world(folder: Path, settings: LazySettings, *, length: int = 8, active: bool = True) -> World:
    """Set a deployment up in the database that Django is connected to."""
    forget_what_processes_remember()
    world = World(keys=folder / "keys", offline=folder / "offline", users={})
    at = dt.datetime.now(dt.UTC)
    initkeys.make_keys(keys=world.keys, offline=world.offline, origin=ORIGIN, at=at)
    settings.DEPLOYMENT = DEPLOYMENT
    for face in ("unmasked", "masked"):
        for name, path in world.key_files(face).items():
            setattr(settings, name, str(path))
    # This process plays every part: it checks the one-time codes of both faces' people.
    settings.MASKED_FACTOR_KEY_FILE = settings.FACTOR_KEY_FILE
    settings.FACTOR_KEY_FILE = str(world.key_files("unmasked")["FACTOR_KEY_FILE"])
    TrialClock.objects.get_or_create(id=True)
    genesis = {"origin": ORIGIN, "study": STUDY, "evaluation": True, "started_by": "tests"}
    services.record(kind=Kind.GENESIS, by="system:operator", at=at, about={}, data=genesis)
    setup.load_trial(protocol=the_protocol(), by="system:load_trial", at=at)
    a_list(world, length=length)
    factor_keys = [str(world.key_files(face)["FACTOR_KEY_FILE"]) for face in ("masked", "unmasked")]
    world = World(
        keys=world.keys, offline=world.offline, users=evaluation.create_users(at=at, key_files=factor_keys)
    )
    if active:
        activation.activate_trial(by=world.person("statistician"), at=trial_now())
        for site in ("PUREN", "HANKOU"):
            SiteReadiness.objects.create(site_id=site, ready_until=at + dt.timedelta(days=400))
    return world


def the_protocol() -> protocol.Protocol:
    return protocol.load(protocol.DEFAULT_TRIAL_FILE)


def a_bundle(world: World, *, length: int = 8, seed: bytes = SEED, **changes: Any) -> generator.ListBundle:
    """Return the sealed list that the statistician's generator makes."""
    public_keys = PublicKeys.load(world.keys / initkeys.PUBLIC_KEYS)
    statistician = notes.SigningKey(
        notes.VerifierKey.parse(public_keys.statistician).name,
        read_key_file(world.offline / "statistician-1.key").secret,
    )
    given: dict[str, Any] = {"public_keys": public_keys, "statistician": statistician} | changes
    return generator.build_list(the_protocol(), seed, length, **given)


def a_list(world: World, *, length: int = 8) -> None:
    bundle = a_bundle(world, length=length)
    bundle.write(world.list_folder)
    lists.install_list(
        slots=bundle.slots,
        commitment_note=bundle.commitment_note,
        sealed_seed=bundle.sealed_seed,
        by="system:install_list",
        at=dt.datetime.now(dt.UTC),
    )


def answers(**other: bool) -> dict[str, bool]:
    """Return the answers of an eligible person, but for ``other``."""
    expected = {criterion.code: criterion.expected for criterion in the_protocol().eligibility}
    return expected | other


def born(*, years_ago: int) -> dt.date:
    """Return the birth date of somebody who had that birthday some days ago."""
    return trial_now().date().replace(day=1) - dt.timedelta(days=int(years_ago * 365.25) + 20)


def screening_facts(**other: Any) -> dict[str, Any]:
    """Return what an investigator states of an eligible person, a new one each time."""
    now = trial_now()
    stated = {
        "site": "PUREN",
        "sex": "female",
        "birth_date": born(years_ago=50),
        "weight_kg": Decimal("61.5"),
        "consented_at": now - dt.timedelta(hours=2),
        "local_identifier": f"ID-{next(_numbers):08d}",
        "eligibility": answers(),
        "strata": {"respiratory_support": "conventional_oxygen"},
    }
    return stated | other


def a_participant(world: World, *, by: str = "investigator", **other: Any) -> Participant:
    """Screen a person who may be randomized."""
    return screening.screen_participant(by=world.person(by), at=trial_now(), **screening_facts(**other))


def forget_what_processes_remember() -> None:
    """Empty the caches that live as long as a process: a test's deployment is another one."""
    services.public_keys.cache_clear()
    services.genesis.cache_clear()
    signing.signer.cache_clear()
    signing._read_up_to = merkle.Frontier()
    selectors.protocol_of.cache_clear()
    identity._identity_key.cache_clear()
