"""
Arms as the list knows them.

An arm is 0 or 1 on the list, in leaves and in envelopes, and A or B in words. What an arm receives
stands in the trial file; no code decides anything by it outside the unmasked side.
"""

from __future__ import annotations

import enum


class Arm(enum.IntEnum):
    """One of the two arms; the value is its number on the list."""

    A = 0
    B = 1
