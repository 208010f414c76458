"""
A short clinical day (and the two that follow it), played through HTTP by its people.

Eight people are screened and six randomized, in every stratum; bags are ordered, made as the true
sheets say, released, given, stopped, wasted, lost to the clock; a code is broken in an emergency;
and every refusal that a ward meets is met. In between, all masked roles look at all they can see.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from supply.domain import kit_codes
from tests.masking.browser import Browser
from tests.masking.stage import Play
from tests.masking.ward import SITE, Someone, Ward

OTHER_SITE = "HANKOU"
YOUNG, OLD = "1985-05-05", "1955-05-05"
OXYGEN, HIGH_FLOW = "conventional_oxygen", "high_flow_or_ventilation"
LISTS = (
    "participants",
    "infusions",
    "kits",
    "audit-events",
    "randomization-errors",
    "reports/enrolment",
    "enrolment-changes",
    "reports/emergency-list",
)
# Well formed, and no bag's.
NO_KIT = kit_codes.draw(random.Random(1).randbytes)


class Day(Ward):
    """The acts in their order."""

    def __init__(self, play: Play, *, with_admin: bool = True) -> None:
        super().__init__(play)
        self.with_admin = with_admin
        self.pages: set[str] = set()

    def run(self) -> None:
        """Play all of it."""
        self.play.sweep()
        self.enrol()
        self.first_bags()
        self.at_the_bedside()
        self.breaks_the_code()
        self.evening()
        self.third_day()
        self.errors_of_randomization()
        self.moves()
        self.from_envelopes()
        self.mistakes()
        self.look_closely()
        self.looks_at_the_admin()

    def enrol(self) -> None:
        self.trial = self.investigator.get("trial")
        self.ann = self.screens("ann", YOUNG, OXYGEN)
        self.investigator.refused(
            "supply_not_ready", f"{self.ann.at}/randomize", stratum=self.ann.record["stratum"]
        )
        self.receive_lots()
        self.bo = self.screens("bo", YOUNG, OXYGEN)
        self.cy = self.screens("cy", YOUNG, HIGH_FLOW)
        self.di = self.screens("di", OLD, OXYGEN)
        self.ed = self.screens("ed", OLD, OXYGEN)
        self.fay = self.screens("fay", OLD, HIGH_FLOW)
        self.investigator.refused("already_in_trial", "participants", **self.screening("FAY", OLD, OXYGEN))
        for one in (self.ann, self.bo, self.cy, self.di, self.ed, self.fay):
            self.randomizes(one)
        self.refuses_to_enrol()
        self.look_around()

    def refuses_to_enrol(self) -> None:
        gus = self.screens("gus", YOUNG, OXYGEN)
        hal = self.screens("hal", YOUNG, OXYGEN, E1=True)
        ida = self.screens("ida", OLD, HIGH_FLOW)
        wrong = {**ida.record["stratum"], "respiratory_support": OXYGEN}
        self.investigator.refused(
            "list_exhausted", f"{gus.at}/randomize", key="gus", stratum=gus.record["stratum"]
        )
        self.investigator.refused("not_eligible", f"{hal.at}/randomize", stratum=hal.record["stratum"])
        self.investigator.refused("stratum_mismatch", f"{ida.at}/randomize", stratum=wrong)
        self.investigator.refused(
            "already_randomized", f"{self.ann.at}/randomize", stratum=self.ann.record["stratum"]
        )
        # The same key with the same body is answered alike, with another body refused.
        same = self.investigator.post(f"{self.bo.at}/randomize", key="bo", stratum=self.bo.record["stratum"])
        assert same["randomization_number"] == self.bo.number
        self.investigator.refused(
            "idempotency_key_reused", f"{self.bo.at}/randomize", key="bo", stratum=wrong
        )
        other = self.masked["investigator_2"]
        other.refused("not_found", f"{ida.at}/randomize", stratum=ida.record["stratum"])
        far = other.post("participants", **{**self.screening("JO", OLD, OXYGEN), "site": OTHER_SITE})
        other.refused("supply_not_ready", f"participants/{far['id']}/randomize", stratum=far["stratum"])
        self.nurse.refused("not_permitted", f"{ida.at}/randomize", stratum=ida.record["stratum"])

        self.stops_enrolment(ida)
        self.screens_again(hal)

    def stops_enrolment(self, eligible: Someone) -> None:
        """The study manager stops enrolment for a moment, at the site and everywhere."""
        manager, stratum = self.masked["study_manager"], eligible.record["stratum"]
        for site, status in ((SITE, "suspended"), (None, "paused")):
            manager.post("enrolment-changes", site=site, status=status, reason="A question.")
            self.investigator.refused(f"enrolment_{status}", f"{eligible.at}/randomize", stratum=stratum)
            manager.post("enrolment-changes", site=site, status="active", reason="Answered.")

    def screens_again(self, failed: Someone) -> None:
        """A failure that is revised and stays one, a new consent, and the person at another site."""
        revisions = f"{failed.at}/screening-revisions"
        self.investigator.post(revisions, reason="Asked again.", measurements={"respiratory_rate": "31"})
        self.investigator.refused("invalid", revisions, reason="Typed.", measurements={"fio2": "60"})
        self.investigator.post(f"{failed.at}/consents", at=self.now())
        other = {**self.screening("hal", YOUNG, OXYGEN, E1=True), "site": OTHER_SITE}
        assert self.masked["investigator_2"].post("participants", **other)["rescreens"] is None
        self.masked["study_manager"].get(revisions)

    def first_bags(self) -> None:
        everyone = (self.ann, self.bo, self.cy, self.di, self.ed)
        for one in everyone:
            self.orders(one, 1)
        self.investigator.refused("illegal_move", f"infusions/{self.ann.infusions[0]}/order", **self.order())
        self.investigator.post(f"infusions/{self.ed.infusions[0]}/cancel-order", reason="Weighed wrongly.")
        self.orders(self.ed, 1)
        self.investigator.refused(
            "weight_implausible", f"infusions/{self.fay.infusions[0]}/order", **self.order(weight_kg="900")
        )
        self.prepares(self.ann, 1)
        self.rejects(self.bo, 1)
        self.look_around()  # while bags are being made
        self.browse("monitor", self.browser_lists)
        for one in (self.bo, self.cy, self.di):
            self.prepares(one, 1)
        self.opens_the_sheet(self.ed, 1)
        self.investigator.post(
            f"{self.ed.at}/discontinue", scope="treatment", reason="Consent withdrawn.", at=self.now()
        )
        self.look_around()  # covered, and not released
        self.advance(minutes=15)
        for one in (self.ann, self.bo, self.cy, self.di):
            one.kit = self.released(one, 1)
        self.look_around()

    def at_the_bedside(self) -> None:
        ann, bo, cy, di = self.ann, self.bo, self.cy, self.di
        for code, scan in (
            ("kit_mismatch", di.kit),
            ("kit_unknown", NO_KIT),
            ("kit_number_misread", ann.kit[:-1] + ("0" if ann.kit[-1] != "0" else "1")),
        ):
            for one in (ann, bo, cy):
                self.pharmacist.refused(code, f"infusions/{one.infusions[0]}/dispense", kit_scan=scan)
        for one in (ann, bo, cy):
            self.pharmacist.post(f"infusions/{one.infusions[0]}/dispense", kit_scan=one.kit)
        self.pharmacist.refused("illegal_move", f"infusions/{ann.infusions[0]}/dispense", kit_scan=ann.kit)
        self.pharmacist.post(f"kits/{di.kit}/waste", reason="Dropped.", at=self.now(), volume_ml="100.00")
        self.start_refused(ann, "kit_mismatch", kit_scan=bo.kit)
        self.start_refused(ann, "participant_mismatch", participant_scan=bo.number)
        self.start_refused(bo, "participant_mismatch", participant_scan="nobody")
        self.start_refused(bo, "cover_broken", cover_intact=False)
        self.starts(ann, 1)
        self.starts(bo, 1)
        self.start_refused(ann, "illegal_move")
        self.look_around()
        self.advance(minutes=60)
        self.stops(ann, 1, "completed", "100.00")
        self.stops(bo, 1, "interrupted", "60.50", reason="Fever.")

    def breaks_the_code(self) -> None:
        """An emergency: the answer is for who asked; all that masked roles see afterwards is compared."""
        requester = self.abroad["investigator"]
        asked = {"participant": self.bo.record["id"], "category": "emergency", "reason": "Anaphylaxis."}
        wrong = {**requester.sign(), "password": "not the password"}
        requester.refused("signature_rejected", "unblindings", **asked, signature=wrong)
        self.abroad["nurse"].refused(
            "not_permitted", "unblindings", **asked, signature=self.abroad["nurse"].sign()
        )
        self.broken = requester.post("unblindings", kept=False, **asked, signature=requester.sign())
        assert self.broken["arm"]
        self.desk.post(
            "unblindings",
            kit_number=self.ann.kit,
            category="emergency",
            reason="Called at night.",
            signature=self.desk.sign(),
        )
        self.nurse.post(
            "accidental-unblindings",
            participant=self.cy.number,
            occurred_at=self.now(),
            what_happened="The cover slipped."
            if self.sheets[self.cy.number] == "UC-MSC"
            else "It was clear.",
        )
        self.play.sweep()
        self.look_closely()

    def evening(self) -> None:
        """One bag is remade, one expires, one infusion is declared missed, one begins too late."""
        self.orders(self.di, 1)
        self.prepares(self.di, 1)
        self.investigator.post(f"infusions/{self.di.infusions[2]}/miss", reason="Moved to another ward.")
        self.advance(minutes=15)
        self.di.kit = self.released(self.di, 1)
        self.pharmacist.post(f"infusions/{self.di.infusions[0]}/dispense", kit_scan=self.di.kit)
        self.starts(self.di, 1, scan=self.di.local_identifier)
        self.advance(minutes=240)
        self.start_refused(self.cy, "would_expire")
        self.advance(minutes=90)
        self.start_refused(self.cy, "kit_mismatch", kit_scan=self.ann.kit)
        self.start_refused(self.cy, "kit_expired")
        self.pharmacist.refused(
            "kit_expired", f"infusions/{self.cy.infusions[0]}/dispense", kit_scan=self.cy.kit
        )
        self.stops(self.di, 1, "stopped", "99.00", reason="Line blocked.")
        self.look_around()

    def third_day(self) -> None:
        """The first windows close: one on a bag in hand. The second infusions begin."""
        self.advance(minutes=self.until(2, hour=22))
        self.orders(self.fay, 1)
        self.prepares(self.fay, 1)
        self.advance(minutes=20)
        self.fay.kit = self.released(self.fay, 1)
        self.pharmacist.post(f"infusions/{self.fay.infusions[0]}/dispense", kit_scan=self.fay.kit)
        began = self.now()
        self.advance(minutes=self.until(3, hour=1))
        self.start_refused(self.fay, "window_closed")
        self.start_refused(self.fay, "late_entry_needs_reason", started_at=began)
        self.starts(self.fay, 1, started_at=began, reason="The tablet was flat.")
        self.stops(self.fay, 1, "completed", "100.00")
        self.investigator.refused(
            "interval_too_short", f"infusions/{self.fay.infusions[1]}/order", **self.order()
        )
        for one in (self.ann, self.cy):
            self.orders(one, 2)
            self.prepares(one, 2)
        self.advance(minutes=self.until(3, hour=9))
        for one in (self.ann, self.cy):
            one.kit = self.released(one, 2, expired=True)

    def errors_of_randomization(self) -> None:
        """What went wrong with randomizations is reported, and a record corrected."""
        found = {"reason": "Found by the monitor.", "known_at": self.now()}
        true = {**self.bo.record["stratum"], "respiratory_support": HIGH_FLOW}
        self.investigator.post(f"{self.bo.at}/wrong-stratum", stratum=true, **found)
        self.investigator.refused("already_reported", f"{self.bo.at}/wrong-stratum", stratum=true, **found)
        self.investigator.post(f"{self.cy.at}/ineligible", criteria=["E5"], **found)
        self.investigator.post(
            f"{self.di.at}/duplicate", duplicate_of=self.ed.record["screening_number"], **found
        )
        self.investigator.post(f"{self.ed.at}/randomized-in-error", **found)
        self.investigator.post(
            f"{self.ann.at}/corrections", pointer="/birth_date", value=OLD, reason="Mistyped."
        )
        self.investigator.get(f"{self.ann.at}/corrections")
        self.masked["investigator_2"].refused("not_found", f"{self.ann.at}/randomized-in-error", **found)
        self.look_around()

    def moves(self) -> None:
        """Two go on at the other site: one with an open order, one with a bag that is being made."""
        manager = self.masked["study_manager"]
        for one in (self.di, self.bo):
            self.orders(one, 2)
        self.prepares(self.bo, 2)
        stated = {"to_site": OTHER_SITE, "reason": "Designated hospital.", "at": self.now()}
        manager.post(f"{self.di.at}/transfer", **stated)
        manager.post("transfers", from_site=SITE, participants=[self.bo.record["id"]], **stated)
        self.investigator.refused("not_found", f"infusions/{self.bo.infusions[2]}/order", **self.order())
        self.masked["investigator_2"].get(self.bo.at)
        for one in (manager, self.investigator, self.masked["investigator_2"]):
            one.get("transfers")
        self.look_around()
        self.advance(minutes=15)
        self.look_around()

    def from_envelopes(self) -> None:
        """After an outage: one envelope was used and one spoiled, and the next bag is ordered here."""
        envelopes = self.preparer.get("emergency-list?site=PUREN&state=unused")["results"]
        first, second, third, *_ = (row["randomization_number"] for row in envelopes)
        kim = self.screens("kim", OLD, HIGH_FLOW)
        path, spoiled = f"{kim.at}/randomized-on-paper", "emergency-envelopes/spoiled"
        paper = {"randomized_at": self.now(), "stratum": kim.record["stratum"], "reason": "Power cut."}
        torn = {"site": SITE, "spoiled_at": self.now(), "reason": "Torn."}
        self.investigator.refused("envelope_unknown", path, randomization_number="R", **paper)
        self.investigator.refused("earlier_envelope_first", path, randomization_number=second, **paper)
        kim.record = self.investigator.post(path, randomization_number=first, **paper)
        kim.infusions = [infusion["id"] for infusion in kim.record["infusions"]]
        self.investigator.refused("already_randomized", path, randomization_number=second, **paper)
        self.investigator.refused("earlier_envelope_first", spoiled, randomization_number=third, **torn)
        self.investigator.post(spoiled, randomization_number=second, **torn)
        self.investigator.refused("envelope_already_entered", spoiled, randomization_number=second, **torn)
        self.orders(kim, 1)
        self.opens_the_sheet(kim, 1)
        self.look_around()

    def mistakes(self) -> None:
        """What people type into addresses and programs."""
        for name in ("investigator", "monitor"):
            who = self.masked[name]
            for query in (
                "arm=A",
                "treatment=UC-MSC",
                "slot=1",
                "ordering=arm",
                "allocation__slot__sealedarm=1",
            ):
                for path in ("participants", "infusions", "kits"):
                    who.send("GET", f"/api/v1/{path}?{query}")
            for path in ("unblindings", "preparations", "lots", "arms", f"preparations/{NO_KIT}/label.pdf"):
                who.send("GET", f"/api/v1/{path}")
            who.send("PUT", f"/api/v1/{self.ann.at}")
            who.send("OPTIONS", f"/api/v1/{self.ann.at}")
            who.send("HEAD", "/api/v1/participants")
            json = {"Content-Type": "application/json", "Idempotency-Key": "x"}
            who.send("POST", f"/api/v1/{self.ann.at}/discontinue", body=b"{", headers=json)
            who.send("POST", f"/api/v1/{self.ann.at}/discontinue", body=b'{"arm": 1}', headers=json)
        for target in ("/livez", "/readyz", "/api/v1/openapi.yaml", "/api/v1/docs", "/", "/nowhere"):
            self.investigator.send("GET", target)
        self.investigator.send("GET", "/api/v1/me", headers={"Authorization": "Bearer irt_wrong"})

    def look_around(self) -> None:
        """Every masked role looks at every list."""
        for who in self.masked.values():
            for path in LISTS:
                who.send("GET", f"/api/v1/{path}")

    def look_closely(self) -> None:
        """Every masked role at everything it may ask for, at both faces; one opens every record."""
        self.look_around()
        for who in self.masked.values():
            for path in ("me", "trial", "evaluation/clock"):
                who.send("GET", f"/api/v1/{path}")
        for path, key in (("participants", "id"), ("infusions", "id"), ("kits", "kit_number")):
            rows = self.pharmacist.get(f"{path}?page_size=200")["results"]
            for name in sorted(row[key] for row in rows):
                self.pharmacist.get(f"{path}/{name}")
        for who in self.abroad.values():
            for path in ("me", "unblindings", "preparations", "lots", "audit-trail/export"):
                who.send("GET", f"/api/v1/{path}")

    def looks_at_the_admin(self) -> None:
        self.browse("study_manager", self.browser_everything)
        self.browse("administrator", self.browser_lists)
        Browser(self.play, "monitor").sign_in(wrongly=True)

    def browse(self, name: str, look: Callable[[Browser], None]) -> None:
        if not self.with_admin:
            return
        browser = Browser(self.play, name)
        browser.sign_in()
        look(browser)
        for query in ("?arm=A", "?o=99", "?q=UC-MSC", "?slot__sealedarm__key_id=code-break-1", "?all="):
            for place in ("randomization/allocation", "randomization/participant", "supply/kit"):
                browser.visit(f"/admin/{place}/{query}")
        browser.visit("/admin/supply/preparation/")
        browser.visit("/admin/randomization/sealedarm/")

    def browser_lists(self, browser: Browser) -> None:
        self.pages.update(browser.look_at_lists())

    def browser_everything(self, browser: Browser) -> None:
        self.pages.update(browser.look_at_everything())
