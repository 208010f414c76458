"""
Making a list: arms and salts under one root, then each slot sealed to that root, and the papers to both.

Two passes over the strata. The first finds the root, which every envelope is bound to; the second
makes each slot again, seals it and hands its line over. So what is in memory is one stratum's arms, the
tree's frontier and a bit for each randomization number, however long the list.

No Django, no private key but the statistician's, and no file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from randomization.ceremony.folder import EMERGENCY, NOTE, SEED, SLOTS, as_text, new_folder, write_new
from randomization.ceremony.papers import emergency_sheet, sealed_seed
from randomization.ceremony.software import software_hash
from randomization.domain.beacon import Beacon
from randomization.domain.designs import Imported
from randomization.domain.numbers import Numbers, digits_for
from randomization.domain.schedule import Arms, Listed, Spec, commitment, listed_slots, spec_hash
from randomization.domain.sealed_list import Commitment, SealedSlot
from randomization.domain.strata import emergency_site
from trialsite.audit import merkle, notes
from trialsite.protocol_rules import ARM_CODES
from trialsite.sealing import PublicKeys, seal_slot


@dataclasses.dataclass(frozen=True)
class Papers:
    """What goes with the slots: signed commitment, sealed seed, and a sealed sheet for each reserved list."""

    commitment_note: str
    sealed_seed: Mapping[str, Any]
    sheets: Mapping[str, Mapping[str, Any]]

    def write_papers(self, folder: Path) -> None:
        """Write commitment.note, seed.json and emergency/SITE.json."""
        write_new(folder / NOTE, self.commitment_note)
        write_new(folder / SEED, as_text(self.sealed_seed))
        for site, sheet in self.sheets.items():
            (folder / EMERGENCY).mkdir(exist_ok=True)
            write_new(folder / EMERGENCY / f"{site}.json", as_text(sheet))


@dataclasses.dataclass(frozen=True)
class ListBundle(Papers):
    """What goes to the server: no arm, no seed and no design can be read from it."""

    slots: tuple[SealedSlot, ...]

    def write(self, folder: Path) -> None:
        """
        Write the folder of the list.

        :raises FileExistsError: if there is one already.
        """
        with new_folder(folder) as partial:
            write_new(partial / SLOTS, "".join(f"{slot.to_line()}\n" for slot in self.slots))
            self.write_papers(partial)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ceremony:
    """
    What a list is made of, and for whom it is sealed.

    ``arms`` are those of the schedule, or of a list made elsewhere; a test of the masking exchanges
    them. ``seed0`` is the maker's part of the seed where a ``beacon`` was mixed in. An extension
    names the root that it ``extends``; ``taken`` are the randomization numbers before it.
    """

    spec: Spec = dataclasses.field(repr=False)
    arms: Arms = dataclasses.field(repr=False)
    seed: bytes = dataclasses.field(repr=False)
    public_keys: PublicKeys
    statistician: notes.Signer
    beacon: Beacon | None = None
    seed0: bytes | None = dataclasses.field(default=None, repr=False)
    extends: bytes | None = None
    taken: Sequence[str] = ()
    digits: int | None = None
    below: Callable[[int], int] = secrets.randbelow

    def seal(self, take: Callable[[bytes], object]) -> Papers:
        """
        Make the list and hand each line of ``slots.jsonl`` to ``take``; return what goes with them.

        :raises ValueError: if there are too many slots, or reserved lists and no key to seal them to.
        """
        if self.spec.emergency and self.public_keys.emergency is None:
            raise ValueError("the public keys have no emergency key to seal the reserved lists to")
        tree = merkle.Frontier()
        for slot in tqdm(self._slots(), "making slots", unit="slot", delay=1.0, file=sys.stderr):
            tree.append(slot.leaf)
        digest = hashlib.sha256()
        rows: dict[str, list[tuple[int, str, str, str, str]]] = {}
        reserved = self.spec.emergency.strata if self.spec.emergency else ()
        for slot, sealed in self._sealed(tree):
            line = sealed.to_line().encode() + b"\n"
            digest.update(line)
            take(line)
            if slot.stratum in reserved:
                arm = (ARM_CODES[slot.arm], self.spec.arms[slot.arm], slot.salt.hex())
                rows.setdefault(slot.stratum, []).append((slot.slot, sealed.randomization_number, *arm))
        return self._papers(tree, digest.digest(), rows)

    def _slots(self) -> Iterator[Listed]:
        return listed_slots(self.spec, self.arms, self.seed)

    def _sealed(self, tree: merkle.Frontier) -> Iterator[tuple[Listed, SealedSlot]]:
        """Yield every slot with its envelope under the root of ``tree``, and a number of its own."""
        digits = self.digits or digits_for(tree.size + len(self.taken))
        numbers = Numbers(digits=digits, taken=self.taken, below=self.below)
        key, study, root = self.public_keys.code_break, self.spec.study, tree.root
        # The delay keeps the bar away from a list that is sealed in a blink.
        progress = {"total": tree.size, "unit": "slot", "delay": 1.0, "file": sys.stderr}
        for listed in tqdm(self._slots(), "sealing slots", **progress):
            stratum, slot, arm, salt, leaf = listed
            envelope = seal_slot(key, arm=arm, salt=salt, study=study, stratum=stratum, slot=slot, root=root)
            yield listed, SealedSlot(stratum, slot, envelope, leaf, numbers.draw())

    def _papers(
        self, tree: merkle.Frontier, slots: bytes, rows: Mapping[str, Sequence[tuple[Any, ...]]]
    ) -> Papers:
        spec, root, document = self.spec, tree.root, self.spec.document()
        published = Commitment(
            study=spec.study,
            root=root,
            commitment=commitment(document, self.seed),
            leaves=tree.size,
            software=software_hash(),
            spec=spec_hash(document, self.seed),
            trial=spec.trial,
            slots=slots,
            extends=self.extends,
            beacon=self.beacon,
        )
        officers, pharmacy = self.public_keys.release, self.public_keys.emergency
        sheets = {
            emergency_site(code): emergency_sheet(
                made, study=spec.study, stratum=code, root=root, pharmacy=pharmacy
            )
            for code, made in rows.items()
            if pharmacy
        }
        return Papers(
            commitment_note=notes.sign_note(published.text, self.statistician),
            sealed_seed=sealed_seed(
                self.seed, self._reveal(), study=spec.study, root=root, officers=officers
            ),
            sheets=sheets,
        )

    def _reveal(self) -> dict[str, Any]:
        """Return what two officers will bring out beside the seed."""
        reveal: dict[str, Any] = {"spec": self.spec.document()}
        if isinstance(self.spec.design, Imported):
            reveal["arms"] = {stratum: list(self.arms[stratum]) for stratum in self.spec.every_stratum}
        if self.seed0 is not None:
            reveal["seed0"] = self.seed0.hex()
        return reveal


def make_bundle(ceremony: Ceremony) -> ListBundle:
    """Return the whole list in memory, for an installation at once."""
    lines: list[bytes] = []
    papers = ceremony.seal(lines.append)
    slots = tuple(SealedSlot.from_line(line.decode()) for line in lines)
    return ListBundle(papers.commitment_note, papers.sealed_seed, papers.sheets, slots)


def make_folder(ceremony: Ceremony, folder: Path) -> Commitment:
    """
    Write the list line by line into a new folder; return what was signed.

    :raises FileExistsError: if there is something under that name.
    """
    with new_folder(folder) as partial:
        with (partial / SLOTS).open("xb") as file:
            papers = ceremony.seal(file.write)
        papers.write_papers(partial)
    return Commitment.parse(notes.split_note(papers.commitment_note)[0])
