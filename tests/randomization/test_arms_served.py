"""A trial of three arms has lists and a design report, and this service says that it cannot supply it."""

from __future__ import annotations

import datetime as dt

import pytest

from randomization.models import RandomizationList, Slot
from randomization.services import lists
from tests import world as worlds
from tests.unit.ceremonies import a_trial_of_three_arms
from tests.world import a_bundle, a_world
from trialsite import protocol


def test_a_list_of_three_arms_is_refused_with_the_reason(db, tmp_path, settings, monkeypatch):
    three_arms = protocol.load(a_trial_of_three_arms())
    monkeypatch.setattr(worlds, "the_protocol", lambda: three_arms)
    monkeypatch.setattr(worlds, "a_list", lambda *_args, **_kwargs: None)
    world = a_world(tmp_path, settings, active=False)
    bundle = a_bundle(world)

    with pytest.raises(lists.ListRefused, match="two arms"):
        lists.install_list(
            slots=bundle.slots,
            commitment_note=bundle.commitment_note,
            sealed_seed=bundle.sealed_seed,
            by="system:install_list",
            at=dt.datetime.now(dt.UTC),
        )

    assert not RandomizationList.objects.exists()
    assert not Slot.objects.exists()
