"""
The emergency list of one site on paper: a cover sheet, a ledger, and a sheet for each envelope.

Printed on one side. Each sheet is folded in three like a Z: the lower third, a dense pattern, up
over the treatment in the middle, and the upper third, the outside, back. It goes into an opaque
envelope with a window, in which the outside shows: number of the envelope and randomization number.

Nothing on the outside, the cover or the ledger depends on an arm, and every sheet has one layout
and one length in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

from reportlab.pdfgen.canvas import Canvas

from trialsite import printing

WIDTH_MM: Final = 210
HEIGHT_MM: Final = 297

_MM: Final = printing.POINTS_PER_MM
_LEFT: Final = 20 * _MM
_RIGHT: Final = (WIDTH_MM - 20) * _MM
_TOP: Final = (HEIGHT_MM - 20) * _MM
_THIRD: Final = HEIGHT_MM * _MM / 3
_LINE: Final = 15.0
_TREATMENT_LINES: Final = 5
# Bytes of one padded line in the file; a bracket takes two there and an accented letter four.
_TREATMENT_BYTES: Final = 160
_ARM_BYTES: Final = 16

_COVER: Final = (
    "These envelopes are for this site, and for the time when the system cannot be reached. They are a list "
    "of their own: participants randomized from them are randomized, and entered afterwards.",
    "PRINT on one side, on a printer that nobody masked can reach. FOLD each sheet in three: the pattern up "
    "over the treatment, the outside back. PUT it into an opaque envelope with a window that shows the "
    "outside. CLOSE it, and sign across the flap. COUNT the envelopes with a second person, sign below, "
    "and delete the file. Keep them locked away in the pharmacy with the ledger: nobody masked holds them.",
    "WHEN THE INVESTIGATOR CALLS: take the envelope with the lowest number that is not in the ledger. No "
    "envelope is skipped, chosen or put back. Write its line in the ledger. Tell the investigator its "
    "randomization number. Open it with a witness, fill in the outside, and prepare what is inside.",
    "Never tell anybody masked what is inside, nor how many envelopes there are or are left.",
    "An envelope that is damaged, lost, or opened for nobody is SPOILED: write so in the ledger with the "
    "reason, and take the next one. The same person is never given a second envelope.",
    "AFTERWARDS the investigator enters every line of the ledger in its order, each participant and each "
    "spoiled envelope. Compare the ledger with the system's list line by line, and sign the comparison. At "
    "a participant's next bag the system's sheet must say what the envelope said: if not, raise the alarm.",
)
_SIGNATURES: Final = (
    "Printed, folded and closed by",
    "Counted by a second person",
    "Number of envelopes, date",
)
_OUTSIDE: Final = (
    ("Participant (screening number or initials)", "Date, time and time zone"),
    ("Opened by (name, signature)", "Witness (name, signature)"),
)
# Heading and width in mm of each column of the ledger.
_COLUMNS: Final = (
    ("No.", 11),
    ("Number", 22),
    ("Participant, stratum", 34),
    ("Date, time, zone", 27),
    ("Opened by", 24),
    ("Witness", 24),
    ("Spoiled: why", 28),
)
_ROW: Final = 10 * _MM
_ROWS: Final = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One slot of the list; ``arm``, ``treatment`` and the ``salt`` of its leaf are secret."""

    slot: int
    randomization_number: str
    arm: str = field(repr=False)
    treatment: str = field(repr=False)
    salt: bytes = field(repr=False)

    @property
    def envelope(self) -> str:
        """The number of its envelope, from 1."""
        return str(self.slot + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteList:
    """A site's emergency list, opened. ``root`` is the published Merkle root, hex."""

    study: str
    site: str
    root: str
    rows: Sequence[Row] = field(repr=False)


def emergency_sheets(content: SiteList) -> bytes:
    """
    Return cover sheet, ledger and one sheet per slot as a PDF, byte-equal for equal content.

    Its length does not depend on which arm a slot has.

    :raises ValueError: if a text cannot be printed or does not fit.
    """
    buffer = BytesIO()
    title = f"{content.study} emergency envelopes of {content.site}"
    canvas = printing.new_canvas(buffer, width_mm=WIDTH_MM, height_mm=HEIGHT_MM, title=title)
    _draw_cover(canvas, content)
    for start in range(0, len(content.rows), _ROWS):
        _draw_ledger(canvas, content, content.rows[start : start + _ROWS])
    for row in content.rows:
        _draw_outside(canvas, content, row)
        _draw_inside(canvas, row)
        printing.draw_pattern(canvas, width=WIDTH_MM * _MM, bottom=0, top=_THIRD)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _draw_cover(canvas: Canvas, content: SiteList) -> None:
    _write(canvas, _LEFT, _TOP, "EMERGENCY RANDOMIZATION ENVELOPES", bold=True, size=16)
    _write(canvas, _LEFT, _TOP - 2 * _LINE, f"Trial {content.study}, site {content.site}", bold=True, size=13)
    first, last = content.rows[0].envelope, content.rows[-1].envelope
    _write(canvas, _LEFT, _TOP - 3.5 * _LINE, f"Envelopes {first} to {last}")
    _write(canvas, _LEFT, _TOP - 4.5 * _LINE, f"Root of the list {content.root}", size=9)
    y = _TOP - 6.5 * _LINE
    for paragraph in _COVER:
        for line in printing.wrapped(paragraph, font=printing.REGULAR, size=11, width=_RIGHT - _LEFT):
            _write(canvas, _LEFT, y, line, size=11)
            y -= _LINE
        y -= _LINE / 2
    for label in _SIGNATURES:
        y -= 1.5 * _LINE
        _write(canvas, _LEFT, y, label)
        canvas.line(_LEFT + 60 * _MM, y, _RIGHT, y)
    canvas.showPage()


def _draw_ledger(canvas: Canvas, content: SiteList, rows: Sequence[Row]) -> None:
    title = f"Ledger of the emergency envelopes: trial {content.study}, site {content.site}"
    _write(canvas, _LEFT, _TOP, title, bold=True, size=12)
    top = _TOP - _LINE
    bottom = top - (len(rows) + 1) * _ROW
    x = _LEFT
    for heading, width in _COLUMNS:
        canvas.line(x, top, x, bottom)
        _write(canvas, x + 2, top - 0.6 * _ROW, heading, bold=True, size=8)
        x += width * _MM
    canvas.line(x, top, x, bottom)
    for number, row in enumerate(rows, start=1):
        y = top - (number + 0.6) * _ROW
        _write(canvas, _LEFT + 2, y, row.envelope, size=9)
        _write(canvas, _LEFT + _COLUMNS[0][1] * _MM + 2, y, row.randomization_number, size=9)
    for number in range(len(rows) + 2):
        canvas.line(_LEFT, top - number * _ROW, x, top - number * _ROW)
    canvas.showPage()


def _draw_outside(canvas: Canvas, content: SiteList, row: Row) -> None:
    top = _TOP + 8 * _MM
    _write(canvas, _LEFT, top, f"Trial {content.study}, site {content.site}: emergency randomization")
    _write(canvas, _LEFT, top - 1.8 * _LINE, f"Envelope {row.envelope}", bold=True, size=16)
    number = f"Randomization number {row.randomization_number}"
    _write(canvas, _LEFT, top - 3.4 * _LINE, number, bold=True, size=16)
    _write(canvas, _LEFT, top - 5 * _LINE, "Open in the order of the numbers only, with a witness.", size=9)
    _write(canvas, _LEFT, top - 5.8 * _LINE, "Not to be read by anybody masked.", size=9)
    middle = (_LEFT + _RIGHT) / 2
    for line, pair in enumerate(_OUTSIDE):
        y = top - (9 + 3 * line) * _LINE
        for x, label in zip((_LEFT, middle), pair, strict=True):
            canvas.line(x, y, x + (_RIGHT - _LEFT) / 2 - 4 * _MM, y)
            _write(canvas, x, y - 0.7 * _LINE, label, size=8)


def _draw_inside(canvas: Canvas, row: Row) -> None:
    top = 2 * _THIRD - 3 * _LINE
    _write(canvas, _LEFT, top, f"Randomization number {row.randomization_number}", bold=True, size=12)
    _write(canvas, _LEFT, top - 2 * _LINE, "Arm")
    _write(canvas, _LEFT, top - 3 * _LINE, printing.padded(row.arm, _ARM_BYTES), bold=True, size=12)
    _write(canvas, _LEFT, top - 4.5 * _LINE, "Treatment")
    lines = printing.padded_lines(
        row.treatment, size=12, width=_RIGHT - _LEFT, count=_TREATMENT_LINES, length=_TREATMENT_BYTES
    )
    for number, line in enumerate(lines):
        _write(canvas, _LEFT, top - (5.5 + number) * _LINE, line, bold=True, size=12)


def _write(canvas: Canvas, x: float, y: float, text: str, *, bold: bool = False, size: float = 10) -> None:
    canvas.setFont(printing.BOLD if bold else printing.REGULAR, size)
    canvas.drawString(x, y, printing.printable(text))
