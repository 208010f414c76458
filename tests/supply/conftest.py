"""A day at a site whose trial is ready for participants, in the test's transaction."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings

from tests.supply.day import Day
from tests.world import World, a_world


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
