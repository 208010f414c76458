"""A day at a site whose trial is ready for participants, in the test's transaction."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings

from tests.supply.day import Day
from tests.supply.moving import NEW
from tests.world import World, a_world
from trialsite.accounts.models import RoleGrant, User


@pytest.fixture
def world(db: None, tmp_path: Path, settings: LazySettings) -> World:
    return a_world(tmp_path, settings)


@pytest.fixture
def day(world: World) -> Day:
    return Day(world)


@pytest.fixture
def infusion(day: Day):
    """The first infusion of a new participant."""
    return day.enrol()[0]


@pytest.fixture
def hankou(day: Day) -> User:
    """The other site can make bags, and one person there may do everything at the bedside."""
    for component in ("uc_msc", "placebo_diluent"):
        day.receive(component, site=NEW, by=day.person("preparer_2"))
    person = day.person("investigator_2")
    for role in ("nurse", "pharmacist"):
        RoleGrant.objects.create(
            user=person, role=role, site_id=NEW, granted_at=day.now, granted_by="tests", approved_by="tests"
        )
    return person
