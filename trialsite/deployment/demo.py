"""
The trial, played through its REST interface as its users would play it.

Every person here is synthetic. Nothing is read or written but by HTTP with the evaluation users'
own tokens, passwords and one-time codes; trial time is moved by the administrator's clock.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar

import httpx
from tqdm import tqdm

from trialsite.deployment.evaluation import one_time_code

PLANNED = 48
AT_ONCE = 4
CELLS_PER_ML = Decimal("10000000")
VIABILITY_PERCENT = Decimal("85")
NOT_APPLICABLE = "not applicable"
Answer = dict[str, Any]
Given = TypeVar("Given")
Made = TypeVar("Made")


class DemoFailed(Exception):
    """The service did not do what the demonstration expects of it."""


@dataclass
class Enrolled:
    """A synthetic participant, as the site knows them."""

    local_identifier: str
    weight_kg: str
    answer: Answer
    infusions: list[Answer] = field(default_factory=list)


class Client:
    """One evaluation user at one face."""

    def __init__(self, base: str, user: Mapping[str, str]) -> None:
        self.user = user
        self.http = httpx.Client(
            base_url=f"{base}/api/v1/", headers={"Authorization": f"Bearer {user['token']}"}, timeout=90
        )

    def get(self, path: str, **query: str) -> Any:
        return self._read(self.http.get(path, params=query))

    def post(self, path: str, **body: Any) -> Any:
        return self._read(self.http.post(path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())}))

    def all(self, path: str, **query: str) -> Iterator[Answer]:
        """Yield every row of a list, page by page."""
        page = self.get(path, **query)
        yield from page["results"]
        while page["next"]:
            page = self._read(self.http.get(page["next"]))
            yield from page["results"]

    def sign(self) -> dict[str, str]:
        """Return a whole signature: password and the one-time code of this moment."""
        return {"password": self.user["password"], "otp": one_time_code(self.user["totp_secret"])}

    def open_session(self) -> None:
        """Open a work session and carry it from now on."""
        self.http.headers["X-Session"] = self.post("sessions", **self.sign())["session"]

    def _read(self, response: httpx.Response) -> Any:
        if not response.is_success:
            raise DemoFailed(f"{response.request.method} {response.request.url.path}: {response.text}")
        return response.json() if "json" in response.headers["Content-Type"] else response.content


class Demo:
    """The cast of one site, and the acts of the trial in their order."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        def person(name: str, face: str) -> Client:
            return Client(ready[face], ready["users"][name])

        self.investigator = person("investigator", "masked")
        self.pharmacist = person("pharmacist", "masked")
        self.nurse = person("nurse", "masked")
        self.administrator = person("administrator", "masked")
        self.preparer = person("preparer", "unmasked")
        self.second_preparer = person("second_preparer", "unmasked")
        self.breaker = person("investigator", "unmasked")
        self.auditor = person("auditor", "unmasked")
        self.enrolled: list[Enrolled] = []

    def play(self) -> None:
        """
        Enrol, randomize and infuse PLANNED participants.

        :raises DemoFailed: at the first answer that is not as it should be.
        """
        self.trial = self.investigator.get("trial")
        self.preparer.open_session()
        self.second_preparer.open_session()
        with _bar(PLANNED, "enrolled and randomized") as step:
            self.enrolled = _each(range(1, PLANNED + 1), self._enrol, step)
        for number in range(1, len(self.trial["infusions"]) + 1):
            self._infusion_day(number)

    def summary(self) -> str:
        """Return what an evaluator reads: participants per stratum, and infusions by status."""
        strata: Counter[str] = Counter()
        for row in self.investigator.all("participants"):
            if row["randomization_number"]:
                strata[", ".join(f"{factor} {level}" for factor, level in row["stratum"].items())] += 1
        statuses = Counter(row["status"] for row in self.investigator.all("infusions"))
        if sum(strata.values()) != PLANNED or statuses != {"given": PLANNED * len(self.trial["infusions"])}:
            raise DemoFailed(f"enrolled {dict(strata)}, infusions {dict(statuses)}")
        lines = [f"  {count:3d}  {stratum}" for stratum, count in sorted(strata.items())]
        return "\n".join(
            [
                f"Enrolled and randomized: {sum(strata.values())}",
                *lines,
                f"Infusions given: {statuses['given']}",
            ]
        )

    def unblind(self) -> Answer:
        """Break one participant's code in an emergency and return the answer."""
        return dict(
            self.breaker.post(
                "unblindings",
                participant=self.enrolled[0].answer["id"],
                category="emergency",
                reason="Synthetic emergency of the demonstration.",
                reveal_to="requester",
                signature=self.breaker.sign(),
            )
        )

    def export(self) -> bytes:
        """Return the trail's bundle for the offline verifier."""
        return bytes(self.auditor.get("audit-trail/export"))

    def _enrol(self, index: int) -> Enrolled:
        now = dt.datetime.fromisoformat(self.administrator.get("evaluation/clock")["now"])
        age = 18 + index * 37 % 58
        local_identifier = f"SYNTHETIC-{index:03d}"
        weight_kg = f"{48 + index * 13 % 50}.5"
        severe = [c["code"] for c in self.trial["eligibility"] if c["combine"] == "any"]
        answer = self.investigator.post(
            "participants",
            site=self.investigator.user["site"],
            sex="female" if index % 2 else "male",
            birth_date=f"{now.year - age - 1}-12-31",
            weight_kg=weight_kg,
            consented_at=now.isoformat(),
            local_identifier=local_identifier,
            eligibility={
                c["code"]: c["kind"] == "inclusion" and c["code"] not in severe[1:]
                for c in self.trial["eligibility"]
            },
            strata={
                "respiratory_support": "high_flow_or_ventilation" if index % 3 == 0 else "conventional_oxygen"
            },
        )
        randomized = self.investigator.post(
            f"participants/{answer['id']}/randomize", stratum=answer["stratum"]
        )
        return Enrolled(local_identifier, weight_kg, randomized, randomized["infusions"])

    def _infusion_day(self, number: int) -> None:
        self._advance_to(
            max(dt.datetime.fromisoformat(e.infusions[number - 1]["opens_at"]) for e in self.enrolled)
        )
        with _bar(PLANNED, f"infusion {number} prepared") as step:
            now = dt.datetime.fromisoformat(self.administrator.get("evaluation/clock")["now"])
            _each(self.enrolled, lambda e: self._order(e, number, now), lambda: None)
            due = [row["id"] for row in self.preparer.all("preparations", status="to_prepare")]
            _each(due, self._prepare, step)
        self._advance(15 * 60)
        with _bar(PLANNED, f"infusion {number} started") as step:
            _each(self.enrolled, lambda e: self._start(e, number), step)
        self._advance(60 * 60)
        _each(self.enrolled, lambda e: self._stop(e, number), lambda: None)

    def _order(self, enrolled: Enrolled, number: int, now: dt.datetime) -> None:
        self.investigator.post(
            f"infusions/{enrolled.infusions[number - 1]['id']}/order",
            weight_kg=enrolled.weight_kg,
            weighed_at=now.isoformat(),
            needed_at=(now + dt.timedelta(hours=1)).isoformat(),
            ward="Respiratory ward",
        )

    def _prepare(self, preparation: str) -> None:
        at = f"preparations/{preparation}"
        sheet = self.preparer.post(f"{at}/open")
        lots = {lot["component"]: lot["number"] for lot in self.preparer.all("lots")}
        kit = sheet["kit_number"]
        self.preparer.post(
            f"{at}/complete",
            kit_scan=kit,
            lot=lots[sheet["components"][0]],
            prepared_at=self.administrator.get("evaluation/clock")["now"],
            contents=_contents(sheet),
        )
        self.second_preparer.post(f"{at}/open")
        self.second_preparer.post(
            f"{at}/verify",
            kit_scan=kit,
            contents_verified=True,
            signature={"password": self.second_preparer.user["password"]},
        )
        self.second_preparer.post(f"{at}/cover", kit_scan=kit, cover_applied=True)

    def _start(self, enrolled: Enrolled, number: int) -> None:
        at = f"infusions/{enrolled.infusions[number - 1]['id']}"
        kit = self.pharmacist.get(at)["kit_number"]
        self.pharmacist.post(f"{at}/dispense", kit_scan=kit)
        self.nurse.post(
            f"{at}/start",
            kit_scan=kit,
            participant_scan=enrolled.local_identifier,
            cover_intact=True,
            started_at=self.administrator.get("evaluation/clock")["now"],
        )

    def _stop(self, enrolled: Enrolled, number: int) -> None:
        self.nurse.post(
            f"infusions/{enrolled.infusions[number - 1]['id']}/stop",
            ended_at=self.administrator.get("evaluation/clock")["now"],
            volume_ml="100",
            outcome="completed",
        )

    def _advance_to(self, moment: dt.datetime) -> None:
        now = dt.datetime.fromisoformat(self.administrator.get("evaluation/clock")["now"])
        # Into the working day: a window opens at midnight, and a ward infuses by daylight.
        self._advance(max(0, int((moment + dt.timedelta(hours=9) - now).total_seconds())))

    def _advance(self, seconds: int) -> None:
        self.administrator.post("evaluation/clock", advance_seconds=seconds)


