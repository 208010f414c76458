"""The pool of kit numbers, drawn before the first bag and taken in the order of its own shuffle."""

from __future__ import annotations

from supply.domain.kit_codes import draw_pool
from supply.models import KitNumber
from trialsite.errors import Refused
from trialsite.ids import random_bytes


class KitNumbersExhausted(Refused):
    """No kit number is left; the pool must be filled before another bag is prepared."""

    code = "kit_numbers_exhausted"


def fill_pool(*, count: int) -> int:
    """
    Fill the pool up to ``count`` numbers in all; return how many were drawn.

    They are taken in the order drawn, which is random, and stored in the order of the numbers
    themselves: neither a number nor its place in the table says when it was drawn.
    """
    known = set(KitNumber.objects.values_list("number", flat=True))
    drawn: dict[str, None] = {}  # keeps their order
    while len(known) + len(drawn) < count:
        fresh = draw_pool(count - len(known) - len(drawn), random_bytes)
        drawn.update(dict.fromkeys(number for number in fresh if number not in known))
    rows = [KitNumber(number=number, position=len(known) + place) for place, number in enumerate(drawn)]
    KitNumber.objects.bulk_create(sorted(rows, key=lambda row: row.number))
    return len(drawn)


def take_kit_number() -> KitNumber:
    """
    Take the next free number, for one preparation and for good.

    :raises KitNumbersExhausted: if none is left.
    """
    # Skipping what another preparer is just taking is harmless here, unlike with slots: the numbers
    # are random, and their order promises nothing.
    free = KitNumber.objects.select_for_update(skip_locked=True).filter(taken=False).order_by("position")
    number = free.first()
    if number is None:
        raise KitNumbersExhausted("No kit number is left.")
    number.taken = True
    number.save(update_fields=["taken"])
    return number
