"""
What one revealed arm tells of the others: predictability after an unblinding.

An observer knows the arms that were revealed in a stratum, and at which slots, and the design; not
where blocks end. A block remembers: once one arm of it is known, the others are likelier the other
one (in a block of 4, with 2/3). Posteriors are exact, by a forward and a backward recursion over the
hidden states of the design (a hidden Markov chain).

An arm that is not given is averaged over, each with its chance. Beyond ``WORLDS`` combinations each
goes on with one arm drawn at random, and the standard error is stated.
"""

from __future__ import annotations

import math
import random  # noqa: TID251 - of samples that can be repeated; nothing secret follows from it
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from randomization.domain.operating.guessing import Belief, by_arm
from randomization.domain.operating.sources import Source
from randomization.domain.operating.walks import SEED, Estimate

WORLDS: Final = 256
# Differences that are rounding.
_NOTHING: Final = 1e-9
Known = Mapping[int, int]


class Impossible(ValueError):
    """The arms that were revealed cannot stand together on a list of this design."""


@dataclass(frozen=True)
class Reveal:
    """
    One revealed slot of a stratum, counted from 0; ``arm`` is None where it is not told here.

    ``used`` is how many slots of the stratum were taken when it happened, None if that is unknown.
    """

    slot: int
    arm: int | None = None
    used: int | None = None


@dataclass(frozen=True)
class SlotChange:
    """With what chance one other slot was guessed right before and after."""

    slot: int
    before: float
    after: float


@dataclass(frozen=True)
class Effect:
    """
    What one reveal did to the other slots of its stratum that were not revealed yet.

    ``before`` and ``after`` are expected correct guesses over them, ``rise`` the difference,
    ``rise_in_use`` and ``rise_to_come`` its parts in slots already taken and not yet taken (None
    where ``used`` is unknown). ``largest`` is the expected largest chance of any of them afterwards,
    ``largest_possible`` the largest whatever the arms are. ``certain`` is how many became certain,
    ``certain_after`` how many are. ``changes`` has the slots whose chance is not the same as ever.
    """

    reveal: Reveal
    before: float
    after: float
    rise: Estimate
    rise_in_use: float | None
    rise_to_come: float | None
    largest: float
    largest_possible: float
    certain: float
    certain_after: float
    changes: tuple[SlotChange, ...]


@dataclass(frozen=True)
class _World:
    """One way in which the arms revealed so far may be, and its chance."""

    known: Known
    chance: float
    posterior: Sequence[Sequence[float]]


def posteriors(source: Source, slots: int, known: Known) -> list[list[float]]:
    """
    Return for every slot the chance of each arm, given the ``known`` arms by slot.

    :raises Impossible: if the design cannot give them together.
    """
    arms = range(len(source.ratio))
    allowed = [(known[slot],) if slot in known else tuple(arms) for slot in range(slots)]
    moves = source.moves
    forward: list[Belief] = [{source.start: 1.0}]
    for may_be in allowed:
        after = by_arm(forward[-1], moves, len(arms))
        joined: Belief = {}
        for arm in may_be:
            for state, weight in after[arm].items():
                joined[state] = joined.get(state, 0.0) + weight
        whole = math.fsum(joined.values())
        if not whole:
            raise Impossible("these arms cannot stand together on a list of this design")
        forward.append({state: weight / whole for state, weight in joined.items()})
    backward = dict.fromkeys(forward[-1], 1.0)
    found = []
    for belief, may_be in zip(forward[-2::-1], allowed[::-1], strict=True):
        weights, earlier = [0.0 for _ in arms], {}
        for state, weight in belief.items():
            onward = [
                (arm, chance * backward.get(to, 0.0)) for chance, arm, to in moves(state) if arm in may_be
            ]
            earlier[state] = math.fsum(chance for _, chance in onward)
            for arm, chance in onward:
                weights[arm] += weight * chance
        whole = math.fsum(weights)
        found.append([weight / whole for weight in weights])
        # Scaled, or a long list would run out of small numbers.
        backward = {state: value / whole for state, value in earlier.items()}
    return found[::-1]


