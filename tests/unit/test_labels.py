"""Labels: complete by Annex VI, readable by a scanner, and the same for both arms."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import io
import itertools
import re
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from pypdf import PdfReader

from supply import labels
from supply.domain import kit_codes
from supply.domain.scans import read_kit_scan
from trialsite.protocol import DEFAULT_TRIAL_FILE, load

PROTOCOL = load(DEFAULT_TRIAL_FILE)


def a_kit_number(seed: int) -> str:
    """The kit number that hashes counted from ``seed`` give."""
    count = itertools.count()
    return kit_codes.draw(lambda length: hashlib.sha256(f"{seed}/{next(count)}".encode()).digest()[:length])


FIRST, SECOND = a_kit_number(1), a_kit_number(2)


def a_label(kit_number: str = FIRST, **changes: Any) -> labels.LabelContent:
    """The label of a bag for the second infusion, which expires at 14:30 in Wuhan."""
    content = labels.label_content(
        PROTOCOL,
        site_code="PUREN",
        kit_number=kit_number,
        randomization_number="R-0001",
        infusion_number=2,
        expires_at=dt.datetime(2026, 3, 1, 6, 30, tzinfo=dt.UTC),
    )
    return dataclasses.replace(content, **changes)


def pages(pdf: bytes) -> list[str]:
    """The text of each page, with single spaces."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages]


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.requirement(23, 24)
def test_both_labels_carry_every_item_of_annex_vi(page: int) -> None:
    text = pages(labels.label_pdf(a_label()))[page]

    items = {
        "a sponsor": "Puren Hospital Affiliated to Wuhan University of Science and Technology, Wuhan, Hubei",
        "a telephone": "+86 27 0000 0000",
        "a emergency unblinding": "Emergency unblinding, day and night: +86 27 0000 0009",
        "b both substances": "UC-MSC 0.5 x 10^6 cells/kg or placebo",
        "c form, route, quantity": "Suspension for infusion, 100 mL. Intravenous use.",
        "d batch": "Batch NCT04293692",
        "e trial": "Trial NCT04293692",
        "f participant": "Participant R-0001",
        "f visit": "Visit Infusion 2 of 4 (Day 3)",
        "g investigator": "Principal investigator, Puren Hospital, +86 27 0000 0001",
        "g site": "Site Puren Hospital",
        "h directions": "Infuse once",
        "i statement": "FOR CLINICAL TRIAL USE ONLY",
        "j storage": "Room temperature",
        "k period of use": "Use before 2026-03-01 14:30 (Asia/Shanghai, UTC+08:00)",
        "l children": "out of reach of children does not apply",
        "kit number": f"Kit number {FIRST}",
        "which label": ("BAG", "COVER")[page],
    }
    assert {item: words for item, words in items.items() if words not in text} == {}


@pytest.mark.requirement(23, 50)
def test_the_content_of_a_label_has_no_place_for_an_arm() -> None:
    names = {field.name for field in dataclasses.fields(labels.LabelContent)}

    assert not [
        name
        for name in names
        if re.search("arm|treat|lot_number|cells|prepar|viab", name.replace("pharm", ""))
    ]
    values = dataclasses.asdict(a_label()).values()
    for treatment in PROTOCOL.treatments.values():
        assert treatment.name not in values


def test_the_same_content_gives_the_same_bytes() -> None:
    assert labels.label_pdf(a_label()) == labels.label_pdf(a_label())


def without(pdf: bytes, *words: str) -> bytes:
    """The file without the given words, the grey of the symbol's modules and the digest of it all."""
    for word in words:
        pdf = pdf.replace(word.encode(), b"#")
    pdf = re.sub(rb"\b[01] g\b", b"? g", pdf)
    return re.sub(rb"<[0-9a-f]{32}>", b"<>", pdf)


@pytest.mark.requirement(23)
def test_two_labels_differ_in_kit_number_and_times_only_byte_for_byte() -> None:
    first = labels.label_pdf(a_label(FIRST))
    second = labels.label_pdf(a_label(SECOND, expires_at=dt.datetime(2026, 3, 2, 7, 45, tzinfo=dt.UTC)))

    assert first != second
    assert len(first) == len(second)
    assert without(first, FIRST, "2026-03-01 14:30") == without(second, SECOND, "2026-03-02 15:45")


