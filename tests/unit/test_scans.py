"""Scans: whatever the scanner sends, the same number; anything else, the same refusal."""

from __future__ import annotations

import pytest

from supply.domain import kit_codes, scans

GTIN = "09520123456788"


# 7 random characters with letters that can be typed small, and their check character.
NUMBER = next(
    number
    for number in ("7K3QF9X" + symbol for symbol in kit_codes.ALPHABET)
    if kit_codes.is_kit_number(number)
)
ELEMENT_STRING = f"01{GTIN}21{NUMBER}\x1d10NCT04293692\x1d70032603011430"


@pytest.mark.parametrize(
    "scan",
    [
        NUMBER,
        f"  {NUMBER}\r\n",
        NUMBER.lower(),
        f"{NUMBER[:4]} {NUMBER[4:]}",
        f"{NUMBER[:4]}-{NUMBER[4:]}",
        f"]d1{NUMBER}",
        f"]C0{NUMBER}",
        f"]d2{ELEMENT_STRING}",
        f"]C1{ELEMENT_STRING}\r",
        f"]d2\x1d{ELEMENT_STRING}\x1d",
        f"\x1d{ELEMENT_STRING}",
        ELEMENT_STRING,
        f"01{GTIN}21{NUMBER}",
        f"01{GTIN}70032603011430\x1d10NCT04293692\x1d21{NUMBER}",
        f"(01){GTIN}(21){NUMBER}(10)NCT04293692(7003)2603011430",
    ],
)
@pytest.mark.requirement(41)
def test_every_form_of_a_scan_gives_the_kit_number(scan: str) -> None:
    assert scans.read_kit_scan(scan) == NUMBER


def a_wrong_number() -> str:
    """The number with its last character changed."""
    return NUMBER[:-1] + ("0" if NUMBER[-1] != "0" else "1")


@pytest.mark.parametrize(
    "scan",
    [
        "",
        " ",
        "]",
        "]d2",
        "]d2]d2",
        "\x1d\x1d",
        "not a kit",
        "R-0001",
        a_wrong_number(),
        f"]d2{ELEMENT_STRING.replace(NUMBER, a_wrong_number())}",
        f"01{GTIN}21{NUMBER.lower()}",
        f"01{GTIN}21{NUMBER}10NCT04293692",
        f"01{GTIN}10{NUMBER}",
        f"]d201{GTIN}70039999999999\x1d21{NUMBER}",
        "(01)(21)",
        "(21",
        "01" * 300,
        NUMBER * 100,
        "ſ" * 8,
        "\x00" * 8,
    ],
)
@pytest.mark.requirement(20, 26)
def test_anything_else_is_misread_in_the_same_words(scan: str) -> None:
    with pytest.raises(scans.KitNumberMisread) as refusal:
        scans.read_kit_scan(scan)

    assert str(refusal.value) == str(scans.KitNumberMisread())
    assert refusal.value.status == 409
