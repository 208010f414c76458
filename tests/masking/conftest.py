"""The plays: each arm vector's day, once in a run of the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.cluster import Cluster
from tests.masking import leaks
from tests.masking.compare import Seen
from tests.masking.day import Day
from tests.masking.stage import Stage, World, arms_of, exchanged, half_exchanged

SEED = bytes(32)


@dataclass(frozen=True)
class Played:
    """What is left of a play."""

    world: World
    database: str
    seen: Sequence[Seen]
    unmasked: Sequence[Seen]
    sheets: Mapping[str, str]
    broken_arm: str
    pages: frozenset[str]


@dataclass(frozen=True)
class Plays:
    """The same day under three arm vectors, and again under each with leaks planted."""

    stage: Stage
    as_listed: Played
    exchanged: Played
    unlike: Played
    leaking: Played
    leaking_exchanged: Played
    leaking_unlike: Played

    @property
    def sound(self) -> tuple[Played, Played, Played]:
        return self.as_listed, self.exchanged, self.unlike


@pytest.fixture(scope="session")
def plays(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plays]:
    """Every play, two at a time."""
    with (
        Stage(cluster, tmp_path_factory.mktemp("masking")) as stage,
        ThreadPoolExecutor(2) as at_once,
    ):
        listed = arms_of(SEED)
        vectors = (listed, exchanged(listed), half_exchanged(listed))
        worlds = list(at_once.map(lambda arms: stage.world(arms, SEED), vectors))

        def played(cast: tuple[World, Sequence[str]]) -> Played:
            return _played(stage, *cast)

        bare: list[tuple[World, Sequence[str]]] = [(world, ()) for world in worlds]
        planted: list[tuple[World, Sequence[str]]] = [(world, leaks.ALL) for world in worlds]
        yield Plays(stage, *at_once.map(played, [*bare, *planted]))


def _played(stage: Stage, world: World, planted: Sequence[str]) -> Played:
    with stage.play(world, leaks=planted) as play:
        # Nothing is planted in the admin, whose many pages take half of the time.
        day = Day(play, with_admin=not planted)
        day.run()
    return Played(
        world=world,
        database=play.database,
        seen=play.seen,
        unmasked=play.unmasked,
        sheets=day.sheets,
        broken_arm=day.broken["arm"],
        pages=frozenset(day.pages),
    )
