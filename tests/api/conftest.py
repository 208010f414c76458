"""What the interface's tests share."""

from __future__ import annotations

import pytest
from django.conf import LazySettings

from tests.people import factor_keys

__all__ = ["factor_keys"]


@pytest.fixture
def on_the_floor(settings: LazySettings) -> None:
    """The interface of ``tests.api.floor_urls`` in place of the product's."""
    settings.ROOT_URLCONF = "tests.api.floor_urls"
