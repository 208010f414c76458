"""Activating the trial: the pool of kit numbers is drawn, and participants may come."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from randomization.models import RandomizationList, TrialVersion
from randomization.selectors import current_trial
from randomization.services import setup
from supply.services.kit_numbers import fill_pool
from trialsite.accounts.models import User

# A number for each infusion of every slot on the list, and as many again for bags made anew.
NUMBERS_PER_INFUSION = 2


@transaction.atomic
def activate_trial(*, by: User, at: dt.datetime) -> TrialVersion:
    """
    Draw the kit numbers and activate the trial, both or neither.

    The numbers are drawn now, before any bag is made, so no number can depend on what a bag holds.

    :raises trialsite.errors.Refused: as ``randomization.services.setup.activate_trial``.
    """
    the_list = RandomizationList.objects.first()
    if the_list is not None:
        _, protocol = current_trial()
        fill_pool(count=the_list.leaf_count * len(protocol.infusions) * NUMBERS_PER_INFUSION)
    return setup.activate_trial(by=by, at=at)
