"""The paper code break: complete inside, silent outside."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from randomization.envelopes import EnvelopeContent, code_break_envelope
from trialsite.protocol import DEFAULT_TRIAL_FILE, load


def an_envelope(**changes: Any) -> EnvelopeContent:
    """The content of the first participant's envelope."""
    content = EnvelopeContent(
        trial_code="NCT04293692",
        site="Puren Hospital",
        randomization_number="R-0001",
        arm="A",
        treatment="Umbilical cord cells in 100 mL",
        emergency_contact="Emergency unblinding, day and night: +86 27 0000 0009",
        printed_on=dt.date(2026, 3, 1),
    )
    return replace(content, **changes)


def pages(pdf: bytes) -> list[str]:
    """The text of each page, with single spaces."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages]


@pytest.mark.requirement(68)
def test_the_face_says_whose_and_how_and_the_inside_says_what() -> None:
    face, inside = pages(code_break_envelope(an_envelope()))

    for words in (
        "NCT04293692",
        "R-0001",
        "Puren Hospital",
        "2026-03-01",
        "+86 27 0000 0009",
        "Opened by",
        "Reason",
    ):
        assert words in face
    assert "Umbilical cord cells" not in face
    assert "Arm" not in face
    for words in ("NCT04293692", "R-0001", "Arm A", "Treatment Umbilical cord cells in 100 mL"):
        assert words in inside


@pytest.mark.requirement(56, 68)
def test_the_file_is_as_long_for_one_arm_of_the_trial_as_for_the_other() -> None:
    protocol = load(DEFAULT_TRIAL_FILE)

    made = [
        code_break_envelope(an_envelope(arm=arm.code, treatment=protocol.treatments[arm.treatment].name))
        for arm in protocol.arms
    ]

    assert made[0] != made[1]
    assert len(made[0]) == len(made[1])


PRINTABLE = "".join(chr(n) for n in (*range(32, 127), *range(160, 256)) if chr(n).isprintable())


@given(treatment=st.text(PRINTABLE + "()\\\\×é ", max_size=80))
@settings(max_examples=30, deadline=None)
@pytest.mark.requirement(56, 68)
def test_the_length_does_not_depend_on_the_words_of_the_treatment(treatment: str) -> None:
    assert len(code_break_envelope(an_envelope(treatment=treatment))) == len(
        code_break_envelope(an_envelope())
    )


@pytest.mark.requirement(68)
def test_the_faces_of_both_arms_are_equal_byte_for_byte() -> None:
    def face(arm: str) -> bytes:
        pdf = code_break_envelope(an_envelope(arm=arm, treatment=f"treatment {arm}"))
        contents = PdfReader(io.BytesIO(pdf)).pages[0].get_contents()
        assert contents is not None
        return contents.get_data()

    assert face("A") == face("B")


def test_the_same_content_gives_the_same_bytes() -> None:
    assert code_break_envelope(an_envelope()) == code_break_envelope(an_envelope())


def test_nothing_is_cut_off_or_replaced_in_silence() -> None:
    for treatment in ("very long " * 60, "干细胞", "two\nlines"):
        with pytest.raises(ValueError):
            code_break_envelope(an_envelope(treatment=treatment))
