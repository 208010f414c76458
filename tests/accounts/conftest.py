"""What the accounts' tests share."""

from __future__ import annotations

from tests.people import factor_keys

__all__ = ["factor_keys"]
