"""
An extension: a list of its own, committed to in its turn, whose slots go on where the lists before end.

Nothing of the lists before is opened or changed: from each are read the signed note and, where its
folder is given, how far its strata reach and which randomization numbers it gave out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from randomization.ceremony.folder import SLOTS, read_json, read_note
from randomization.domain.numbers import digits_for
from randomization.domain.sealed_list import Commitment, SealedSlot
from trialsite.audit import notes


@dataclass(frozen=True)
class Before:
    """
    The lists so far: the root of the newest, where each stratum ends, and the numbers that were given.

    ``ends`` is None unless the folders of all lists were given; then ``digits`` is a length of
    numbers that none of them has.
    """

    root: bytes
    ends: Mapping[str, int] | None
    numbers: tuple[str, ...] = ()
    digits: int | None = None


def lists_before(
    places: Sequence[Path], *, statistician: notes.VerifierKey, adding: int, study: str
) -> Before:
    """
    Read all lists so far, oldest first, each given by its folder or its note.

    :param adding: about how many slots the extension has.
    :raises ValueError: if a note is not signed by the statistician, is of another study or does not
        extend the one before it, or the slots in its folder are not those that were signed.
    :raises OSError: if a file cannot be read.
    """
    root: bytes | None = None
    leaves = adding
    for place in places:
        note = _signed(place, statistician)
        if note.study != study:
            raise ValueError(f"{place}: a list of the study {note.study}")
        if note.extends != root:
            raise ValueError(f"{place}: does not follow the list before it; give all of them, oldest first")
        root, leaves = note.root, leaves + note.leaves
    if root is None:
        raise ValueError("there is no list to extend")
    if not all(place.is_dir() for place in places):
        # Without their files the numbers are not known: no list before has as many digits as this sum.
        return Before(root, None, digits=digits_for(leaves) + len(places))
    ends: dict[str, int] = {}
    numbers = []
    for place in places:
        for slot in _slots(place, _signed(place, statistician)):
            ends[slot.stratum] = max(ends.get(slot.stratum, 0), slot.slot + 1)
            numbers.append(slot.randomization_number)
    return Before(root, ends, tuple(numbers))


def first_slots(said: Sequence[str]) -> dict[str, int]:
    """
    Return stratum code -> position, from ``CODE=POSITION`` or files with a JSON object of them.

    :raises ValueError: if one is neither.
    """
    positions: dict[str, object] = {}
    for text in said:
        stratum, equals, position = text.rpartition("=")
        if equals and position.isascii() and position.isdigit():
            positions[stratum] = int(position)
        else:
            positions |= read_json(Path(text))
    wrong = [code for code, position in positions.items() if type(position) is not int or position < 0]
    if wrong:
        raise ValueError(f"the first slot of {wrong[0]} is not a whole number of 0 or more")
    return {code: position for code, position in positions.items() if isinstance(position, int)}


def first_of(before: Before, said: Mapping[str, int]) -> Mapping[str, int]:
    """
    Return the position of each stratum's first slot: as the folders show it, or else as was ``said``.

    :raises ValueError: if the two differ, or there is neither.
    """
    if before.ends is None:
        if not said:
            raise ValueError("give --first-slots, or the folders of all lists so far and not their notes")
        return said
    for stratum, position in said.items():
        if before.ends.get(stratum, 0) != position:
            raise ValueError(f"{stratum} ends before slot {before.ends.get(stratum, 0)}, not {position}")
    return before.ends


def _signed(place: Path, statistician: notes.VerifierKey) -> Commitment:
    try:
        return Commitment.parse(notes.open_note(read_note(place), [statistician]).text)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _slots(folder: Path, note: Commitment) -> Iterator[SealedSlot]:
    digest = hashlib.sha256()
    with (folder / SLOTS).open("rb") as file:
        for line in file:
            digest.update(line)
            yield SealedSlot.from_line(line.decode())
    if digest.digest() != note.slots:
        raise ValueError(f"{folder / SLOTS}: not the file that was signed")
