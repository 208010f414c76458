"""Whether a randomization costs the same with a long past: the same call in databases of different sizes."""

from __future__ import annotations

from functools import partial

from benchmarks.desk import Desk, enough, randomize_first, screen
from benchmarks.place import Place
from benchmarks.rows import add_past, add_slots, settle
from benchmarks.run import Case, Ratio

SIZES, QUICK_SIZES = (100, 10_000, 1_000_000), (100, 1_000, 10_000)


def ratios(sizes: tuple[int, ...]) -> tuple[Ratio, ...]:
    """Return the larger databases over the smallest."""
    return tuple(
        Ratio(
            f"p50 with {size:,} / {sizes[0]:,} randomized",
            f"growth/{size}",
            f"growth/{sizes[0]}",
            "p50",
            goal=1.1 if size == sizes[-1] else None,
            at_most=True,
        )
        for size in sizes[1:]
    )


def cases(place: Place, *, sizes: tuple[int, ...], rounds: int, seconds: float) -> list[Case]:
    """
    Make a database of each size, each with a server of its own, all of them at once.

    The past lies in the stratum and at the site of those who are randomized. Called before anything
    else is served, for a database that somebody is connected to cannot be copied.
    """
    levels, made = place.strata[0], []
    for size in sizes:
        database = f"grown_{size}"
        place.copy(database)
        server = place.serve(database)
        randomized = screen(place, server)
        randomize_first(place, server, randomized)
        with place.superuser(database) as connection:
            add_slots(connection, levels=levels, more=size)
            add_past(connection, pattern=randomized, levels=levels, used=size)
        desk, name = Desk(place, server, pattern=randomized), f"growth/{size}"
        desk.invite(name, strata=[levels], count=enough(rounds=rounds, seconds=seconds) // 2)
        with place.superuser(database) as connection:
            settle(connection)
        made.append(Case(name, partial(desk.randomize, name, clients=1, seconds=seconds), "201"))
    return made
