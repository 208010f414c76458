"""
The paper code-break envelope of one participant: the way to the treatment with the system down.

Two pages, printed on one side only, on the unmasked side, for a participant who holds a slot. Page
1 is the face and names no arm. Page 2 carries the treatment on its middle third and is folded in
three, so that the dense upper and lower thirds lie over it; both go into an opaque sealed envelope.
Every opening is reported to the sponsor afterwards with person, time and reason.

The file has the same length whatever the arm: what differs is padded, as written in the file, to a
fixed number of bytes. So a print queue or a folder listing tells nothing.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from reportlab.pdfgen.canvas import Canvas

from trialsite import printing

WIDTH_MM: Final = 210
HEIGHT_MM: Final = 297

_MM: Final = printing.POINTS_PER_MM
_MARGIN: Final = 20 * _MM
_LINE: Final = 16.0
_TREATMENT_LINES: Final = 5
# Bytes of one padded line in the file; a bracket takes two there and an accented letter four.
_TREATMENT_BYTES: Final = 160
_ARM_BYTES: Final = 16

_FACE: Final = (
    "Open only in an emergency, when the treatment must be known for the participant's safety and the",
    "system cannot be reached. No permission is needed. Open this participant's envelope and no other.",
    "Tell only those who treat the participant. Sign below, keep the opened envelope, and enter the",
    "opening in the system as soon as it can be reached.",
)
_FIELDS: Final = ("Opened by (name, signature)", "Date, time and time zone", "Reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeContent:
    """Everything that is in and on one envelope. ``arm`` and ``treatment`` are secret."""

    trial_code: str
    site: str
    randomization_number: str
    arm: str
    treatment: str
    emergency_contact: str
    printed_on: dt.date


def code_break_envelope(content: EnvelopeContent) -> bytes:
    """
    Return the envelope's two pages as a PDF, byte-equal for equal content.

    Its length does not depend on ``arm`` or ``treatment``.

    :raises ValueError: if a text cannot be printed or does not fit.
    """
    buffer = BytesIO()
    canvas = printing.new_canvas(
        buffer, width_mm=WIDTH_MM, height_mm=HEIGHT_MM, title=f"{content.trial_code} code-break envelope"
    )
    _draw_face(canvas, content)
    canvas.showPage()
    _draw_inside(canvas, content)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _draw_face(canvas: Canvas, content: EnvelopeContent) -> None:
    top = HEIGHT_MM * _MM - _MARGIN
    _write(canvas, top, printing.BOLD, 16, "EMERGENCY CODE-BREAK ENVELOPE")
    _write(canvas, top - 2 * _LINE, printing.BOLD, 14, f"Participant {content.randomization_number}")
    _write(canvas, top - 3.5 * _LINE, printing.REGULAR, 11, f"Trial {content.trial_code}")
    _write(canvas, top - 4.5 * _LINE, printing.REGULAR, 11, content.site)
    _write(canvas, top - 5.5 * _LINE, printing.REGULAR, 11, f"Printed on {content.printed_on.isoformat()}")
    for row, line in enumerate(_FACE):
        _write(canvas, top - (7.5 + row) * _LINE, printing.REGULAR, 10, line)
    _write(canvas, top - 12.5 * _LINE, printing.BOLD, 10, content.emergency_contact)
    for row, line in enumerate(_FIELDS):
        _write(canvas, top - (15 + 3 * row) * _LINE, printing.REGULAR, 10, line)
        height = top - (16.2 + 3 * row) * _LINE
        canvas.line(_MARGIN, height, WIDTH_MM * _MM - _MARGIN, height)


def _draw_inside(canvas: Canvas, content: EnvelopeContent) -> None:
    third = HEIGHT_MM * _MM / 3
    for bottom in (0, 2 * third):
        printing.draw_pattern(canvas, width=WIDTH_MM * _MM, bottom=bottom, top=bottom + third)
    top = 2 * third - 2 * _LINE
    _write(canvas, top, printing.REGULAR, 11, f"Trial {content.trial_code}")
    _write(canvas, top - _LINE, printing.BOLD, 12, f"Participant {content.randomization_number}")
    _write(canvas, top - 3 * _LINE, printing.REGULAR, 11, "Arm")
    _write(canvas, top - 4 * _LINE, printing.BOLD, 12, printing.padded(content.arm, _ARM_BYTES))
    _write(canvas, top - 5.5 * _LINE, printing.REGULAR, 11, "Treatment")
    for row, line in enumerate(_treatment_lines(content.treatment)):
        _write(canvas, top - (6.5 + row) * _LINE, printing.BOLD, 12, line)


def _treatment_lines(treatment: str) -> list[str]:
    """Return the treatment as a fixed number of lines of one length in the file."""
    width = WIDTH_MM * _MM - 2 * _MARGIN
    return printing.padded_lines(
        treatment, size=12, width=width, count=_TREATMENT_LINES, length=_TREATMENT_BYTES
    )


def _write(canvas: Canvas, y: float, font: str, size: float, text: str) -> None:
    canvas.setFont(font, size)
    canvas.drawString(_MARGIN, y, printing.printable(text))
