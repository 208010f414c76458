"""
A list made elsewhere (SAS, R, Stata): read from CSV, judged, and refused with what is wrong.

Columns, in any order, named in the first row without regard to case:

* ``stratum``, the code as this trial names it (``factor=level|factor=level``; ``emergency=SITE`` for a
  reserved list), or instead one column for each factor, with the level;
* ``slot`` or ``sequence``, counting from 0 or from 1 in every stratum, without a gap;
* ``arm``, the letter of the arm or the code of its treatment, in either case;
* ``block`` if there are blocks: any name, the same in all rows of a block.

Rows may stand in any order. Separated by commas, semicolons or tabs; quoted or not; any line end; UTF-8
with or without a byte order mark.

Judged: every stratum of the trial is there and no other, long enough, each slot once. Where blocks are
named, each is one run of 4 slots or more and keeps the ratio. Where they are not, each arm's share of a
stratum of n slots is within 2.58 * sqrt(n p (1 - p)) of its due, n p: what a list drawn with no
restriction at all keeps in 99 of 100 strata, and one of whole blocks always. And no arm is missing in a
stratum.

A refusal repeats no cell, for any column may hold the arms, under the wrong name. Nor does it list rows,
which may be those of one arm: a fault of one row alone is told with its row, and of a stratum the first.
Pure: no file.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from randomization.domain.blocks import SMALLEST_BLOCK
from randomization.domain.schedule import Spec
from randomization.domain.strata import LevelsInvalid, stratum_code
from trialsite.protocol import Protocol

MOST_FAULTS_TOLD = 20
# Of the standard normal distribution, 1 in 200 on either side.
PLAUSIBLE = 2.58
_SLOT_COLUMNS = {"slot", "sequence"}
_DELIMITERS = ",;\t"
_NO_STRATUM = "the stratum is not one of this list's"


class Fault(NamedTuple):
    """What is wrong; ``row`` counts from 1, the row of names, and is None where it is a whole stratum."""

    row: int | None
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.reason}" if self.row else self.reason


class ListFaulty(ValueError):
    """The list is refused; ``faults`` are those to tell, and the message has the first twenty."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        told = [str(fault) for fault in faults[:MOST_FAULTS_TOLD]]
        more = len(faults) - len(told)
        super().__init__("\n".join([*told, *([f"and {more} more"] if more else [])]))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class _Entry:
    row: int
    stratum: str
    slot: int
    arm: int
    block: str | None


def read_list(content: bytes, *, protocol: Protocol, spec: Spec, length: int) -> dict[str, bytes]:
    """
    Return the arms of every stratum of ``spec``, in order.

    :param length: the least number of slots of each stratum that is no reserved list.
    :raises ListFaulty: if it is refused.
    """
    table = _table(content)
    _check_columns(table[0], protocol)
    rows = [(row, cells) for row, cells in enumerate(table[1:], start=2) if any(cells)]
    read = [_entry(row, table[0], cells, protocol) for row, cells in rows]
    faults = [found for found in read if isinstance(found, Fault)]
    strata = _by_stratum([found for found in read if isinstance(found, _Entry)], spec, faults)
    if faults:
        # What is judged beyond this would be found at fault for the rows that are missing.
        raise ListFaulty(_gathered(faults))
    for stratum in spec.every_stratum:
        least = spec.length_of(stratum) or length
        faults += _judged(stratum, strata.get(stratum, []), least=least, ratio=spec.ratio)
    if faults:
        raise ListFaulty(sorted(faults, key=_row))
    return {stratum: bytes(entry.arm for entry in strata[stratum]) for stratum in spec.every_stratum}


def _row(fault: Fault) -> float:
    return fault.row or math.inf


def _gathered(faults: Sequence[Fault]) -> list[Fault]:
    """Tell each reason once, and its row if it is the only one: their number and order may tell arms."""
    rows: dict[str, list[int | None]] = {}
    for fault in faults:
        rows.setdefault(fault.reason, []).append(fault.row)
    return [
        Fault(at[0], reason) if len(at) == 1 else Fault(None, f"in several rows {reason}")
        for reason, at in sorted(rows.items())
    ]


