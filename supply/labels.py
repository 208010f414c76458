"""
The labels of a bag: one for the bag itself, one for the opaque cover, from one template.

The items are those of Regulation (EU) 536/2014, Annex VI A.1 (a) to (l); both substances are named
on every label. ``LabelContent`` is the only input and has no place for an arm or a treatment, so two
labels differ in kit number, participant, visit and times and in nothing else, byte for byte.

The DataMatrix is GS1's (AI 01 GTIN, 21 kit number, 10 the trial-wide lot constant, 7003 expiry). AI
7003 is YYMMDDHHMM in the site's local time, as GS1 defines it and as printed beside it; where the
clocks go back it is ambiguous and the printed offset is not. The symbol is read back and compared
before a label leaves this module. Texts are limited to the standard fonts (Windows code page 1252).
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final
from zoneinfo import ZoneInfo

import zxingcpp
from reportlab.pdfgen.canvas import Canvas

from supply.domain import kit_codes, scans
from trialsite import printing
from trialsite.protocol import Protocol

WIDTH_MM: Final = 100
HEIGHT_MM: Final = 150
FACES: Final = ("INNER LABEL: BAG", "OUTER LABEL: COVER")

# Annex VI A.1 (l) lets the children's warning go where the product never leaves the site.
NOT_TAKEN_HOME: Final = (
    "Given at the trial site by trial staff and never taken home: "
    "the warning to keep out of reach of children does not apply."
)

_MM: Final = printing.POINTS_PER_MM
_MARGIN: Final = 5 * _MM
_CODE_SIDE: Final = 22 * _MM
_TEXT_SIZE: Final = 7.5
_PERIOD_SIZE: Final = 10.5
_LEADING: Final = 9.0
_CAPTION_WIDTH: Final = 19 * _MM


class LabelUnreadable(Exception):
    """The symbol did not read back as what it was made from, or a line is cut: not to be printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelContent:
    """Everything that is on a label; the letters are the items of Annex VI A.1."""

    kit_number: str
    gtin: str
    lot: str  # (d)
    trial_code: str  # (e)
    randomization_number: str  # (f)
    visit: str  # (f)
    expires_at: dt.datetime  # (k)
    time_zone: str
    sponsor: str  # (a)
    sponsor_address: str  # (a)
    sponsor_telephone: str  # (a)
    emergency_contact: str  # (a)
    product: str  # (b), both substances
    form_and_route: str  # (c), with the quantity
    investigator: str  # (g)
    site: str  # (g)
    site_telephone: str  # (g)
    directions: str  # (h)
    statement: str  # (i)
    storage: str  # (j)
    child_warning: str = NOT_TAKEN_HOME  # (l)


def label_content(
    protocol: Protocol,
    *,
    site_code: str,
    kit_number: str,
    randomization_number: str,
    infusion_number: int,
    expires_at: dt.datetime,
) -> LabelContent:
    """
    Return the label of one kit, from the trial file and what is the kit's own.

    :raises KeyError: if the trial has no such site.
    :raises StopIteration: if the trial has no such infusion.
    """
    site, text = protocol.site(site_code), protocol.label
    day = next(planned.day for planned in protocol.infusions if planned.number == infusion_number)
    return LabelContent(
        kit_number=kit_number,
        gtin=protocol.kits.gtin,
        lot=protocol.kits.lot,
        trial_code=protocol.protocol,
        randomization_number=randomization_number,
        visit=f"Infusion {infusion_number} of {len(protocol.infusions)} (Day {day})",
        expires_at=expires_at,
        time_zone=site.time_zone,
        sponsor=text.sponsor,
        sponsor_address=text.sponsor_address,
        sponsor_telephone=text.sponsor_telephone,
        emergency_contact=text.emergency_contact,
        product=text.product,
        form_and_route=text.form_and_route,
        investigator=site.investigator,
        site=site.name,
        site_telephone=site.telephone,
        directions=text.directions,
        statement=text.statement,
        storage=text.storage,
    )


def label_pdf(content: LabelContent) -> bytes:
    """
    Return a PDF of two pages, the bag's label and the cover's, byte-equal for equal content.

    :raises kit_codes.KitNumberMisread: if the kit number is not one.
    :raises ValueError: if a text cannot be printed or does not fit, or the expiry is no whole minute.
    :raises LabelUnreadable: if the symbol does not read back.
    """
    kit_codes.check(content.kit_number)
    rows = label_rows(content)
    modules = symbol_modules(content)
    buffer = BytesIO()
    canvas = printing.new_canvas(
        buffer, width_mm=WIDTH_MM, height_mm=HEIGHT_MM, title=f"{content.trial_code} label"
    )
    for face in FACES:
        _draw_face(canvas, face, content, rows, modules)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def label_rows(content: LabelContent) -> list[tuple[str, str]]:
    """Return the captions and texts below the kit number, in print order, for any kind of label."""
    return [
        ("Participant", content.randomization_number),
        ("Visit", content.visit),
        ("Product", content.product),
        ("Form, route", content.form_and_route),
        ("Batch", content.lot),
        ("Directions", content.directions),
        ("Storage", content.storage),
        ("Investigator", f"{content.investigator}, {content.site_telephone}"),
        ("Site", content.site),
        ("Sponsor", f"{content.sponsor}, {content.sponsor_address}, {content.sponsor_telephone}"),
        ("Emergency", content.emergency_contact),
        ("Children", content.child_warning),
    ]


