"""
A day at the site, in verbs: ``day.order(infusion)``, ``day.prepare(infusion)``, ``day.start(infusion)``.

Each verb is one service call by the person whose work it is, at the day's own time ``day.now``,
which only ``day.wait`` moves. What a verb is not told, it does as it should be done.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, TypeVar

from django.db.models import F

from randomization.models import Participant
from supply.models import Infusion, Kit, Lot, Preparation
from supply.services import (
    bedside,
    desk,
    dispatch,
    dispensing,
    enrolment,
    kits,
    lots,
    ordering,
    preparation,
    withdrawal,
)
from tests.world import World, a_participant
from trialsite.accounts.models import User

LOT = "LOT-7"
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
Row = TypeVar("Row", Infusion, Kit, Preparation)


class Day:
    """One site's day; it begins at 08:02 in Wuhan, some days after the trial was activated."""

    def __init__(self, world: World) -> None:
        self.world = world
        midnight = dt.datetime.now(dt.UTC).replace(hour=0, minute=2, second=0, microsecond=0)
        self.now = midnight + dt.timedelta(days=3)
        for component in ("uc_msc", "placebo_diluent"):
            self.receive(component)

    def person(self, name: str) -> User:
        return self.world.person(name)

    def wait(self, **time: float) -> None:
        self.now += dt.timedelta(**time)

    def receive(self, component: str, **other: Any) -> Lot:
        stated = {
            "site": "PUREN",
            "component": component,
            "number": LOT,
            "expires_at": self.now + dt.timedelta(days=60),
            "certificate": "COA-1",
            "by": self.person("preparer"),
            "at": self.now,
        }
        return lots.receive_lot(**stated | other)

    def enrol(self, participant: Participant | None = None, **other: Any) -> list[Infusion]:
        """Randomize a new participant and return their infusions."""
        participant = participant or a_participant(self.world)
        stated = {
            "participant_id": participant.pk,
            "stratum": participant.stratum_levels,
            "by": self.person("investigator"),
            "at": self.now,
        }
        enrolment.randomize_participant(**stated | other)
        return list(Infusion.objects.filter(participant=participant).order_by("number"))

    def order(self, infusion: Infusion, **other: Any) -> Preparation:
        stated = {
            "infusion_id": infusion.pk,
            "weight_kg": Decimal("61.5"),
            "weighed_at": self.now,
            "needed_at": self.now + HOUR,
            "ward": "Respiratory ward",
            "by": self.person("investigator"),
            "at": self.now,
        }
        ordering.order_infusion(**stated | other)
        desk.take_up_orders()
        return self.preparation(infusion)

    def cancel_order(self, infusion: Infusion) -> None:
        ordering.cancel_order(
            infusion_id=infusion.pk, reason="not now", by=self.person("investigator"), at=self.now
        )

    def preparation(self, infusion: Infusion) -> Preparation:
        """Return the latest preparation for the infusion: of its open order, if it has one."""
        made = Preparation.objects.filter(order__infusion=infusion)
        latest = made.order_by(F("order__closed_at").asc(nulls_last=True), "attempt").last()
        assert latest is not None
        return latest

    def open(self, made: Preparation, *, by: str = "preparer") -> preparation.Sheet:
        preparation.request_sheet(preparation_id=made.pk, by=self.person(by), at=self.now)
        return preparation.open_preparation(preparation_id=made.pk, by=self.person(by))

    def complete(self, made: Preparation, **other: Any) -> Preparation:
        sheet = self.open(made)
        stated = {
            "preparation_id": made.pk,
            "kit_scan": sheet.preparation.kit_number_id,
            "lot": LOT,
            "prepared_at": self.now,
            "contents": true_contents(sheet),
            "by": self.person("preparer"),
            "at": self.now,
        }
        return preparation.complete_preparation(**stated | other)

    def verify(
        self, made: Preparation, *, by: str = "second_preparer", opened: bool = True, **other: Any
    ) -> Preparation:
        """Open the sheet, compare the bag with it, and sign."""
        if opened:
            preparation.request_sheet(preparation_id=made.pk, by=self.person(by), at=self.now)
        stated = {
            "preparation_id": made.pk,
            "kit_scan": fresh(made).kit_number_id or "",
            "contents_verified": True,
            "password": self.world.users[by]["password"],
            "by": self.person(by),
            "at": self.now,
        }
        return desk.verify_preparation(**stated | other)

    def cover(self, made: Preparation, *, by: str = "second_preparer", **other: Any) -> Preparation:
        stated = {
            "preparation_id": made.pk,
            "kit_scan": fresh(made).kit_number_id or "",
            "cover_applied": True,
            "by": self.person(by),
            "at": self.now,
        }
        return desk.cover_preparation(**stated | other)

    def reject(self, made: Preparation, **other: Any) -> Preparation:
        stated = {
            "preparation_id": made.pk,
            "reason": "spilled",
            "by": self.person("preparer"),
            "at": self.now,
        }
        return desk.reject_preparation(**stated | other)

    def make(self, infusion: Infusion) -> Preparation:
        """Order a bag and make it, up to the cover."""
        made = self.order(infusion)
        self.complete(made)
        self.verify(made)
        return self.cover(made)

    def prepare(self, infusion: Infusion) -> Kit:
        """Order a bag, make it, and wait for its release at the next dispatch minute."""
        made = self.make(infusion)
        assert made.dispatch_at is not None
        self.now = made.dispatch_at
        assert dispatch.release_due(at=self.now) == 1
        return Kit.objects.get(pk=made.kit_number_id)

    def dispense(self, infusion: Infusion, **other: Any) -> Infusion:
        stated = {
            "infusion_id": infusion.pk,
            "kit_scan": fresh(infusion).kit_id or "",
            "by": self.person("pharmacist"),
            "at": self.now,
        }
        return dispensing.dispense_kit(**stated | other)

    def start(self, infusion: Infusion, **other: Any) -> Infusion:
        stated = {
            "infusion_id": infusion.pk,
            "kit_scan": fresh(infusion).kit_id or "",
            "participant_scan": infusion.participant.allocation.randomization_number,
            "cover_intact": True,
            "started_at": self.now,
            "reason": "",
            "by": self.person("nurse"),
            "at": self.now,
        }
        return bedside.start_infusion(**stated | other)

    def stop(self, infusion: Infusion, **other: Any) -> Infusion:
        stated = {
            "infusion_id": infusion.pk,
            "ended_at": self.now,
            "volume_ml": Decimal(100),
            "outcome": bedside.Outcome.COMPLETED,
            "reason": "",
            "by": self.person("nurse"),
            "at": self.now,
        }
        return bedside.stop_infusion(**stated | other)

    def miss(self, infusion: Infusion) -> Infusion:
        return bedside.declare_missed(
            infusion_id=infusion.pk, reason="went home", by=self.person("investigator"), at=self.now
        )

    def waste(self, kit: Kit, **other: Any) -> Kit:
        stated = {
            "kit_number": kit.number,
            "reason": "dropped",
            "wasted_at": self.now,
            "volume_ml": None,
            "by": self.person("nurse"),
            "at": self.now,
        }
        return kits.waste_kit(**stated | other)

    def discontinue(self, participant: Participant, **other: Any) -> Any:
        stated = {
            "participant_id": participant.pk,
            "scope": "treatment",
            "reason": "wish of the participant",
            "discontinued_at": self.now,
            "by": self.person("investigator"),
            "at": self.now,
        }
        return withdrawal.discontinue_participant(**stated | other)

    def ready_to_start(self, infusion: Infusion) -> Kit:
        """Prepare a bag and hand it over."""
        kit = self.prepare(infusion)
        self.dispense(infusion)
        return kit

    def infuse(self, infusion: Infusion) -> Infusion:
        """Give an infusion from the order to its end, an hour after its start."""
        self.ready_to_start(infusion)
        self.start(infusion)
        self.wait(hours=1)
        return self.stop(infusion)

    def enrol_with(self, treatment: str) -> list[Infusion]:
        """Enrol until somebody has that treatment; for tests that look under the mask."""
        for _ in range(8):
            infusions = self.enrol()
            made = self.order(infusions[0])
            if self.open(made).code == treatment:
                self.cancel_order(infusions[0])
                return infusions
        raise AssertionError("the list has no such treatment")


def true_contents(sheet: preparation.Sheet, **other: str) -> dict[str, str]:
    """Return what a preparer measures: the target met, and "not applicable" without cells."""
    if sheet.target_cells == "not applicable":
        return dict.fromkeys((field.code for field in sheet.treatment.contents), "not applicable") | {
            "final_volume_ml": "100"
        }
    return {
        "cells_per_ml": "10000000",
        "viability_percent": "85",
        "volume_drawn_ml": "3.62",
        "total_cells": sheet.target_cells,
        "final_volume_ml": "100",
    } | other


def fresh(row: Row) -> Row:
    """Return the row as the database has it now."""
    return type(row)._default_manager.get(pk=row.pk)