def _contents(sheet: Answer) -> dict[str, str]:
    """Return what the preparer measured: true values, and "not applicable" where a bag has no cells."""
    if sheet["target_cells"] == NOT_APPLICABLE:
        return {
            item["code"]: NOT_APPLICABLE if item["not_applicable"] else sheet["volume_ml"]
            for item in sheet["contents"]
        }
    drawn = (Decimal(sheet["target_cells"]) / (CELLS_PER_ML * VIABILITY_PERCENT / 100)).quantize(
        Decimal("0.01"), ROUND_HALF_UP
    )
    return {
        "cells_per_ml": str(CELLS_PER_ML),
        "viability_percent": str(VIABILITY_PERCENT),
        "volume_drawn_ml": str(drawn),
        "total_cells": str(drawn * CELLS_PER_ML * VIABILITY_PERCENT / 100),
        "final_volume_ml": sheet["volume_ml"],
    }


@contextmanager
def _bar(total: int, what: str) -> Iterator[Callable[[], None]]:
    with tqdm(total=total, desc=f"{what:28}", unit="") as bar:

        def step() -> None:
            bar.update()

        yield step


def _each(items: Iterable[Given], act: Callable[[Given], Made], step: Callable[[], None]) -> list[Made]:
    """Act on each item, a few at once, as several people at a site do; fail at the first failure."""

    def one(item: Given) -> Made:
        made = act(item)
        step()
        return made

    with ThreadPoolExecutor(AT_ONCE) as people:
        return list(people.map(one, items))