def expiry_text(content: LabelContent) -> str:
    """
    Return the period of use as printed: local date and time, zone and offset from UTC.

    :raises ValueError: if the expiry has no zone or is no whole minute.
    """
    local = _local_expiry(content)
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M} ({content.time_zone}, UTC{offset[:3]}:{offset[3:]})"


def gs1_text(content: LabelContent) -> str:
    """Return the content of the DataMatrix with its application identifiers in brackets."""
    expiry = f"{_local_expiry(content):%y%m%d%H%M}"
    return f"(01){content.gtin}(21){content.kit_number}(10){content.lot}(7003){expiry}"


def symbol_modules(content: LabelContent) -> list[list[bool]]:
    """
    Return the DataMatrix, row by row from the top, True for a dark module.

    :raises LabelUnreadable: if it does not read back as a GS1 symbol with the same content.
    """
    text = gs1_text(content)
    # force_square: some numbers would fit a rectangle, and every label shall look alike.
    symbol = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix, gs1=True, force_square=True)
    _read_back(symbol, text, content.kit_number)
    picture: Any = symbol.to_image(scale=1, add_quiet_zones=False)
    image = memoryview(picture)
    height, width = image.shape or (0, 0)
    pixels = image.tobytes()
    return [[pixels[row * width + column] == 0 for column in range(width)] for row in range(height)]


def _local_expiry(content: LabelContent) -> dt.datetime:
    if content.expires_at.utcoffset() is None:
        raise ValueError("a time without its zone names no moment")
    if content.expires_at.second or content.expires_at.microsecond:
        raise ValueError("an expiry is a whole minute")
    return content.expires_at.astimezone(ZoneInfo(content.time_zone))


def _read_back(symbol: Any, text: str, kit_number: str) -> None:
    found = zxingcpp.read_barcodes(symbol.to_image(scale=4))
    if [(code.symbology_identifier, code.text) for code in found] != [("]d2", text)]:
        raise LabelUnreadable("the label's symbol does not read back")
    # And as a scanner sends it: through the reader that the bedside uses.
    if scans.read_kit_scan("]d2" + found[0].bytes.decode("ascii")) != kit_number:
        raise LabelUnreadable("the label's symbol carries another kit number")


def _draw_face(
    canvas: Canvas,
    face: str,
    content: LabelContent,
    rows: list[tuple[str, str]],
    modules: list[list[bool]],
) -> None:
    right, top = WIDTH_MM * _MM - _MARGIN, HEIGHT_MM * _MM - _MARGIN
    _write(canvas, _MARGIN, top - 9, printing.BOLD, 9, content.statement.upper())
    _write(canvas, _MARGIN, top - 20, printing.BOLD, 9, f"Trial {content.trial_code}")
    _write(canvas, _MARGIN, top - 31, printing.REGULAR, 7.5, face)
    _draw_modules(canvas, modules, left=right - _CODE_SIDE, bottom=top - _CODE_SIDE)
    _write(canvas, _MARGIN, top - 44, printing.REGULAR, 7.5, "Kit number")
    _write(canvas, _MARGIN, top - 62, printing.BOLD, 20, content.kit_number)
    lowest = top - 82
    period = f"Use before {expiry_text(content)}"
    for line in printing.wrapped(period, font=printing.BOLD, size=_PERIOD_SIZE, width=right - _MARGIN):
        _write(canvas, _MARGIN, lowest, printing.BOLD, _PERIOD_SIZE, line)
        lowest -= _PERIOD_SIZE + 3
    for caption, text in rows:
        lowest = _draw_row(canvas, caption, text, top=lowest, right=right)


def _draw_row(canvas: Canvas, caption: str, text: str, *, top: float, right: float) -> float:
    """Write one row and return where the next begins."""
    left = _MARGIN + _CAPTION_WIDTH
    lines = printing.wrapped(text, font=printing.REGULAR, size=_TEXT_SIZE, width=right - left)
    heights: Iterator[float] = itertools.count(top, -_LEADING)
    _write(canvas, _MARGIN, top, printing.BOLD, _TEXT_SIZE, caption)
    for height, line in zip(heights, lines, strict=False):
        if height < _MARGIN:
            raise ValueError("the texts do not fit the label")
        _write(canvas, left, height, printing.REGULAR, _TEXT_SIZE, line)
    return top - _LEADING * max(1, len(lines)) - 3


def _draw_modules(canvas: Canvas, modules: list[list[bool]], *, left: float, bottom: float) -> None:
    # Light modules are drawn too: the page then has the same length whatever the symbol says.
    side = _CODE_SIDE / len(modules)
    for row, line in enumerate(reversed(modules)):
        for column, dark in enumerate(line):
            canvas.setFillGray(0 if dark else 1)
            canvas.rect(left + column * side, bottom + row * side, side, side, stroke=0, fill=1)
    canvas.setFillGray(0)


def _write(canvas: Canvas, x: float, y: float, font: str, size: float, text: str) -> None:
    if x + canvas.stringWidth(text, font, size) > WIDTH_MM * _MM:
        raise LabelUnreadable("a line runs over the label's edge")
    canvas.setFont(font, size)
    canvas.drawString(x, y, printing.printable(text))
