"""
Reading the reveals of a trial: the JSON that the server answered, or a CSV file.

Columns are ``stratum`` and ``slot`` (counted from 0), and if wanted ``arm`` (its letter; nothing where
it is not told), ``revealed_at`` and ``used`` (slots of the stratum taken by then). Rows are in the
order of the reveals.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from randomization.domain.operating.reveals import Reveal

COLUMNS: Final = ("stratum", "slot", "arm", "revealed_at", "used", "kind")
LAST_SLOT: Final = 5000
Row = Mapping[str, Any]


class RevealsInvalid(ValueError):
    """The reveals cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Revealed:
    """One reveal, and where and when it was."""

    stratum: str
    revealed_at: dt.datetime | None
    reveal: Reveal


def read_reveals(text: str, *, strata: Sequence[str], arms: Sequence[str]) -> list[Revealed]:
    """
    Return the reveals in their order.

    :param strata: codes of the trial's strata; ``arms``: letters of its arms, in the list's order.
    :raises RevealsInvalid: if something is wrong with one of them.
    """
    rows = _json_rows(text) if text.lstrip().startswith(("{", "[")) else _csv_rows(text)
    revealed = [_row(place, row, strata, arms) for place, row in rows]
    for code in strata:
        times = [row.revealed_at for row in revealed if row.stratum == code and row.revealed_at]
        if any(later < earlier for earlier, later in pairwise(times)):
            raise RevealsInvalid(f"the reveals of {code} are not in the order of their times")
    return revealed


def _json_rows(text: str) -> Iterator[tuple[str, Row]]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise RevealsInvalid(f"not JSON: {error}") from None
    if isinstance(document, dict):
        if document.get("next"):
            raise RevealsInvalid("this is one page of several: ask for all with page_size")
        document = document.get("results")
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise RevealsInvalid("there is no list of reveals")
    yield from ((f"reveal {number}", row) for number, row in enumerate(document, 1))


def _csv_rows(text: str) -> Iterator[tuple[str, Row]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    try:
        if {"stratum", "slot"} - set(reader.fieldnames or ()):
            raise RevealsInvalid("the columns stratum and slot must be there")
        yield from ((f"line {reader.line_num}", row) for row in reader)
    except csv.Error as error:
        raise RevealsInvalid(f"line {reader.line_num}: {error}") from None


def _row(place: str, row: Row, strata: Sequence[str], arms: Sequence[str]) -> Revealed:
    stratum, arm = row.get("stratum"), row.get("arm") or None
    if set(row) - set(COLUMNS):
        raise RevealsInvalid(f"{place}: has more than {', '.join(COLUMNS)}")
    if stratum not in strata:
        raise RevealsInvalid(f"{place}: the trial has no such stratum")
    if arm is not None and arm not in arms:
        raise RevealsInvalid(f"{place}: arm must be one of {', '.join(arms)}, or nothing")
    slot, used = _count(place, row, "slot"), _count(place, row, "used")
    if slot is None:
        raise RevealsInvalid(f"{place}: slot is missing")
    if used is not None and used <= slot:
        raise RevealsInvalid(f"{place}: slot {slot} was not used yet, if used is {used}")
    reveal = Reveal(slot=slot, arm=None if arm is None else arms.index(arm), used=used)
    return Revealed(str(stratum), _time(place, row), reveal)


def _count(place: str, row: Row, name: str) -> int | None:
    text = "" if row.get(name) is None else str(row[name])
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > LAST_SLOT:
        raise RevealsInvalid(f"{place}: {name} must be a whole number from 0 to {LAST_SLOT}")
    return int(text)


def _time(place: str, row: Row) -> dt.datetime | None:
    if not row.get("revealed_at"):
        return None
    try:
        at = dt.datetime.fromisoformat(str(row["revealed_at"]))
    except ValueError:
        raise RevealsInvalid(f"{place}: revealed_at is no time") from None
    if at.tzinfo is None:
        raise RevealsInvalid(f"{place}: revealed_at has no offset")
    return at
