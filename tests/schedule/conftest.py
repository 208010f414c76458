"""The site's day of the supply tests."""

from __future__ import annotations

from tests.supply.conftest import day, infusion, world

__all__ = ["day", "infusion", "world"]
