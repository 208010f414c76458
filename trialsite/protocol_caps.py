"""
The caps of a trial file: how many may be randomized in all, in one stratum and at one site.

    [caps]
    trial = 48
    [caps.strata]
    "age_group=18-59|respiratory_support=conventional_oxygen" = 20
    [caps.sites]
    PUREN = 40

All of it is optional and public, and none of it depends on an arm.

Pure: no Django.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trialsite.protocol import Protocol


@dataclasses.dataclass(frozen=True)
class Caps:
    """Most participants randomized: in the trial, by stratum code and by site code; absent is no cap."""

    trial: int | None = None
    strata: Mapping[str, int] = dataclasses.field(default_factory=dict)
    sites: Mapping[str, int] = dataclasses.field(default_factory=dict)


def cap_faults(protocol: Protocol) -> Iterator[tuple[str, str]]:
    """Yield every fault of the protocol's caps: its place as a dotted key, and the reason."""
    if protocol.caps is None:
        return
    caps = protocol.caps
    if caps.trial is not None and caps.trial < 1:
        yield "caps.trial", "must be at least 1"
    known = {"strata": set(_strata(protocol)), "sites": {site.code for site in protocol.sites}}
    for name, codes in known.items():
        for code, cap in getattr(caps, name).items():
            if code not in codes:
                yield f"caps.{name}.{code}", f"is none of the trial's {name}"
            elif cap < 1:
                yield f"caps.{name}.{code}", "must be at least 1"


def _strata(protocol: Protocol) -> Iterator[str]:
    """Yield the code of every stratum, as ``randomization.domain.strata`` writes it."""
    named = ([f"{factor.code}={level}" for level in factor.levels] for factor in protocol.factors)
    return map("|".join, itertools.product(*named))
