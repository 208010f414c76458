"""
Canonical JSON (RFC 8785): the one sequence of bytes that an audit event has.

Written by the ``rfc8785`` package; read back by ``trialsite.audit.strict_json``, which is independent of it.
"""

from __future__ import annotations

from typing import Any

import rfc8785

from trialsite.audit.strict_json import NotCanonical, loads, parse

__all__ = ["NotCanonical", "canonical", "loads", "parse"]


def canonical(value: Any) -> bytes:
    """
    Return the RFC 8785 bytes of ``value``.

    Decimals, times and byte strings are written as strings by the caller.

    :raises ValueError: if JSON cannot hold ``value``: NaN, an integer of 2**53 or more, a key that
        is no string, a lone surrogate.
    """
    return rfc8785.dumps(value)
