"""
Randomization numbers: ``R`` and six to nine digits, of one length in a list, each given once.

They follow from nothing: not from the arm, the stratum, the position or the seed. Fewer than a tenth
of the numbers of a length are given, so that a slip of the pen seldom names another participant.

Pure but for the operating system's random numbers.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

FEWEST_DIGITS, MOST_DIGITS = 6, 9
SHARE = 10


def digits_for(count: int) -> int:
    """
    Return how many digits the numbers of ``count`` slots have.

    :raises ValueError: if there are too many slots for nine digits.
    """
    for digits in range(FEWEST_DIGITS, MOST_DIGITS + 1):
        if count * SHARE <= 10**digits:
            return digits
    raise ValueError("too many slots for randomization numbers of nine digits")


class Numbers:
    """Draws numbers that were not given before; remembers them as one bit of each number there is."""

    def __init__(
        self, *, digits: int, taken: Iterable[str] = (), below: Callable[[int], int] = secrets.randbelow
    ) -> None:
        """
        Begin a list.

        :param taken: numbers of earlier lists, which must not come again.
        :param below: draws a whole number from 0 to one less than what it is given.
        :raises ValueError: if ``digits`` is not 6 to 9.
        """
        if not FEWEST_DIGITS <= digits <= MOST_DIGITS:
            raise ValueError("randomization numbers have 6 to 9 digits")
        self._digits, self._below = digits, below
        self._given = bytearray(10**digits // 8 + 1)
        for number in taken:
            if len(number) == digits + 1:
                self._give(int(number[1:]))

    def draw(self) -> str:
        """Return a number that was not given yet."""
        while True:
            number = self._below(10**self._digits)
            if self._give(number):
                return f"R{number:0{self._digits}d}"

    def _give(self, number: int) -> bool:
        """Mark a number as given; tell whether it was not before."""
        place, bit = number >> 3, 1 << (number & 7)
        if self._given[place] & bit:
            return False
        self._given[place] |= bit
        return True


def draw_numbers(count: int, *, below: Callable[[int], int] = secrets.randbelow) -> list[str]:
    """
    Return ``count`` different randomization numbers in random order.

    :raises ValueError: if there are too many slots.
    """
    numbers = Numbers(digits=digits_for(count), below=below)
    return [numbers.draw() for _ in range(count)]
