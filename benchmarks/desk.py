"""Who randomizes: the investigator's token, one database, and the people who wait for each case."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.load import Answers, drive, post
from benchmarks.place import SITE, Place, Server
from benchmarks.rows import Person, add_people, add_slots
from trialsite import protocol
from trialsite.deployment.evaluation import DATABASE

Levels = Mapping[str, str]
# No form of the call has reached more a second on two processors.
MOST_A_SECOND = 1500


def enough(*, rounds: int, seconds: float) -> int:
    """Return how many people a case may need."""
    return round(rounds * (seconds + 0.5) * MOST_A_SECOND)


class Desk:
    """One server's investigator."""

    def __init__(self, place: Place, server: Server, *, pattern: str) -> None:
        self._place, self._server, self._pattern = place, server, pattern
        self._waiting: dict[str, Iterator[Person]] = {}

    def invite(self, case: str, *, strata: Sequence[Levels], count: int) -> None:
        """Load so many people for a case, and slots for them."""
        people = load_people(
            self._place, pattern=self._pattern, strata=strata, count=count, database=self._server.database
        )
        self._waiting[case] = iter(people)

    def randomize(self, case: str, *, clients: int, seconds: float) -> Answers:
        """Randomize those who wait for a case, by REST."""
        return drive(self._server.port, self._requests(case), clients=clients, seconds=seconds)

    def empty(self, path: str, *, clients: int, seconds: float) -> Answers:
        """Send the same body, token and headers to a call that does nothing."""
        request = self._request(f"/benchmarks/{path}", Person("nobody", self._place.strata[0]))
        return drive(self._server.port, itertools.repeat(request), clients=clients, seconds=seconds)

    def _requests(self, case: str) -> Iterator[bytes]:
        for person in self._waiting[case]:
            yield self._request(f"/api/v1/participants/{person.id}/randomize", person)
        message = f"Too few people were invited to {case}."
        raise RuntimeError(message)

    def _request(self, path: str, person: Person) -> bytes:
        body = json.dumps({"stratum": person.levels}).encode()
        return post(path, body=body, token=self._place.token, key=person.id)


def load_people(
    place: Place, *, pattern: str, strata: Sequence[Levels], count: int, database: str = DATABASE
) -> list[Person]:
    """Load people who may be randomized, in the strata in turn, and as many free slots for them."""
    with place.superuser(database) as connection:
        people = add_people(connection, pattern=pattern, strata=strata, count=count)
        for levels in strata:
            add_slots(connection, levels=levels, more=-(-count // len(strata)))
    return people


def screen(place: Place, server: Server) -> str:
    """Screen somebody eligible through the interface, and return the participant's id."""
    trial = protocol.load(place.evaluation.trial_file)
    person = {
        "site": SITE,
        "sex": "female",
        "birth_date": "1970-05-17",
        "weight_kg": "61.5",
        "consented_at": "2026-03-02T09:00:00+08:00",
        "local_identifier": "BENCHMARK",
        "eligibility": {criterion.code: criterion.expected for criterion in trial.eligibility},
        "strata": {factor.code: factor.levels[0] for factor in trial.factors if not factor.derived_from},
    }
    return str(_ask(place, server, "participants", person)["id"])


def randomize_first(place: Place, server: Server, participant: str) -> None:
    """Randomize one person, whose rows are the pattern of a longer past."""
    _ask(
        place, server, f"participants/{participant}/randomize", {"stratum": place.strata[0]}, key=participant
    )


def _ask(
    place: Place, server: Server, path: str, body: Mapping[str, Any], *, key: str = "first"
) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/api/v1/{path}",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {place.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        read: dict[str, Any] = json.load(answer)
        return read
