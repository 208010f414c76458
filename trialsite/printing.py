"""
PDF whose bytes follow from its content alone: no clock, no random identifier, no compression.

Labels and envelopes must be equal between the arms but for what is meant to differ. That can only
be shown of files that are reproducible, whose pages are plain text, and whose standard fonts are
not embedded in a subset that would depend on the letters used.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

from reportlab.lib.utils import simpleSplit
from reportlab.pdfgen.canvas import Canvas

REGULAR: Final = "Helvetica"
BOLD: Final = "Helvetica-Bold"
POINTS_PER_MM: Final = 72 / 25.4
# Close enough that no letter behind the pattern can be followed against the light.
_PATTERN_STEP: Final = 2.0


def new_canvas(buffer: BytesIO, *, width_mm: float, height_mm: float, title: str) -> Canvas:
    """Return a canvas with fixed metadata that writes the same bytes for the same drawing."""
    size = (width_mm * POINTS_PER_MM, height_mm * POINTS_PER_MM)
    canvas = Canvas(buffer, pagesize=size, pageCompression=0, invariant=1)
    canvas.setTitle(title)
    canvas.setAuthor("trialsite")
    canvas.setCreator("trialsite")
    canvas.setProducer("trialsite")
    canvas.setSubject("")
    return canvas


def printable(text: str) -> str:
    """
    Return ``text`` if the standard fonts can print all of it.

    :raises ValueError: if a character would be lost or replaced; labels do not guess.
    """
    try:
        text.encode("cp1252")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{text[error.start : error.end]!r} cannot be printed in the standard fonts"
        ) from None
    if not text.isprintable():
        raise ValueError("a text to print holds a control character")
    return text


def wrapped(text: str, *, font: str, size: float, width: float) -> list[str]:
    """
    Return ``text`` as lines no wider than ``width`` points.

    :raises ValueError: if it cannot be printed.
    """
    return [str(line) for line in simpleSplit(printable(text), font, size, width)]


def padded(text: str, length: int) -> str:
    """
    Return ``text`` with as many spaces behind it as make it ``length`` bytes in the file.

    PDF writes a bracket or backslash as two bytes and what is not ASCII as four (ISO 32000-1, 7.3.4.2).

    :raises ValueError: if it is longer.
    """
    written = sum(2 if letter in "()\\" else 1 if letter.isascii() else 4 for letter in text)
    if written > length:
        raise ValueError("a text does not fit the envelope")
    return text + " " * (length - written)


def padded_lines(text: str, *, size: float, width: float, count: int, length: int) -> list[str]:
    """
    Return ``text``, in bold, as ``count`` lines of at most ``width`` points, each ``padded`` to ``length``.

    :raises ValueError: if it cannot be printed, or does not fit.
    """
    lines = wrapped(text, font=BOLD, size=size, width=width)
    if len(lines) > count:
        raise ValueError("the treatment does not fit the envelope")
    return [padded(line, length) for line in lines + [""] * (count - len(lines))]


def draw_pattern(canvas: Canvas, *, width: float, bottom: float, top: float) -> None:
    """Draw lines so dense that, folded over a text, they hide it against the light; sizes in points."""
    canvas.setLineWidth(1.2)
    height = bottom
    while height < top:
        canvas.line(0, height, width, height)
        height += _PATTERN_STEP
    canvas.setLineWidth(1)
