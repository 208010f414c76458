"""
Eligibility: which criteria a person does not meet.

Rules:

1. Every criterion of the trial file is answered, yes or no, and nothing else is.
2. A criterion is met when its answer is the expected one: yes to an inclusion, no to an exclusion.
3. Criteria of one group combine as the trial file says: ``all`` of them, or ``any`` of them.
4. The age criterion is decided by the birth date. An investigator whose answer contradicts it has
   mistaken one or the other, so the criterion is unmet until somebody looks: the answer must be yes
   *and* the age within the trial's limits, both included.
5. Age is in whole years, by birthdays, on the calendar day of consent at the site. Someone born on
   29 February has their birthday on 1 March in other years.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from zoneinfo import ZoneInfo

from trialsite.protocol import Criterion, Protocol

# Nobody is known to have lived longer than 122 years: a birth date that says so is a slip of the pen.
OLDEST_YEARS = 130


class AnswersIncomplete(ValueError):
    """Criteria have no answer (``missing``) or answers have no criterion (``unknown``), by code."""

    def __init__(self, *, missing: Collection[str], unknown: Collection[str]) -> None:
        super().__init__(f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}")
        self.missing = tuple(missing)
        self.unknown = tuple(unknown)


def age_on(birth_date: dt.date, day: dt.date) -> int:
    """Return the age in whole years on ``day``; negative before the birth."""
    # Comparing (month, day) puts the birthday of 29 February on 1 March where there is none: for
    # the lower limit the cautious reading, since nobody is let in a day too young.
    before_birthday = (day.month, day.day) < (birth_date.month, birth_date.day)
    return day.year - birth_date.year - int(before_birthday)


def age_at_consent(*, birth_date: dt.date, consented_at: dt.datetime, zone: ZoneInfo) -> int:
    """
    Return the age in whole years on the day of consent in the site's time zone.

    :raises ValueError: if ``consented_at`` has no offset.
    """
    if consented_at.tzinfo is None:
        raise ValueError("consented_at needs an offset")
    return age_on(birth_date, consented_at.astimezone(zone).date())


def evaluate(protocol: Protocol, answers: Mapping[str, bool], age: int) -> list[str]:
    """
    Return the codes of the unmet criteria in the order of the trial file; none means eligible.

    A group that combines by ``any`` and has none met is unmet in all its criteria.

    :raises AnswersIncomplete: if a criterion is not answered, or an answer has no criterion.
    """
    codes = [criterion.code for criterion in protocol.eligibility]
    missing = [code for code in codes if code not in answers]
    unknown = sorted(code for code in answers if code not in codes)
    if missing or unknown:
        raise AnswersIncomplete(missing=missing, unknown=unknown)
    met = {c.code: _is_met(protocol, c, answers[c.code], age) for c in protocol.eligibility}
    groups_with_one_met = {c.group for c in protocol.eligibility if met[c.code]}
    return [
        c.code
        for c in protocol.eligibility
        if not (c.group in groups_with_one_met if c.combine == "any" else met[c.code])
    ]


def _is_met(protocol: Protocol, criterion: Criterion, answer: bool, age: int) -> bool:
    if criterion.derived_from and not protocol.age_min <= age <= protocol.age_max:
        return False
    return answer is criterion.expected
