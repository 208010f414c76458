"""
Nothing that reaches a masked role depends on an arm.

The same days are played with the arms as the list has them, with the two exchanged, and with arms
that are quite others, on real processes over real HTTP. Every byte that a masked role is sent is
compared: status line, headers in their order (Date too, for the clock is given), bodies, pages,
labels, e-mails, and the log of the masked process.
"""

from __future__ import annotations

import pytest
from axes.models import AccessAttempt

import trialsite.urls.admin  # noqa: F401 - registers the pages
from tests.masking.compare import differences, report
from tests.masking.conftest import Played, Plays
from tests.masking.ward import MASKED
from trialsite.admin.site import masked_site
from trialsite.audit.models import VisibleEvent

pytestmark = pytest.mark.xdist_group("masking")


@pytest.mark.requirement(50, 52, 53, 54, 64)
def test_masked_roles_see_the_same_bytes_when_the_arms_are_exchanged(plays: Plays) -> None:
    found = differences(plays.as_listed.seen, plays.exchanged.seen)

    assert not found, report(found)


@pytest.mark.requirement(50, 52, 54)
def test_masked_roles_see_the_same_bytes_whatever_the_arms_are(plays: Plays) -> None:
    found = differences(plays.as_listed.seen, plays.unlike.seen)

    assert not found, report(found)


@pytest.mark.requirement(36)
@pytest.mark.parametrize("other", ["exchanged", "unlike"])
def test_both_treatments_take_the_preparers_the_same_steps_and_answers_of_the_same_size(
    other: str, plays: Plays
) -> None:
    listed, changed = (_steps_of_preparers(play) for play in (plays.as_listed, getattr(plays, other)))

    assert len(listed) > 40
    assert listed == changed


def test_the_arms_of_the_plays_were_what_they_are_said_to_be(plays: Plays) -> None:
    listed, exchanged, unlike = (play.sheets for play in plays.sound)

    assert set(listed.values()) == {"UC-MSC", "PLACEBO"}
    assert {number: exchanged[number] != treatment for number, treatment in listed.items()} == dict.fromkeys(
        listed, True
    )
    assert unlike not in (listed, exchanged)
    assert plays.as_listed.broken_arm != plays.exchanged.broken_arm


def test_the_plays_reach_every_kind_of_thing_that_masked_roles_are_sent(plays: Plays) -> None:
    asked = "\n".join(seen.what for seen in plays.as_listed.seen)
    statuses = {seen.what.rsplit(" ", 1)[1] for seen in plays.as_listed.seen if seen.what[:4].isdigit()}

    assert statuses >= {"200", "201", "302", "400", "401", "403", "404", "405", "409", "422"}
    for role in MASKED:
        assert f"masked {role}: GET /api/v1/kits" in asked
        assert f"unmasked {role}: GET /api/v1/unblindings" in asked
    for act in (
        "randomize 201",
        "order 201",
        "dispense 200",
        "start 200",
        "stop 200",
        "waste 200",
        "miss 200",
        "screening-revisions 201",
        "consents 201",
        "transfer 201",
    ):
        assert f"/{act}" in asked, act
    assert asked.count("label of ") == 9
    assert {seen.what: seen.content for seen in plays.as_listed.seen}["file mail/sent"].count(
        b"Subject:"
    ) > 10


@pytest.mark.requirement(54)
def test_the_plays_visit_every_page_of_the_admin(plays: Plays) -> None:
    pages = plays.as_listed.pages

    for model in masked_site._registry:
        here = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert here in pages
        if model not in (VisibleEvent, AccessAttempt):
            assert any(page.startswith(here) and page.endswith("/change/") for page in pages), here
            assert any(page.startswith(here) and page.endswith("/history/") for page in pages), here


def _steps_of_preparers(play: Played) -> list[tuple[str, int]]:
    return [(seen.what, len(seen.content)) for seen in play.unmasked if "preparer: " in seen.what]
