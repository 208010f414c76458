"""The paper envelope: printed by a named person, on the trail first."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pypdf import PdfReader

from tests.randomization.breaking import (
    arm_of,
)
from tests.world import a_participant, the_protocol

pytestmark = pytest.mark.usefixtures("unmasked_face")


def print_envelope(world, tmp_path, participant, *, by="safety_officer", out="envelope.pdf"):
    signature = tmp_path / "signature"
    signature.write_text("\n".join(world.signature(by).values()))
    call_command(
        "print_code_break_envelope",
        participant=participant.screening_number,
        out=tmp_path / out,
        by=by,
        signature_file=str(signature),
        stdout=StringIO(),
    )
    return tmp_path / out


@pytest.mark.requirement(68)
def test_a_paper_envelope_is_printed_by_a_named_person_and_on_the_trail_first(world, allocation, tmp_path):
    printed = print_envelope(world, tmp_path, allocation.participant)

    face, inside = (page.extract_text() for page in PdfReader(printed).pages)
    assert allocation.randomization_number in face
    assert "UC-MSC" not in face
    assert the_protocol().arms[arm_of(allocation)].code in inside.split("Arm")[1]
    assert printed.stat().st_mode & 0o077 == 0
    (event,) = world.sealed_events()
    assert (event["act"], event["by"]) == ("print", str(world.person("safety_officer").pk))


@pytest.mark.requirement(68)
@pytest.mark.parametrize("somebody", ["investigator", "preparer", "study_manager"])
def test_nobody_else_prints_an_envelope(world, allocation, tmp_path, somebody):
    with pytest.raises(CommandError, match="do not allow"):
        print_envelope(world, tmp_path, allocation.participant, by=somebody)

    assert not (tmp_path / "envelope.pdf").exists()
    assert world.sealed_events() == []


def test_there_is_no_envelope_before_randomization(world, tmp_path):
    with pytest.raises(CommandError, match="not randomized"):
        print_envelope(world, tmp_path, a_participant(world))