def _table(content: bytes) -> list[list[str]]:
    """Return the cells, of which the first row are the columns' names in lower case."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ListFaulty([Fault(None, "the file is not UTF-8 text")]) from None
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ListFaulty([Fault(None, f"the file is not CSV: {error}")]) from None
    if not rows:
        raise ListFaulty([Fault(None, "the file is empty")])
    return [[name.strip().lower() for name in rows[0]], *([cell.strip() for cell in row] for row in rows[1:])]


def _check_columns(names: Sequence[str], protocol: Protocol) -> None:
    factors = {factor.code.lower() for factor in protocol.factors}
    there = set(names)
    place = {"stratum"} if "stratum" in there else factors
    known = place | _SLOT_COLUMNS | {"arm", "block"}
    faults = [Fault(1, f"column {name!r} is missing") for name in sorted((place | {"arm"}) - there)]
    if len(_SLOT_COLUMNS & there) != 1:
        faults.append(Fault(1, "there must be one column 'slot' or 'sequence'"))
    if any(names.count(name) > 1 for name in known):
        faults.append(Fault(1, "two columns have the same name"))
    if unknown := sum(name not in known for name in names):
        faults.append(Fault(1, f"{unknown} of {len(names)} columns are not known here: leave them out"))
    if faults:
        raise ListFaulty(faults)


def _entry(row: int, names: Sequence[str], cells: Sequence[str], protocol: Protocol) -> _Entry | Fault:
    """Return one row as a slot, or what is wrong with it."""
    if len(cells) != len(names):
        return Fault(row, "there are not as many cells as columns")
    said = dict(zip(names, cells, strict=True))
    slot = said.get("slot", said.get("sequence", ""))
    if not (slot.isascii() and slot.isdigit() and len(slot) < 10):
        return Fault(row, "slot is not a whole number of 0 or more")
    if "block" in said and not said["block"]:
        return Fault(row, "the block is not named")
    try:
        stratum = _stratum(said, protocol)
    except LevelsInvalid:
        return Fault(row, _NO_STRATUM)
    # Last, so that no other fault is told or not by the arm of its row.
    name = said["arm"].casefold()
    codes = [{arm.code.casefold(), arm.treatment.casefold()} for arm in protocol.arms]
    arms = [n for n, known in enumerate(codes) if name in known]
    if len(arms) != 1:
        return Fault(row, "the arm is neither an arm's letter nor a treatment's code of the trial file")
    return _Entry(row, stratum, int(slot), arms[0], said.get("block"))


def _stratum(said: Mapping[str, str], protocol: Protocol) -> str:
    if "stratum" in said:
        return said["stratum"]
    return stratum_code(protocol, {f.code: said[f.code.lower()] for f in protocol.factors})


def _by_stratum(entries: Sequence[_Entry], spec: Spec, faults: list[Fault]) -> dict[str, list[_Entry]]:
    """Return the entries of each stratum in the order of their slots; add what does not fit to ``faults``."""
    strata: dict[str, list[_Entry]] = {stratum: [] for stratum in spec.every_stratum}
    for entry in entries:
        if entry.stratum in strata:
            strata[entry.stratum].append(entry)
        else:
            faults.append(Fault(entry.row, _NO_STRATUM))
    return {stratum: sorted(found, key=lambda entry: entry.slot) for stratum, found in strata.items()}


def _judged(stratum: str, entries: Sequence[_Entry], *, least: int, ratio: Sequence[int]) -> Iterator[Fault]:
    """Yield what is wrong with the sequence of one stratum."""
    if not entries:
        yield Fault(None, f"stratum {stratum!r} is missing")
        return
    gap = next(_gaps(entries), None)
    if gap:
        yield gap
    if len(entries) < least:
        yield Fault(None, f"stratum {stratum!r} has {len(entries)} slots, and needs {least}")
    if not gap:
        judge = _split(stratum, entries, ratio) if entries[0].block is None else _blocks(entries, ratio)
        yield from itertools.islice(judge, 1)


def _gaps(entries: Sequence[_Entry]) -> Iterator[Fault]:
    if entries[0].slot > 1:
        yield Fault(entries[0].row, "the stratum begins with another slot than 0 or 1")
    for before, entry in itertools.pairwise(entries):
        if entry.slot == before.slot:
            yield Fault(max(before.row, entry.row), "the slot is there already")
        elif entry.slot != before.slot + 1:
            yield Fault(entry.row, "the slot does not follow the one before it: there is a gap")


def _split(stratum: str, entries: Sequence[_Entry], ratio: Sequence[int]) -> Iterator[Fault]:
    """Without blocks, judge the whole stratum's split."""
    n = len(entries)
    given = Counter(entry.arm for entry in entries)
    for arm, weight in enumerate(ratio):
        p = weight / sum(ratio)
        if not given[arm] or abs(given[arm] - n * p) > PLAUSIBLE * math.sqrt(n * p * (1 - p)):
            yield Fault(None, f"stratum {stratum!r} is further from {_named(ratio)} than chance goes")
            return


def _blocks(entries: Sequence[_Entry], ratio: Sequence[int]) -> Iterator[Fault]:
    """Judge each run of one block: whole, in the ratio, and never taken up again."""
    seen: set[str | None] = set()
    for name, run in itertools.groupby(entries, key=lambda entry: entry.block):
        block = list(run)
        if name in seen:
            yield Fault(block[0].row, "the block is taken up again after another")
        seen.add(name)
        given = Counter(entry.arm for entry in block)
        whole = len(block) / sum(ratio)
        if any(given[arm] != weight * whole for arm, weight in enumerate(ratio)):
            yield Fault(block[0].row, f"the block does not keep the ratio {_named(ratio)}")
        elif len(block) < SMALLEST_BLOCK:
            yield Fault(block[0].row, f"the block has fewer than {SMALLEST_BLOCK} slots")


def _named(ratio: Sequence[int]) -> str:
    return ":".join(map(str, ratio))
