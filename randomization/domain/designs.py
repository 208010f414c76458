"""
Designs: the rule by which the arms of a stratum follow from its stream of draws.

All stand behind one interface, so that the ceremony, the specification and the design report know no
design by name. The default is permuted blocks. A design is a part of the specification, and secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from randomization.domain.blocks import ONE_TO_ONE, Draws, block_sequence
from trialsite.protocol import Protocol as Trial


class Design(Protocol):
    """A rule that gives out arms, numbered from 0."""

    def members(self) -> dict[str, Any]:
        """Return the members that name the rule in a specification."""

    def sequence(self, *, draws: Draws, ratio: Sequence[int], length: int) -> list[int]:
        """
        Return the arms of ``length`` slots, or of some more where only whole blocks will do.

        :raises ValueError: if the rule cannot keep ``ratio``.
        """


@dataclass(frozen=True)
class PermutedBlocks:
    """Blocks of sizes drawn one by one; each keeps the ratio, in an order of its own."""

    sizes: tuple[int, ...]

    def members(self) -> dict[str, Any]:
        """Return ``blocks``, the sizes."""
        return {"blocks": list(self.sizes)}

    def sequence(self, *, draws: Draws, ratio: Sequence[int], length: int) -> list[int]:
        """Return whole blocks."""
        blocks = block_sequence(draws=draws, block_sizes=self.sizes, length=length, ratio=ratio)
        return [arm for block in blocks for arm in block]


@dataclass(frozen=True)
class BigStick:
    """
    A coin for each slot, until the arms differ by ``mti``; then the arm that is behind.

    The maximum tolerated imbalance bounds every stratum after every slot (Soares and Wu 1983). One
    to one and two arms only.
    """

    mti: int

    def members(self) -> dict[str, Any]:
        """Return ``design``."""
        return {"design": {"kind": "big_stick", "mti": self.mti}}

    def sequence(self, *, draws: Draws, ratio: Sequence[int], length: int) -> list[int]:
        """Return exactly ``length`` slots."""
        if tuple(ratio) != ONE_TO_ONE or self.mti < 1:
            raise ValueError("a big stick is one to one, and tolerates an imbalance of 1 or more")
        arms = []
        ahead = 0  # slots of arm 0 less those of arm 1
        for _ in range(length):
            arm = int(ahead > 0) if abs(ahead) == self.mti else draws.uniform(2)
            ahead += 1 - 2 * arm
            arms.append(arm)
        return arms


@dataclass(frozen=True)
class Imported:
    """The list was made elsewhere: its arms are given, and follow from no seed of ours."""

    def members(self) -> dict[str, Any]:
        """Return ``design``."""
        return {"design": {"kind": "imported"}}

    def sequence(self, *, draws: Draws, ratio: Sequence[int], length: int) -> list[int]:  # noqa: ARG002
        """:raises ValueError: always."""
        raise ValueError("the arms of a list that was made elsewhere do not follow from a seed")


def design_of(trial: Trial) -> Design:
    """
    Return the design that the trial file chose.

    :raises ValueError: if it has none, as what the server keeps.
    """
    if trial.design is not None:
        return BigStick(trial.design.mti)
    if trial.block_sizes:
        return PermutedBlocks(trial.block_sizes)
    raise ValueError("a public document has no design: give the trial file")


def read_design(specification: Mapping[str, Any]) -> Design:
    """
    Return the design that a specification names.

    :raises ValueError: if it names none that is known here.
    """
    if "blocks" in specification:
        return PermutedBlocks(tuple(specification["blocks"]))
    design = specification.get("design", {})
    if design.get("kind") == "big_stick":
        return BigStick(design["mti"])
    if design.get("kind") == "imported":
        return Imported()
    raise ValueError("the specification names no known design")
