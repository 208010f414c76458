"""
What a trial file says of screening beyond its criteria: versions of the consent, values behind answers.

    consent_version = "2.0"
    consent_versions_accepted = ["1.1"]

    [eligibility.measurement]
    value = { code = "pao2_mmhg", unit = "mmHg", minimum = "20", maximum = "700" }
    divided_by = { code = "fio2", unit = "fraction", minimum = "0.21", maximum = "1" }
    at_most = "300"

Pure: no Django.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trialsite.protocol import Criterion, Protocol

Fault = tuple[str, str]
# What a version column of the database holds.
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclasses.dataclass(frozen=True)
class Quantity:
    """Something that is measured, in one unit; outside ``minimum`` to ``maximum`` it is a slip of the pen."""

    code: str
    unit: str
    minimum: Decimal
    maximum: Decimal


@dataclasses.dataclass(frozen=True)
class Measurement:
    """
    The value behind a criterion: ``value``, or ``value`` divided by ``divided_by``, against a limit.

    Just one of ``at_least`` and ``at_most`` is there, and the limit itself meets it. Where the value
    is ``sufficient_only``, other findings meet the criterion too, so that a value beyond the limit
    says nothing against the answer yes.
    """

    value: Quantity
    divided_by: Quantity | None = None
    at_least: Decimal | None = None
    at_most: Decimal | None = None
    sufficient_only: bool = False

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What is measured for it, one or two."""
        return (self.value,) if self.divided_by is None else (self.value, self.divided_by)


def accepted_consent_versions(protocol: Protocol) -> tuple[str, ...]:
    """Return the versions under which consent may be given; the current one is the first."""
    return (protocol.consent_version, *protocol.consent_versions_accepted)


def screening_faults(protocol: Protocol) -> Iterator[Fault]:
    """Yield every fault of consent versions and measurements: its place as a dotted key, and the reason."""
    yield from _versions(protocol)
    units: dict[str, Quantity] = {}
    for index, criterion in enumerate(protocol.eligibility):
        place = f"eligibility[{index}].measurement"
        for reason in _measurement(criterion):
            yield place, reason
        for quantity in criterion.measurement.quantities if criterion.measurement else ():
            yield from ((place, reason) for reason in _quantity(quantity))
            if units.setdefault(quantity.code, quantity) != quantity:
                yield place, f"{quantity.code!r} already has another unit or other limits"


def _versions(protocol: Protocol) -> Iterator[Fault]:
    if not VERSION.fullmatch(protocol.consent_version):
        yield "consent_version", "must be up to 32 letters, digits, '_', '.' and '-'"
    for index, version in enumerate(protocol.consent_versions_accepted):
        place = f"consent_versions_accepted[{index}]"
        if not VERSION.fullmatch(version):
            yield place, "must be up to 32 letters, digits, '_', '.' and '-'"
        if version in accepted_consent_versions(protocol)[: index + 1]:
            yield place, f"{version!r} is there twice"


def _measurement(criterion: Criterion) -> Iterator[str]:
    asked = criterion.measurement
    if asked is None:
        return
    if criterion.derived_from:
        yield "has no place where the answer follows from the birth date"
    if (asked.at_least is None) == (asked.at_most is None):
        yield "must have just one of at_least and at_most"
    if asked.divided_by is not None:
        if asked.divided_by.code == asked.value.code:
            yield "must be divided by another value"
        if asked.divided_by.minimum <= 0:
            yield "must be divided by what is more than 0"


def _quantity(quantity: Quantity) -> Iterator[str]:
    if not CODE.fullmatch(quantity.code):
        yield f"{quantity.code!r} must be small letters, digits and '_' only"
    if quantity.maximum <= quantity.minimum:
        yield f"the maximum of {quantity.code!r} must be more than its minimum"
