"""Every page of the admin, for everybody who may sign in, with the rights of the masked face."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from tests.admin.scene import CANARIES, Scene, rows_in, signed_in, text_of
from trialsite.admin import events
from trialsite.admin.site import masked_site
from trialsite.api.masked import audit_events
from trialsite.urls import masked  # noqa: F401 - registers the pages

STAFF = ("administrator", "monitor", "study_manager", "superuser")
# Written by hand: a model that is registered by accident fails the test below.
SHOWN = (
    "accounts.RoleGrant",
    "accounts.Site",
    "accounts.User",
    "audit.VisibleEvent",
    "axes.AccessAttempt",
    "randomization.AccidentalUnblinding",
    "randomization.Allocation",
    "randomization.Consent",
    "randomization.Correction",
    "randomization.Discontinuation",
    "randomization.Participant",
    "randomization.RandomizationError",
    "randomization.ScreeningRevision",
    "randomization.Stratum",
    "randomization.Transfer",
    "randomization.TrialVersion",
    "supply.Infusion",
    "supply.Kit",
    "supply.Order",
)
RECORDS = tuple(label for label in SHOWN if label != "audit.VisibleEvent")
# A word that finds the scene's one record of the model.
SEARCHES = {
    "accounts.RoleGrant": "study_manager",
    "accounts.Site": "Puren",
    "accounts.User": "person monitor",
    "audit.VisibleEvent": "participant.screened",
    "axes.AccessAttempt": "mallory",
    "randomization.AccidentalUnblinding": "PUREN-0001",
    "randomization.Allocation": "R-48213",
    "randomization.Consent": "PUREN-0001",
    "randomization.Correction": "birth_date",
    "randomization.Discontinuation": "PUREN-0001",
    "randomization.Participant": "R-48213",
    "randomization.RandomizationError": "PUREN-0001",
    "randomization.ScreeningRevision": "PUREN-0001",
    "randomization.Stratum": "conventional",
    "randomization.Transfer": "PUREN-0001",
    "randomization.TrialVersion": "NCT04293692",
    "supply.Infusion": "PUREN-0001",
    "supply.Kit": "7KD4",
    "supply.Order": "Ward 7",
}


def the_list(label: str) -> str:
    return reverse(f"admin:{label.lower().replace('.', '_')}_changelist")


def the_page(scene: Scene, label: str, what: str) -> str:
    return reverse(f"admin:{label.lower().replace('.', '_')}_{what}", args=[scene.records[label].pk])


def pages_of(scene: Scene, person: str) -> list[str]:
    labels = [
        label for label in SHOWN if label != "axes.AccessAttempt" or person in ("administrator", "superuser")
    ]
    lists = [the_list(label) for label in labels]
    records = [
        the_page(scene, label, what) for label in labels if label in RECORDS for what in ("change", "history")
    ]
    searches = [f"{the_list(label)}?q={SEARCHES[label]}" for label in labels]
    apps = sorted({f"/admin/{label.partition('.')[0]}/" for label in labels})
    return ["/admin/", *apps, *lists, *records, *searches]


def test_the_admin_knows_the_masked_models_and_no_other():
    registered = sorted(model._meta.label for model in masked_site._registry)

    assert registered == sorted(SHOWN)


def test_django_finds_no_fault_with_the_pages():
    assert masked_site.check(None) == []


@pytest.mark.parametrize("person", STAFF)
def test_every_page_opens_and_shows_nothing_secret(scene: Scene, person: str):
    browser = signed_in(scene, person)

    for address in pages_of(scene, person):
        answer = browser.get(address)

        assert answer.status_code == 200, address
        for canary in CANARIES:
            assert canary.lower() not in text_of(answer).lower(), (address, canary)
        assert "2031" not in text_of(answer), "when a site's stock ends"


@pytest.mark.parametrize("label", SHOWN)
def test_a_search_finds_the_record_and_a_wrong_word_finds_none(scene: Scene, label: str):
    browser = signed_in(scene, "superuser")

    found = browser.get(the_list(label), {"q": SEARCHES[label]})
    none = browser.get(the_list(label), {"q": "no such thing"})

    assert rows_in(found) == 1
    assert rows_in(none) == 0


@pytest.mark.parametrize("label", SHOWN)
def test_every_link_of_a_list_leads_to_a_page(scene: Scene, label: str):
    """Filters, date hierarchy, column headers: what Django offers, the guard lets pass."""
    browser = signed_in(scene, "superuser")
    page = the_list(label)

    links = re.findall(r'href="(\?[^"]*)"', text_of(browser.get(page)))

    for link in links:
        assert browser.get(page + link.replace("&amp;", "&")).status_code == 200, link


def test_the_filters_are_those_that_are_meant(scene: Scene):
    browser = signed_in(scene, "monitor")

    by_site = browser.get(the_list("randomization.Participant"), {"site__code__exact": "PUREN"})
    elsewhere = browser.get(the_list("randomization.Participant"), {"site__code__exact": "HANKOU"})
    by_day = browser.get(
        the_list("supply.Infusion"),
        {"target_at__year": "2026", "target_at__month": "3", "target_at__day": "2"},
    )
    by_kind = browser.get(the_list("audit.VisibleEvent"), {"kind": "kit.released"})

    assert [rows_in(answer) for answer in (by_site, elsewhere, by_day, by_kind)] == [1, 0, 1, 1]


@pytest.mark.parametrize("label", RECORDS)
def test_a_record_is_shown_without_a_form(scene: Scene, label: str):
    browser = signed_in(scene, "superuser")

    page = text_of(browser.get(the_page(scene, label, "change")))

    assert re.findall(r"<form[^>]*id=\"([^\"]*)\"", page) == ["logout-form"]
    assert "<textarea" not in page
    assert "<select" not in page


def test_times_are_written_in_the_zone_of_the_site(scene: Scene):
    browser = signed_in(scene, "monitor")

    record = text_of(browser.get(the_page(scene, "randomization.Participant", "change")))
    history = text_of(browser.get(the_page(scene, "randomization.Participant", "history")))

    assert "2026-03-02 12:00:00+08:00" in record
    assert "2026-03-02 12:00:00+08:00" in history


def test_the_history_is_what_the_trail_says_of_the_record(scene: Scene):
    browser = signed_in(scene, "monitor")

    participant = text_of(browser.get(the_page(scene, "randomization.Participant", "history")))
    kit = text_of(browser.get(the_page(scene, "supply.Kit", "history")))
    order = text_of(browser.get(the_page(scene, "supply.Order", "history")))

    assert all(
        kind in participant for kind in ("participant.screened", "participant.randomized", "kit.released")
    )
    assert "<td>investigator</td>" in participant
    assert "kit.released" in kit
    assert "participant.screened" not in kit
    assert "no event about this record" in order


def test_who_released_a_bag_is_not_shown_nor_found(scene: Scene):
    browser = signed_in(scene, "monitor")

    history = text_of(browser.get(the_page(scene, "supply.Kit", "history")))
    by_name = browser.get(the_list("audit.VisibleEvent"), {"q": "preparer"})
    by_hidden_thing = browser.get(the_list("audit.VisibleEvent"), {"q": str(scene.person("preparer").pk)})

    assert "<td></td>\n      <td>preparer</td>" in history
    assert rows_in(by_name) == rows_in(by_hidden_thing) == 0


def test_the_admin_and_the_interface_hide_the_same_of_an_event():
    assert set(audit_events.ABOUT) <= set(events.ABOUT)


def test_an_event_has_no_address_that_would_tell_its_position(scene: Scene):
    browser = signed_in(scene, "superuser")

    page = text_of(browser.get(the_list("audit.VisibleEvent")))
    by_position = browser.get("/admin/audit/visibleevent/1/change/")

    assert "visibleevent/1" not in page
    assert "position" not in page.lower()
    assert by_position.status_code == 404


def test_failed_sign_ins_are_for_administrators(scene: Scene):
    assert signed_in(scene, "monitor").get("/admin/axes/accessattempt/").status_code == 403
    assert "accessattempt" not in text_of(signed_in(scene, "study_manager").get("/admin/"))
    assert signed_in(scene, "administrator").get("/admin/axes/accessattempt/").status_code == 200


def test_the_pages_name_the_trial_and_warn_in_an_evaluation(scene: Scene, settings):
    browser = signed_in(scene, "monitor")

    evaluation = text_of(browser.get("/admin/"))
    settings.EVALUATION = False
    production = text_of(browser.get("/admin/", secure=True))

    assert "NCT04293692: Umbilical cord cells for pneumonia" in evaluation
    assert "Evaluation: synthetic participants only." in evaluation
    assert "synthetic" not in production


def test_no_page_needs_an_inline_script_or_style(scene: Scene):
    browser = signed_in(scene, "superuser")

    for address in [*pages_of(scene, "superuser"), "/admin/participants/?x=1"]:
        page = text_of(browser.get(address))

        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page), address
        assert not re.search(r"<script(?![^>]*\ssrc=)", page), address
        assert not re.search(r'(src|href)="(https?:)?//', page), address


def test_scripts_and_styles_come_from_this_process(scene: Scene):
    browser = signed_in(scene, "monitor")
    pages = ["/admin/", the_list("supply.Kit"), the_page(scene, "supply.Kit", "change")]

    links = {
        link
        for page in pages
        for link in re.findall(r'(?:src|href)="(/static/[^"]+)"', text_of(browser.get(page)))
    }

    assert "/static/trialsite/admin.css" in links
    for link in links:
        answer = browser.get(link)
        assert answer.status_code == 200, link
        assert answer.getvalue()  # read to its end, which closes the file


def test_pages_are_never_kept_by_the_browser(scene: Scene):
    answer = signed_in(scene, "monitor").get("/admin/")

    assert "no-store" in answer["Cache-Control"]
    assert "script-src 'self'" in answer["Content-Security-Policy"]
