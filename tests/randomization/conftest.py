"""A trial ready for participants, in the test's transaction."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import LazySettings

from tests.world import World, a_world


@pytest.fixture
def world(db: None, tmp_path: Path, settings: LazySettings) -> World:
    return a_world(tmp_path, settings)
