"""What the tests of lists and amendments share: an extension, an amendment, people who approve it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from django.db.models import F

from randomization.ceremony.making import Ceremony, ListBundle, make_bundle
from randomization.domain.schedule import Schedule, spec_of
from randomization.models import RandomizationList, Slot, Stratum, TrialVersion
from randomization.services import amendments
from supply.services import activation
from tests.world import World, the_protocol
from trialsite.audit import notes
from trialsite.clock.services import trial_now
from trialsite.deployment import initkeys
from trialsite.keyfiles import read_key_file
from trialsite.protocol import Factor, Protocol
from trialsite.sealing import PublicKeys

LATER_SEED = bytes(range(32, 64))
YOUNG_ON_OXYGEN = "age_group=18-59|respiratory_support=conventional_oxygen"
NEW_LEVEL = "none"


def an_extension(
    world: World,
    *,
    protocol: Protocol | None = None,
    strata: Sequence[str] | None = None,
    sites: Sequence[str] = (),
    length: int = 4,
    seed: bytes = LATER_SEED,
    first: dict[str, int] | None = None,
    **other: Any,
) -> ListBundle:
    """Return an extension of the list that was installed last, as the statistician's generator makes it."""
    public_keys = PublicKeys.load(world.keys / initkeys.PUBLIC_KEYS)
    secret = read_key_file(world.offline / "statistician-1.key").secret
    name = notes.VerifierKey.parse(public_keys.statistician).name
    ends = dict(Stratum.objects.values_list("code", "length")) if first is None else first
    spec = spec_of(protocol or the_protocol(), length=length, strata=strata, sites=sites, first=ends)
    last = RandomizationList.objects.order_by("ordinal").last()
    assert last is not None
    given: dict[str, Any] = {
        "extends": bytes(last.root),
        "taken": list(Slot.objects.values_list("randomization_number", flat=True)),
        "statistician": notes.SigningKey(name, secret),
    }
    return make_bundle(
        Ceremony(spec=spec, arms=Schedule(spec, seed), seed=seed, public_keys=public_keys, **given | other)
    )


def install(bundle: ListBundle, **changes: Any) -> RandomizationList:
    given: dict[str, Any] = {
        "slots": bundle.slots,
        "commitment_note": bundle.commitment_note,
        "sealed_seed": bundle.sealed_seed,
        "by": "system:install_list",
        "at": trial_now(),
    }
    return activation.install_list(**given | changes)


def amended(**changes: Any) -> Protocol:
    """Return the trial file with another version and these changes."""
    return dataclasses.replace(the_protocol(), **{"version": "2.0"} | changes)


def with_a_new_level(**changes: Any) -> Protocol:
    """Return the trial file with one more level of respiratory support, the first: two more strata."""
    age, support = the_protocol().factors
    more = Factor(code=support.code, levels=(NEW_LEVEL, *support.levels))
    return amended(factors=(age, more), **changes)


def with_a_new_site(**changes: Any) -> Protocol:
    puren = the_protocol().site("PUREN")
    new = dataclasses.replace(
        puren, code="JINYINTAN", name="Jinyintan Hospital", telephone="+86 27 0000 0003"
    )
    return amended(sites=(new, *the_protocol().sites), **changes)


def load(protocol: Protocol) -> TrialVersion:
    return amendments.load_amendment(protocol=protocol, by="system:load_trial", at=trial_now())


def approve(world: World, version: TrialVersion, *people: str) -> None:
    for person in people or ("statistician", "study_manager"):
        amendments.approve_amendment(content_hash=version.pk, by=world.person(person), at=trial_now())


def put_in_force(world: World, version: TrialVersion, *, by: str = "study_manager") -> TrialVersion:
    return amendments.activate_amendment(content_hash=version.pk, by=world.person(by), at=trial_now())


def every_slot() -> list[Any]:
    """Return all that is stored of lists, slots and allocations, in one order."""
    slots = Slot.objects.annotate(
        envelope=F("sealedarm__envelope"),
        leaf=F("sealedarm__leaf_hash"),
        participant=F("allocation__participant"),
        at=F("allocation__randomized_at"),
    )
    return [
        tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
        for row in slots.order_by("pk").values_list(
            "pk",
            "list",
            "stratum",
            "position",
            "randomization_number",
            "envelope",
            "leaf",
            "participant",
            "at",
        )
    ]