def effects(source: Source, slots: int, reveals: Sequence[Reveal], *, seed: int = SEED) -> list[Effect]:
    """
    Return what each reveal of one stratum did, in their order.

    :raises Impossible: if the arms that are given cannot stand together.
    :raises ValueError: if a slot is beyond ``slots``.
    """
    draws = random.Random(seed)  # noqa: S311 - see above
    worlds = [_World({}, 1.0, posteriors(source, slots, {}))]
    sampled = False
    found = []
    for reveal in reveals:
        if not 0 <= reveal.slot < slots:
            raise ValueError(f"slot {reveal.slot} is none of the stratum's slots, 0 to {slots - 1}")
        new = reveal.arm is None and reveal.slot not in worlds[0].known
        crowded = new and len(worlds) * len(source.ratio) > WORLDS
        sampled = sampled or crowded
        following = []
        for world in worlds:
            for arm, chance in _arms(world, reveal, draws if crowded else None):
                known = {**world.known, reveal.slot: arm}
                following.append(_World(known, world.chance * chance, posteriors(source, slots, known)))
        whole = math.fsum(world.chance for world in following)
        if not whole:
            raise Impossible(f"slot {reveal.slot} cannot have this arm beside those revealed before it")
        following = [replace(world, chance=world.chance / whole) for world in following]
        found.append(_effect(reveal, worlds, following, sampled=sampled))
        worlds = following
    return found


def _arms(world: _World, reveal: Reveal, draws: random.Random | None) -> list[tuple[int, float]]:
    """Return the arms that the slot may have in one world, each with its chance; with ``draws``, one."""
    odds = world.posterior[reveal.slot]
    possible = [(arm, chance) for arm, chance in enumerate(odds) if chance]
    if reveal.arm is not None:
        return [(arm, chance) for arm, chance in possible if arm == reveal.arm]
    if draws is not None:
        return [(draws.choices([arm for arm, _ in possible], [chance for _, chance in possible])[0], 1.0)]
    return possible


def _effect(reveal: Reveal, before: list[_World], after: list[_World], *, sampled: bool) -> Effect:
    slots = range(len(before[0].posterior))
    others = [slot for slot in slots if slot not in after[0].known]
    changes = [SlotChange(slot, _guess(before, slot), _guess(after, slot)) for slot in others]
    right = [math.fsum(max(world.posterior[slot]) for slot in others) for world in after]
    right_before = math.fsum(change.before for change in changes)
    right_after = math.fsum(change.after for change in changes)
    error = math.sqrt(
        math.fsum(
            (world.chance * (each - right_after)) ** 2 for world, each in zip(after, right, strict=True)
        )
    )
    tops = [max((max(world.posterior[slot]) for slot in others), default=0.0) for world in after]
    certain, certain_after = _certain(before, others), _certain(after, others)
    return Effect(
        reveal=reveal,
        before=right_before,
        after=right_after,
        rise=Estimate(right_after - right_before, error if sampled else None),
        rise_in_use=None if reveal.used is None else _rise(changes, range(reveal.used)),
        rise_to_come=None if reveal.used is None else _rise(changes, range(reveal.used, len(slots))),
        largest=math.fsum(world.chance * top for world, top in zip(after, tops, strict=True)),
        largest_possible=max(tops),
        certain=certain_after - certain,
        certain_after=certain_after,
        changes=tuple(change for change in changes if abs(change.after - change.before) > _NOTHING),
    )


def _guess(worlds: list[_World], slot: int) -> float:
    """Return the chance with which the best guess at a slot is right."""
    return math.fsum(world.chance * max(world.posterior[slot]) for world in worlds)


def _rise(changes: list[SlotChange], slots: range) -> float:
    return math.fsum(change.after - change.before for change in changes if change.slot in slots)


def _certain(worlds: list[_World], slots: list[int]) -> float:
    """Return how many of the slots have one arm left that is possible."""
    return math.fsum(
        world.chance for world in worlds for slot in slots if sum(map(bool, world.posterior[slot])) == 1
    )
