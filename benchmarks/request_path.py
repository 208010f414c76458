"""A randomization by REST, beside its floors: an empty authenticated POST, and its rows as plain SQL."""

from __future__ import annotations

import itertools
from functools import partial

from benchmarks.desk import Desk, enough, load_people, screen
from benchmarks.floor import Floor
from benchmarks.place import Place
from benchmarks.rows import settle
from benchmarks.run import Case, Ratio

CLIENTS = (1, 8, 32)
EMPTY = ("empty-open", "empty-knox", "empty")

RATIOS = (
    Ratio("call / empty POST (knox)  many, 8 clients", "randomize/many/c8", "empty-knox/c8", goal=0.25),
    Ratio(
        "call / empty POST (knox)  many, 8 clients, by cpu", "randomize/many/c8", "empty-knox/c8", by="cpu"
    ),
    Ratio("call / empty POST (own)   many, 8 clients", "randomize/many/c8", "empty/c8"),
    Ratio("call / empty POST (knox)  many, 1 client, p50", "randomize/many/c1", "empty-knox/c1", by="p50"),
    Ratio("call / SQL floor          many, 8 clients", "randomize/many/c8", "floor/many/c8"),
    Ratio("call / SQL floor          one,  8 clients", "randomize/one/c8", "floor/one/c8"),
    Ratio("call one / many           8 clients", "randomize/one/c8", "randomize/many/c8"),
    Ratio("call p99 / p50            one,  8 clients", "randomize/one/c8", "", "tail", goal=3, at_most=True),
    Ratio("call p99 / p50            one, 32 clients", "randomize/one/c32", "", "tail", goal=3, at_most=True),
    Ratio("empty POST (own) / open   8 clients", "empty/c8", "empty-open/c8"),
    Ratio("empty POST (knox) / open  8 clients", "empty-knox/c8", "empty-open/c8"),
)


def cases(place: Place, *, rounds: int, seconds: float) -> list[Case]:
    """Prepare the first database, serve it, and return its cases."""
    server = place.serve()
    pattern = screen(place, server)
    desk = Desk(place, server, pattern=pattern)
    made = [
        Case(f"{path}/c{clients}", partial(desk.empty, path, clients=clients, seconds=seconds), "200")
        for path, clients in itertools.product(EMPTY, CLIENTS)
    ]
    count = enough(rounds=rounds, seconds=seconds)
    for spread, clients in itertools.product(("many", "one"), CLIENTS):
        strata = place.strata if spread == "many" else place.strata[:1]
        name = f"randomize/{spread}/c{clients}"
        desk.invite(name, strata=strata, count=count)
        made.append(Case(name, partial(desk.randomize, name, clients=clients, seconds=seconds), "201"))
        people = load_people(place, pattern=pattern, strata=strata, count=2 * count)
        floor = Floor(place, f"{spread}_{clients}", people)
        made.append(Case(f"floor/{spread}/c{clients}", partial(floor.run, clients=clients, seconds=seconds)))
    with place.superuser() as connection:
        settle(connection)
    return made
