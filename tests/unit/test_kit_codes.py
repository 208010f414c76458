"""Kit numbers: every slip of a finger or a pen is found, and numbers tell nothing."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable

import pytest

from supply.domain import kit_codes

EVERY_SYMBOL = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def a_source(seed: str = "kits") -> Callable[[int], bytes]:
    """A reproducible source of bytes: SHA-256 of a counter."""
    count = itertools.count()
    stream = (byte for n in count for byte in hashlib.sha256(f"{seed}/{n}".encode()).digest())
    return lambda length: bytes(itertools.islice(stream, length))


def swaps(number: str) -> list[str]:
    """Every text made by letting two different neighbours change places."""
    return [
        number[:i] + number[i + 1] + number[i] + number[i + 2 :]
        for i in range(len(number) - 1)
        if number[i] != number[i + 1]
    ]


def substitutions(number: str) -> list[str]:
    """Every text that differs in one character, lookalikes included."""
    return [
        number[:i] + symbol + number[i + 1 :]
        for i in range(len(number))
        for symbol in EVERY_SYMBOL
        if symbol != number[i]
    ]


@pytest.mark.requirement(20)
def test_every_single_wrong_character_is_found() -> None:
    numbers = kit_codes.draw_pool(500, a_source())

    accepted = [
        wrong for number in numbers for wrong in substitutions(number) if kit_codes.is_kit_number(wrong)
    ]

    assert accepted == []


@pytest.mark.requirement(20)
def test_every_swap_of_neighbours_is_found() -> None:
    numbers = kit_codes.draw_pool(20_000, a_source())

    accepted = [wrong for number in numbers for wrong in swaps(number) if kit_codes.is_kit_number(wrong)]

    assert accepted == []


@pytest.mark.requirement(20)
def test_a_swap_that_the_standard_itself_does_not_see_is_never_drawn() -> None:
    # MOD 37,36 is blind to 8 and 9 changing places after "5": both texts carry the same check
    # character. Neither is a kit number.
    silent = [
        body + check
        for body in ("5890000", "5980000")
        for check in kit_codes.ALPHABET
        if kit_codes._passes_standard(body + check)
    ]

    assert [number[1:3] for number in silent] == ["89", "98"]
    assert silent[0][-1] == silent[1][-1]
    assert not any(kit_codes.is_kit_number(number) for number in silent)


@pytest.mark.requirement(20)
def test_numbers_of_a_pool_are_unique_and_written_in_the_alphabet() -> None:
    numbers = kit_codes.draw_pool(5000, a_source())

    assert len(set(numbers)) == 5000
    assert all(kit_codes.is_kit_number(number) for number in numbers)
    assert set("".join(numbers)) <= set(kit_codes.ALPHABET)
    assert {len(number) for number in numbers} == {8}


def test_the_alphabet_has_no_lookalikes_and_thirty_bits_remain() -> None:
    assert len(kit_codes.ALPHABET) == 30
    assert not set("BILOSZ") & set(kit_codes.ALPHABET)
    # Five sixths of the bodies have a printable check character; far fewer than half are lost to
    # rule 4. Even a half would leave more than thirty bits.
    assert 30**kit_codes.RANDOM_CHARACTERS // 2 > 2**30


def test_check_characters_are_those_of_the_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    # The known answer of MOD 37,36 that the recording industry publishes for its GRid identifiers.
    number = "A12425GABC1234002M"
    every_value = {symbol: value for value, symbol in enumerate(EVERY_SYMBOL)}
    monkeypatch.setattr(kit_codes, "_VALUE", every_value)

    fits = [symbol for symbol in EVERY_SYMBOL if kit_codes._passes_standard(number[:-1] + symbol)]

    assert fits == [number[-1]]
    assert EVERY_SYMBOL[kit_codes._check_value(number[:-1])] == number[-1]


@pytest.mark.parametrize(
    "text", ["", "0", "00000000000", "ABCDEFGH", "7K3QF9X", "7k3qf9xm", "ßßßßßßßß", "٣٣٣٣٣٣٣٣"]
)
def test_what_is_not_a_kit_number_is_refused_in_the_same_words(text: str) -> None:
    with pytest.raises(kit_codes.KitNumberMisread) as refusal:
        kit_codes.check(text)

    assert refusal.value.code == "kit_number_misread"
    assert str(refusal.value) == str(kit_codes.KitNumberMisread())


@pytest.mark.requirement(21)
def test_no_symbol_is_likelier_than_another() -> None:
    source = a_source("bias")

    counts = Counter("".join(kit_codes._random_body(source) for _ in range(20_000)))

    # Chi-square with 29 degrees of freedom: 58.3 is passed once in a thousand. With byte % 30 and
    # nothing thrown away the value is in the hundreds.
    expected = 20_000 * kit_codes.RANDOM_CHARACTERS / 30
    assert sum((counts[symbol] - expected) ** 2 / expected for symbol in kit_codes.ALPHABET) < 58.3


def test_a_byte_that_would_favour_some_symbols_is_thrown_away() -> None:
    answers = iter([bytes([255] * 7), bytes([239, 240, 0, 1, 2, 3, 4]), bytes([5] * 7)])

    body = kit_codes._random_body(lambda _: next(answers))

    assert body == "Y012345"


@pytest.mark.parametrize("byte", [0, 255])
def test_a_source_that_repeats_itself_is_an_error_and_not_an_endless_loop(byte: int) -> None:
    with pytest.raises(kit_codes.RandomSourceError):
        kit_codes.draw_pool(2, lambda length: bytes([byte]) * length)
