"""Many at once, through the masked web as it is run in a trial; some hang up, some repeat themselves."""

from __future__ import annotations

import dataclasses
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest

import tests.world as worlds
from randomization.models import Allocation, Participant, Stratum
from supply.models import Infusion
from tests.faults.serving import headers, kept, the_masked_web
from tests.world import World, a_participant, a_world
from trialsite.api.models import IdempotentRequest
from trialsite.audit.canonical import parse
from trialsite.audit.kinds import Kind
from trialsite.audit.models import Entry

CROWD, REPEATS = 50, 20
T = TypeVar("T")


@pytest.fixture
def world(a_fresh_database, tmp_path, settings, monkeypatch) -> World:
    """More than the trial file plans to enrol."""
    uncapped = dataclasses.replace(worlds.the_protocol(), caps=None)
    monkeypatch.setattr(worlds, "the_protocol", lambda: uncapped)
    return a_world(tmp_path, settings, length=CROWD)


@pytest.fixture
def web(world, a_fresh_database) -> Iterator[str]:
    with the_masked_web(world, a_fresh_database) as address:
        yield address


def at_once(works: list[Callable[[], T]]) -> list[T]:
    """Return what each returns, all begun at one moment."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        start.wait(timeout=60)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def asking(
    web: str, world: World, participant: Participant, *, key: str, stratum: dict[str, str] | None = None
) -> httpx.Request:
    body = {"stratum": participant.stratum_levels if stratum is None else stratum}
    url = f"{web}/participants/{participant.pk}/randomize"
    return httpx.Request("POST", url, json=body, headers=headers(world, key=key))


def send(request: httpx.Request) -> tuple[int, dict[str, Any]]:
    with httpx.Client(timeout=60) as client:
        answer = client.send(request)
    return answer.status_code, answer.json()


def hang_up(request: httpx.Request, *, after: float) -> None:
    """Send a share of the request and reset the connection without waiting for an answer."""
    url = urlsplit(str(request.url))
    lines = [f"POST {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    content = "\r\n".join([*lines, "", ""]).encode() + request.content
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(content[: round(len(content) * after)])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.requirement(8, 9, 10)
def test_of_fifty_at_once_each_gets_a_slot_of_their_own_in_order_though_some_hang_up(world, web):
    requests = [asking(web, world, a_participant(world), key=f"key-{n}") for n in range(CROWD)]
    # One in ten hangs up: in the middle of the request, or as soon as it is sent.
    aborts = {n: 1.0 if n % 20 else 0.9 for n in range(0, CROWD, 10)}

    def begin(n: int) -> tuple[int, dict[str, Any]] | None:
        return hang_up(requests[n], after=aborts[n]) if n in aborts else send(requests[n])

    answers = at_once([lambda n=n: begin(n) for n in range(CROWD)])
    for n in aborts:
        answers[n] = send(requests[n])

    assert Counter(answer[0] for answer in answers if answer) == {201: CROWD}
    told = {answer[1]["id"]: answer[1]["randomization_number"] for answer in answers if answer}
    held = {str(each.participant_id): each.randomization_number for each in Allocation.objects.all()}
    assert told == held
    assert len(set(held.values())) == CROWD
    assert sorted(Allocation.objects.values_list("position", flat=True)) == list(range(CROWD))
    assert Stratum.objects.get(ordinal=1).next_slot == CROWD
    assert Infusion.objects.count() == 4 * CROWD
    assert IdempotentRequest.objects.filter(status=201).count() == CROWD
    events = Entry.objects.filter(kind=Kind.PARTICIPANT_RANDOMIZED).order_by("position")
    assert [parse(bytes(event.body))["data"]["slot"] for event in events] == list(range(CROWD))


@pytest.mark.requirement(10)
def test_one_key_sent_twenty_times_at_once_has_one_effect_and_with_another_body_none(world, web):
    participant = a_participant(world)
    other = participant.stratum_levels | {"respiratory_support": "high_flow_or_ventilation"}
    request = asking(web, world, participant, key="one")

    answers = at_once([lambda: send(request)] * REPEATS)
    once_more = send(request)
    another_body = send(asking(web, world, participant, key="one", stratum=other))
    another_person = send(asking(web, world, a_participant(world), key="one"))

    assert once_more[0] == 201
    assert {status for status, _ in answers} <= {201, 409}
    assert all(answer == once_more for answer in answers if answer[0] == 201)
    assert once_more in answers
    for refused in (another_body, another_person):
        assert (refused[0], refused[1]["code"]) == (422, "idempotency_key_reused")
    assert kept() == "all"
    assert once_more[1]["randomization_number"] == Allocation.objects.get().randomization_number
