"""A trial ready for participants, in the test's transaction."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings

from randomization.models import Allocation
from tests.randomization.breaking import a_randomized_participant
from tests.world import World, a_world


@pytest.fixture
def world(db: None, tmp_path: Path, settings: LazySettings) -> World:
    return a_world(tmp_path, settings)


@pytest.fixture
def allocation(world: World) -> Allocation:
    """A participant of the first site who holds a slot."""
    return a_randomized_participant(world)
