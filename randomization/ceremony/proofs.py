"""
What two officers bring out, and what can be shown from it: the whole list again, or one slot of it.

Formats ``irt-revealed/1`` and ``irt-slot-proof/1``, docs/specs/randomization-list.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from randomization.domain.beacon import BeaconInvalid
from randomization.domain.designs import Imported
from randomization.domain.schedule import (
    Arms,
    Listed,
    Schedule,
    Spec,
    commitment,
    listed_slots,
    spec_hash,
)
from randomization.domain.sealed_list import Commitment
from trialsite.audit import merkle

REVEALED_TITLE = "irt-revealed/1"
PROOF_TITLE = "irt-slot-proof/1"


class NotTheList(ValueError):
    """What was brought out is not what the statistician signed."""


def read_arms(document: Any) -> dict[str, list[int]] | None:
    """
    Return the arms of a list that was made elsewhere, if there are any.

    :raises ValueError: if they are malformed.
    """
    if document is None:
        return None
    if not isinstance(document, dict) or not all(
        isinstance(row, list) and all(type(arm) is int for arm in row) for row in document.values()
    ):
        raise ValueError("the arms are malformed")
    return document


@dataclass(frozen=True)
class Revealed:
    """
    Seed and specification of a list.

    ``arms`` are there where it was made elsewhere, and ``seed0`` if a beacon was mixed into the seed.
    """

    study: str
    root: bytes
    seed: bytes = field(repr=False)
    spec: Spec = field(repr=False)
    arms: Arms | None = field(default=None, repr=False)
    seed0: bytes | None = field(default=None, repr=False)

    def document(self) -> dict[str, Any]:
        """Return ``revealed.json``."""
        document: dict[str, Any] = {
            "v": REVEALED_TITLE,
            "study": self.study,
            "root": self.root.hex(),
            "seed": self.seed.hex(),
            "spec": self.spec.document(),
        }
        if self.arms is not None:
            document["arms"] = {stratum: list(row) for stratum, row in self.arms.items()}
        if self.seed0 is not None:
            document["seed0"] = self.seed0.hex()
        return document

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Revealed:
        """
        Read what ``document`` returns.

        :raises NotTheList: if it is anything else.
        """
        try:
            revealed = cls(
                study=document["study"],
                root=bytes.fromhex(document["root"]),
                seed=bytes.fromhex(document["seed"]),
                spec=Spec.read(document["spec"]),
                arms=read_arms(document.get("arms")),
                seed0=bytes.fromhex(document["seed0"]) if "seed0" in document else None,
            )
            imported = isinstance(revealed.spec.design, Imported)
            fits = revealed.study == revealed.spec.study and imported == (revealed.arms is not None)
            if fits and revealed.document() == document:
                return revealed
        except (KeyError, TypeError, ValueError):
            pass
        raise NotTheList(f"this is not {REVEALED_TITLE}")

    def slots(self) -> Iterator[Listed]:
        """
        Make every slot again, in the order of the list.

        :raises ValueError: if specification and arms do not say how.
        """
        arms = Schedule(self.spec, self.seed) if self.arms is None else self.arms
        return listed_slots(self.spec, arms, self.seed)

    def check(self, signed: Commitment) -> None:
        """
        Compare with what the statistician signed: seed, specification, beacon, and every slot.

        :raises NotTheList: naming what differs.
        """
        document = self.spec.document()
        tree = merkle.Frontier()
        for slot in self.slots():
            tree.append(slot.leaf)
        same = {
            "the study": signed.study == self.study == self.spec.study,
            "the trial file": signed.trial == self.spec.trial,
            "the commitment": signed.commitment == commitment(document, self.seed),
            "the specification": signed.spec == spec_hash(document, self.seed),
            "the beacon": self._is_mixed(signed),
            "the number of slots": signed.leaves == tree.size,
            "the root": signed.root == self.root == tree.root,
        }
        differing = [name for name, is_same in same.items() if not is_same]
        if differing:
            raise NotTheList(f"{' and '.join(differing)} is not what was signed")

    def _is_mixed(self, signed: Commitment) -> bool:
        if signed.beacon is None or self.seed0 is None:
            return signed.beacon is None and self.seed0 is None
        try:
            return signed.beacon.mix(self.seed0) == self.seed
        except BeaconInvalid:
            return False

    def proof(self, stratum: str, slot: int) -> dict[str, Any]:
        """
        Return the proof of one slot: its arm and salt, and the path from its leaf to the root.

        It shows no other slot: of those it holds hashes of salted leaves alone.

        :raises NotTheList: if there is no such slot, or the list has not the root that it names.
        """
        leaves = []
        found: tuple[int, Listed] | None = None
        for index, listed in enumerate(self.slots()):
            leaves.append(listed.leaf)
            if (listed.stratum, listed.slot) == (stratum, slot):
                found = index, listed
        if merkle.root_of(leaves) != self.root:
            raise NotTheList("the slots have another root than the list")
        if found is None:
            raise NotTheList(f"the list has no slot {slot} of {stratum!r}")
        index, listed = found
        return {
            "v": PROOF_TITLE,
            "study": self.study,
            "stratum": stratum,
            "slot": slot,
            "arm": listed.arm,
            "salt": listed.salt.hex(),
            "index": index,
            "leaves": len(leaves),
            "root": self.root.hex(),
            "path": [node.hex() for node in merkle.inclusion_proof(leaves, index)],
        }
