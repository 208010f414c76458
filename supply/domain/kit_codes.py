"""
Kit numbers: seven random characters and an ISO 7064 MOD 37,36 check character.

1. The alphabet is the digits and the letters without B, I, L, O, S and Z, which are taken for 8, 1,
   1, 0, 5 and 2: 30 symbols. Each keeps the value that the standard gives it (0 to 9, then A = 10
   to Z = 35), so any program that knows MOD 37,36 can check a number.
2. Seven symbols are drawn, each equally likely; 34 bits remain after rules 3 and 4.
3. A number whose check character lies outside the alphabet is never drawn.
4. MOD 37,36 finds every changed character but not every swap: two neighbours whose values differ
   by one pass when the running sum stands at 18 before them. A number with a swap that would pass
   is never drawn either, so **every** single changed character and **every** swap of two different
   neighbours in an issued number is found.

Numbers are drawn without regard to what the kit holds. Order, gaps and look tell nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from trialsite.errors import Refused

ALPHABET: Final = "0123456789ACDEFGHJKMNPQRTUVWXY"
RANDOM_CHARACTERS: Final = 7
LENGTH: Final = RANDOM_CHARACTERS + 1

_STANDARD: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUE: Final = {symbol: _STANDARD.index(symbol) for symbol in ALPHABET}
# The largest multiple of 30 that a byte can hold: bytes from there on are thrown away, because
# keeping them would make sixteen symbols likelier than the others.
_FAIR_BYTES: Final = 256 - 256 % len(ALPHABET)
# A working source needs 1.2 draws for a number; one that needs a thousand is broken.
_MOST_DRAWS: Final = 1000


class KitNumberMisread(Refused):
    """What was scanned or typed is no kit number; the words are always the same."""

    code = "kit_number_misread"

    def __init__(self) -> None:
        super().__init__("This is not a kit number. Scan the label again, or type the number as printed.")


class RandomSourceError(RuntimeError):
    """The source of randomness repeats itself: no fresh number came out of it."""


def draw(rng: Callable[[int], bytes]) -> str:
    """
    Return a random kit number; ``rng(n)`` gives ``n`` random bytes.

    :raises RandomSourceError: if ``rng`` gives nothing that can be used.
    """
    for _ in range(_MOST_DRAWS):
        body = _random_body(rng)
        check_character = _STANDARD[_check_value(body)]
        if check_character in _VALUE and not _has_silent_swap(body + check_character):
            return body + check_character
    raise RandomSourceError("the source of randomness gives no usable kit number")


def draw_pool(n: int, rng: Callable[[int], bytes]) -> list[str]:
    """
    Return ``n`` different kit numbers in the order drawn, which is random.

    :raises RandomSourceError: if ``rng`` repeats itself.
    """
    # A dict keeps the order of drawing; a set would put the numbers in one of its own.
    pool: dict[str, None] = {}
    repeats = 0
    while len(pool) < n:
        number = draw(rng)
        repeats = repeats + 1 if number in pool else 0
        if repeats > _MOST_DRAWS:
            raise RandomSourceError("the source of randomness repeats itself")
        pool[number] = None
    return list(pool)


def is_kit_number(number: str) -> bool:
    """Say whether ``number`` is written as a kit number and carries its check character."""
    if len(number) != LENGTH or any(symbol not in _VALUE for symbol in number):
        return False
    return _passes_standard(number) and not _has_silent_swap(number)


def check(number: str) -> str:
    """
    Return ``number``, which must be exactly as printed.

    :raises KitNumberMisread: if it is not a kit number.
    """
    if not is_kit_number(number):
        raise KitNumberMisread
    return number


def _random_body(rng: Callable[[int], bytes]) -> str:
    symbols = ""
    for _ in range(_MOST_DRAWS):
        fair = (byte for byte in rng(RANDOM_CHARACTERS) if byte < _FAIR_BYTES)
        symbols += "".join(ALPHABET[byte % len(ALPHABET)] for byte in fair)
        if len(symbols) >= RANDOM_CHARACTERS:
            return symbols[:RANDOM_CHARACTERS]
    raise RandomSourceError("the source of randomness gives no usable byte")


def _product(body: str) -> int:
    """Return the running product P of ISO 7064, hybrid system MOD 37,36, after ``body``."""
    product = 36
    for symbol in body:
        total = (product + _VALUE[symbol]) % 36 or 36
        product = total * 2 % 37
    return product


def _check_value(body: str) -> int:
    return (37 - _product(body)) % 36


def _passes_standard(number: str) -> bool:
    return (_product(number[:-1]) + _VALUE[number[-1]]) % 36 == 1


def _has_silent_swap(number: str) -> bool:
    """Say whether two different neighbours could change places and the check character still fit."""
    for place, (left, right) in enumerate(pairwise(number)):
        swapped = number[:place] + right + left + number[place + 2 :]
        if left != right and _passes_standard(swapped):
            return True
    return False
