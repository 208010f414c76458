"""What anyone can check of a list without a secret: that it is whole, and what the statistician signed."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from randomization.ceremony.folder import EMERGENCY, SEED, SLOTS, read_json, read_note
from randomization.ceremony.papers import EMERGENCY_TITLE, SEED_TITLE
from randomization.domain.sealed_list import Commitment, SealedListInvalid, SealedSlot
from randomization.domain.strata import EMERGENCY as RESERVED
from randomization.domain.strata import emergency_site
from trialsite.audit import merkle, notes

PAIRS = {"1+2", "1+3", "2+3"}
# A 32-byte seed under two HPKE seals; nonce and tag, or an HPKE seal, around whole steps of padding.
SEED_BLOB = 128
REVEAL_OVERHEAD, SHEET_OVERHEAD, STEP = 28, 48, 4096


def check_list(folder: Path, *, statistician: notes.VerifierKey, say: Callable[[str], object]) -> int:
    """
    Check a list's folder and say what was found; return 0 if it holds, else 1.

    :raises ValueError: if the note is not signed by ``statistician``, or a file is not of its kind.
    :raises OSError: if a file cannot be read.
    """
    signed = Commitment.parse(notes.open_note(read_note(folder), [statistician]).text)
    seen = _Seen()
    found = [
        *seen.faults_of_slots(folder / SLOTS),
        *seen.compared_with(signed),
        *_seed_faults(read_json(folder / SEED), signed),
        *_sheet_faults(folder / EMERGENCY, seen, signed),
    ]
    for fault in found:
        say(f"wrong: {fault}\n")
    for stratum, (first, end) in seen.strata.items():
        say(f"{stratum}: slots {first} to {end - 1}\n")
    say(f"not covered by the signature: {SEED}, {EMERGENCY}/*.json (only their form was looked at)\n")
    say(f"{seen.tree.size} slots, root {signed.root.hex()}, signed by {statistician.name}: ")
    say("it does NOT hold\n" if found else "it holds\n")
    return 1 if found else 0


class _Seen:
    """What was read of the slots: tree, hash of the file, first slot and end of each stratum."""

    def __init__(self) -> None:
        self.tree = merkle.Frontier()
        self.digest = hashlib.sha256()
        self.strata: dict[str, tuple[int, int]] = {}

    def faults_of_slots(self, path: Path) -> Iterator[str]:
        """Read the file line by line; yield what is wrong with it."""
        numbers: set[str] = set()
        latest = ""
        with path.open("rb") as file:
            for row, line in enumerate(file, start=1):
                self.digest.update(line)
                try:
                    slot = SealedSlot.from_line(line.decode())
                except (SealedListInvalid, UnicodeDecodeError) as error:
                    yield f"{path.name}, line {row}: {error}"
                    return
                first, end = self.strata.get(slot.stratum, (slot.slot, slot.slot))
                if slot.slot != end or (slot.stratum in self.strata and slot.stratum != latest):
                    yield f"{path.name}, line {row}: slot {slot.slot} of {slot.stratum} is out of order"
                self.strata[slot.stratum] = (first, slot.slot + 1)
                latest = slot.stratum
                numbers.add(slot.randomization_number)
                self.tree.append(slot.leaf)
        if len(numbers) < self.tree.size or len({len(number) for number in numbers}) > 1:
            yield "randomization numbers come twice or have different lengths"

    def compared_with(self, signed: Commitment) -> Iterator[str]:
        """Yield where the slots are not those that were signed."""
        if self.tree.size != signed.leaves:
            yield f"{self.tree.size} slots, and {signed.leaves} were signed"
        if self.tree.root != signed.root:
            yield "the slots have another root than was signed"
        if self.digest.digest() != signed.slots:
            yield f"{SLOTS} is another file than was signed"


def _seed_faults(sealed: dict[str, Any], signed: Commitment) -> Iterator[str]:
    if (sealed.get("v"), sealed.get("study"), sealed.get("root")) != (
        SEED_TITLE,
        signed.study,
        signed.root.hex(),
    ):
        yield f"{SEED} is of another list"
    blobs = sealed.get("sealed")
    if not isinstance(blobs, dict) or blobs.keys() != PAIRS:
        yield f"{SEED} is not sealed to each pair of three officers"
    elif any(_size(blob) != SEED_BLOB for blob in blobs.values()):
        yield f"{SEED}: a seal has another size than it should"
    if not _is_padded(sealed.get("revealed"), REVEAL_OVERHEAD):
        yield f"{SEED} does not hold the specification"


def _sheet_faults(folder: Path, seen: _Seen, signed: Commitment) -> Iterator[str]:
    reserved = {emergency_site(code) for code in seen.strata if code.startswith(f"{RESERVED}=")}
    there = {path.stem for path in folder.glob("*.json")} if folder.is_dir() else set()
    for site in sorted(reserved ^ there):
        yield f"{folder.name}/{site}.json " + ("is missing" if site in reserved else "is of no list here")
    for site in sorted(reserved & there):
        sheet = read_json(folder / f"{site}.json")
        place = (sheet.get("v"), sheet.get("study"), sheet.get("site"), sheet.get("root"))
        if place != (EMERGENCY_TITLE, signed.study, site, signed.root.hex()):
            yield f"{folder.name}/{site}.json is of another list"
        if not _is_padded(sheet.get("sealed"), SHEET_OVERHEAD):
            yield f"{folder.name}/{site}.json is not sealed"


def _is_padded(text: Any, overhead: int) -> bool:
    size = _size(text)
    return size > overhead and (size - overhead) % STEP == 0


def _size(text: Any) -> int:
    try:
        return len(base64.b64decode(text, validate=True))
    except (TypeError, ValueError, binascii.Error):
        return -1