def drawn_symbol(pdf: bytes, page: int) -> Image.Image:
    """The symbol as the page draws it, rebuilt from its rectangles."""
    contents = PdfReader(io.BytesIO(pdf)).pages[page].get_contents()
    assert contents is not None
    stream = contents.get_data().decode("latin-1")
    squares = re.findall(r"([01]) g\s+n ([\d.]+) ([\d.]+) ([\d.]+) [\d.]+ re f", stream)
    side = max(float(square[3]) for square in squares)
    left, bottom = min(float(square[1]) for square in squares), min(float(square[2]) for square in squares)
    count = round(len(squares) ** 0.5)
    picture = Image.new("L", (count + 4, count + 4), 255)
    for grey, x, y, _ in squares:
        column, row = round((float(x) - left) / side), round((float(y) - bottom) / side)
        picture.putpixel((column + 2, count + 1 - row), 255 * int(grey))
    return picture.resize((picture.width * 6, picture.height * 6), Image.Resampling.NEAREST)


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.requirement(37, 41)
def test_the_printed_symbol_is_gs1_and_scans_as_the_kit_with_its_expiry_in_site_time(page: int) -> None:
    found = zxingcpp.read_barcodes(drawn_symbol(labels.label_pdf(a_label()), page))

    assert [(code.symbology_identifier, code.text) for code in found] == [
        ("]d2", f"(01)09520123456788(21){FIRST}(10)NCT04293692(7003)2603011430")
    ]
    assert read_kit_scan("]d2" + found[0].bytes.decode()) == FIRST


def test_the_printed_symbol_stands_upright() -> None:
    # A mirrored symbol reads on many scanners and not on all: the solid edges are left and below.
    picture = drawn_symbol(labels.label_pdf(a_label()), 0)
    first, last = 2 * 6, picture.width - 2 * 6 - 1

    assert {picture.getpixel((first, y)) for y in range(first, last)} == {0}
    assert {picture.getpixel((x, last)) for x in range(first, last)} == {0}


def test_a_symbol_that_is_not_gs1_never_leaves_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    create = zxingcpp.create_barcode

    def careless(text: str, barcode_format: zxingcpp.BarcodeFormat, **options: object) -> zxingcpp.Barcode:
        # The trap of the library: the option is taken without a word and makes a plain symbol.
        return create(text, barcode_format, options="gs1")

    monkeypatch.setattr(zxingcpp, "create_barcode", careless)

    with pytest.raises(labels.LabelUnreadable):
        labels.label_pdf(a_label())


def test_a_symbol_of_another_kit_never_leaves_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    create = zxingcpp.create_barcode

    def mistaken(text: str, barcode_format: zxingcpp.BarcodeFormat, **options: object) -> zxingcpp.Barcode:
        return create(text.replace(FIRST, SECOND), barcode_format, **options)

    monkeypatch.setattr(zxingcpp, "create_barcode", mistaken)

    with pytest.raises(labels.LabelUnreadable):
        labels.label_pdf(a_label())


def test_every_kit_number_gives_a_square_symbol_of_one_size() -> None:
    numbers = [a_kit_number(seed) for seed in range(300)]

    sizes = {
        (len(rows), len(rows[0])) for rows in (labels.symbol_modules(a_label(number)) for number in numbers)
    }

    assert sizes == {(24, 24)}


def test_the_hour_that_occurs_twice_is_told_apart_by_its_offset() -> None:
    first = a_label(time_zone="Europe/Berlin", expires_at=dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC))
    second = a_label(time_zone="Europe/Berlin", expires_at=dt.datetime(2026, 10, 25, 1, 30, tzinfo=dt.UTC))

    assert labels.expiry_text(first) == "2026-10-25 02:30 (Europe/Berlin, UTC+02:00)"
    assert labels.expiry_text(second) == "2026-10-25 02:30 (Europe/Berlin, UTC+01:00)"


@pytest.mark.parametrize(
    "changes",
    [
        {"directions": "every word counts " * 200},
        {"site": "武汉市普仁医院"},
        {"storage": "cold\nand dark"},
        {"expires_at": dt.datetime(2026, 3, 1, 6, 30, 1, tzinfo=dt.UTC)},
        {"expires_at": dt.datetime(2026, 3, 1, 6, 30)},  # noqa: DTZ001
    ],
)
def test_nothing_is_cut_off_replaced_or_rounded_in_silence(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        labels.label_pdf(a_label(**changes))


def test_a_label_is_made_for_a_kit_number_only() -> None:
    with pytest.raises(kit_codes.KitNumberMisread):
        labels.label_pdf(a_label("ABCDEFGH"))


def test_the_time_of_expiry_is_whole_on_the_label_in_the_longest_time_zone() -> None:
    label = a_label(time_zone="America/Argentina/ComodRivadavia")

    assert "(America/Argentina/ComodRivadavia, UTC-03:00)" in pages(labels.label_pdf(label))[0]


def test_a_label_whose_line_would_be_cut_is_not_printed() -> None:
    too_long = a_label(trial_code="NCT04293692" * 8)

    with pytest.raises(labels.LabelUnreadable, match="edge"):
        labels.label_pdf(too_long)
