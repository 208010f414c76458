"""Activating the trial and installing lists: what randomization does, with the kit numbers it takes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Sum

from randomization.domain.sealed_list import SealedSlot
from randomization.models import RandomizationList, TrialVersion
from randomization.selectors import current_trial
from randomization.services import lists, setup
from supply.services.kit_numbers import fill_pool
from trialsite.accounts.models import User

# A number for each infusion of every slot on the list, and as many again for bags made anew.
NUMBERS_PER_INFUSION = 2


@transaction.atomic
def activate_trial(*, by: User, at: dt.datetime, sites: Sequence[str] | None = None) -> TrialVersion:
    """
    Draw the kit numbers and activate the trial, both or neither.

    The numbers are drawn now, before any bag is made, so no number can depend on what a bag holds.

    :raises trialsite.errors.Refused: as ``randomization.services.setup.activate_trial``.
    """
    _fill_pool()
    return setup.activate_trial(by=by, at=at, sites=sites)


@transaction.atomic
def install_list(
    *,
    slots: Sequence[SealedSlot],
    commitment_note: str,
    sealed_seed: Mapping[str, Any],
    by: str,
    at: dt.datetime,
) -> RandomizationList:
    """
    Install a list or an extension; of an active trial with the kit numbers that the new slots take.

    :raises randomization.services.lists.ListRefused: as ``randomization.services.lists.install_list``.
    """
    if TrialVersion.objects.exclude(activated_at=None).exists():
        _fill_pool(adding=len(slots))
    return lists.install_list(
        slots=slots, commitment_note=commitment_note, sealed_seed=sealed_seed, by=by, at=at
    )


def _fill_pool(*, adding: int = 0) -> None:
    """Draw what is missing: before the event, whose lock everybody waits for; a refusal undoes it."""
    installed = RandomizationList.objects.aggregate(slots=Sum("leaf_count"))["slots"] or 0
    # An amendment keeps the number of infusions.
    _, protocol = current_trial()
    fill_pool(count=(installed + adding) * len(protocol.infusions) * NUMBERS_PER_INFUSION)
