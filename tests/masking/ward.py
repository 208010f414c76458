"""The people of one site and what they do there, one act at a time, each through HTTP."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.masking.compare import Seen
from tests.masking.people import Person
from tests.masking.stage import Play

SITE = "PUREN"
NOT_APPLICABLE = "not applicable"
LOTS = {"uc_msc": "C-20-017", "placebo_diluent": "D-20-204"}
MASKED = ("investigator", "pharmacist", "nurse", "outcome_assessor", "monitor", "study_manager")


@dataclass
class Someone:
    """A participant, as the site knows them."""

    local_identifier: str
    record: dict[str, Any]
    infusions: list[str] = field(default_factory=list)
    kit: str = ""

    @property
    def at(self) -> str:
        return f"participants/{self.record['id']}"

    @property
    def number(self) -> str:
        return str(self.record["randomization_number"])


class Ward:
    """The cast, and the acts that a day is made of."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.masked = {name: Person(play, name) for name in (*MASKED, "investigator_2")}
        self.investigator, self.pharmacist = self.masked["investigator"], self.masked["pharmacist"]
        self.nurse = self.masked["nurse"]
        self.administrator = Person(play, "administrator")
        self.preparer = Person(play, "preparer", "unmasked", masked=False)
        self.second = Person(play, "second_preparer", "unmasked", masked=False)
        self.desk = Person(play, "emergency_desk", "unmasked", masked=False)
        # The same masked people at the other face, where some of them have business.
        self.abroad = {name: Person(play, name, "unmasked") for name in MASKED}
        self.trial: dict[str, Any] = {}
        # What the true sheets said, by randomization number: that two plays are not the same play.
        self.sheets: dict[str, str] = {}
        self.broken: dict[str, Any] = {}

    def now(self) -> str:
        """Return trial time, as the administrator is told it."""
        return str(self.administrator.get("evaluation/clock")["now"])

    def until(self, day: int, *, hour: int) -> int:
        """Return the minutes from now to that hour of that trial day, at the site."""
        local = dt.timezone(dt.timedelta(hours=8))
        return int((dt.datetime(2020, 3, 1 + day, hour, tzinfo=local) - self.moment()).total_seconds() // 60)

    def moment(self) -> dt.datetime:
        return dt.datetime.fromisoformat(self.now())

    def advance(self, *, minutes: int) -> None:
        """Move trial time; the call waits for the sweeps, which run here in one order."""
        before = self.play.generation()
        with ThreadPoolExecutor(1) as aside:
            moving = aside.submit(self.administrator.post, "evaluation/clock", advance_seconds=60 * minutes)
            while self.play.generation() == before and not moving.done():
                time.sleep(0.002)
            self.play.sweep()
            moving.result()

    def receive_lots(self) -> None:
        self.preparer.open_session()
        self.second.open_session()
        for component, number in LOTS.items():
            self.preparer.post(
                "lots",
                site=SITE,
                component=component,
                number=number,
                expires_at="2020-06-01T00:00:00Z",
                certificate=f"COA-{number}",
            )

    def screening(self, name: str, birth_date: str, support: str, **answers: bool) -> dict[str, Any]:
        severe = ("I4B", "I4C")
        eligibility = {
            criterion["code"]: criterion["kind"] == "inclusion" and criterion["code"] not in severe
            for criterion in self.trial["eligibility"]
        }
        return {
            "site": SITE,
            "sex": "female",
            "birth_date": birth_date,
            "weight_kg": "70.50",
            "consented_at": "2020-03-01T09:00:00+08:00",
            "local_identifier": f"LOCAL-{name}",
            "eligibility": {**eligibility, **answers},
            "strata": {"respiratory_support": support},
        }

    def screens(self, name: str, birth_date: str, support: str, **answers: bool) -> Someone:
        stated = self.screening(name, birth_date, support, **answers)
        return Someone(stated["local_identifier"], self.investigator.post("participants", **stated))

    def randomizes(self, one: Someone) -> None:
        stratum = one.record["stratum"]
        key = one.local_identifier.removeprefix("LOCAL-")
        one.record = self.investigator.post(f"{one.at}/randomize", key=key, stratum=stratum)
        one.infusions = [infusion["id"] for infusion in one.record["infusions"]]

    def order(self, **changes: str) -> dict[str, Any]:
        now = self.moment()
        needed = (now + dt.timedelta(minutes=60)).isoformat()
        return {
            "weight_kg": "70.50",
            "weighed_at": now.isoformat(),
            "needed_at": needed,
            "ward": "3",
            **changes,
        }

    def orders(self, one: Someone, number: int) -> None:
        self.investigator.post(f"infusions/{one.infusions[number - 1]}/order", **self.order())

    def opens_the_sheet(self, one: Someone, number: int) -> tuple[str, dict[str, Any]]:
        waiting = self.preparer.get(f"preparations?participant={one.record['id']}&status=to_prepare")[
            "results"
        ]
        (preparation,) = [row for row in waiting if row["infusion"] == one.infusions[number - 1]]
        at = f"preparations/{preparation['id']}"
        sheet = self.preparer.post(f"{at}/open")
        self.sheets[one.number] = sheet["treatment_code"]
        return at, sheet

    def completes(self, at: str, sheet: dict[str, Any]) -> None:
        self.preparer.post(
            f"{at}/complete",
            kit_scan=sheet["kit_number"],
            lot=LOTS[sheet["components"][0]],
            prepared_at=self.now(),
            contents=_contents(sheet),
        )

    def rejects(self, one: Someone, number: int) -> None:
        at, sheet = self.opens_the_sheet(one, number)
        self.completes(at, sheet)
        self.second.post(
            f"{at}/reject", reason="Cells clumped." if len(sheet["components"][0]) == 6 else "Leak."
        )

    def prepares(self, one: Someone, number: int) -> None:
        """Make a bag as its sheet says, up to its cover; who prints the label shows it to the ward."""
        at, sheet = self.opens_the_sheet(one, number)
        self.completes(at, sheet)
        kit = sheet["kit_number"]
        self.second.post(f"{at}/open")
        self.second.post(
            f"{at}/verify",
            kit_scan=kit,
            contents_verified=True,
            signature={"password": self.second.secrets["password"]},
        )
        label = self.second.get(f"{at}/label.pdf")
        self.play.seen.append(Seen(f"label of {one.local_identifier}, infusion {number}", label))
        self.second.post(f"{at}/cover", kit_scan=kit, cover_applied=True)

    def released(self, one: Someone, number: int, *, expired: bool = False) -> str:
        kit = self.pharmacist.get(f"infusions/{one.infusions[number - 1]}")["kit_number"]
        assert bool(kit) != expired, f"{one.local_identifier} has {kit}"
        return kit or ""

    def start(self, one: Someone, **changes: Any) -> dict[str, Any]:
        return {
            "kit_scan": one.kit,
            "participant_scan": one.number,
            "cover_intact": True,
            "started_at": self.now(),
            **changes,
        }

    def starts(self, one: Someone, number: int, *, scan: str = "", **changes: Any) -> None:
        stated = self.start(one, participant_scan=scan or one.number, **changes)
        self.nurse.post(f"infusions/{one.infusions[number - 1]}/start", **stated)

    def start_refused(self, one: Someone, code: str, **changes: Any) -> None:
        self.nurse.refused(code, f"infusions/{one.infusions[0]}/start", **self.start(one, **changes))

    def stops(self, one: Someone, number: int, outcome: str, volume_ml: str, reason: str = "") -> None:
        stated: dict[str, Any] = {
            "ended_at": self.now(),
            "volume_ml": volume_ml,
            "outcome": outcome,
            "reason": reason,
        }
        self.nurse.post(f"infusions/{one.infusions[number - 1]}/stop", **stated)


def _contents(sheet: dict[str, Any]) -> dict[str, str]:
    """Return what was truly measured; nothing is invented for a bag without cells."""
    if sheet["target_cells"] == NOT_APPLICABLE:
        return {
            item["code"]: NOT_APPLICABLE if item["not_applicable"] else sheet["volume_ml"]
            for item in sheet["contents"]
        }
    drawn = (Decimal(sheet["target_cells"]) / 8_500_000).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return {
        "cells_per_ml": "10000000",
        "viability_percent": "85",
        "volume_drawn_ml": str(drawn),
        "total_cells": format(drawn * 8_500_000, "f"),
        "final_volume_ml": sheet["volume_ml"],
    }
