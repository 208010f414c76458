"""Caps in a trial file: optional, public, checked, and lifted for an evaluation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from trialsite import protocol as protocols
from trialsite.deployment.uncapped import write_without_caps
from trialsite.protocol import ProtocolError, from_document, load
from trialsite.protocol_caps import Caps

TEXT = protocols.DEFAULT_TRIAL_FILE.read_text(encoding="utf-8")
STRATUM = "age_group=18-59|respiratory_support=conventional_oxygen"


def a_file(caps: str) -> bytes:
    before, _, _ = TEXT.partition("[caps]\n")
    return f"{before}{caps}".encode()


def test_the_trial_takes_no_more_than_were_planned():
    assert load(TEXT.encode()).caps == Caps(trial=48)


def test_caps_of_the_trial_of_strata_and_of_sites_are_kept_by_the_server():
    trial = load(a_file(f'[caps]\ntrial = 40\n[caps.strata]\n"{STRATUM}" = 12\n[caps.sites]\nPUREN = 30\n'))

    kept = from_document(trial.public_document())

    assert kept.caps == trial.caps == Caps(trial=40, strata={STRATUM: 12}, sites={"PUREN": 30})
    assert kept.content_hash == trial.content_hash != load(TEXT.encode()).content_hash


def test_a_trial_may_have_no_caps():
    assert load(a_file("")).caps is None
    assert load(a_file("[caps]\n")).caps == Caps()


@pytest.mark.parametrize(
    ("caps", "place"),
    [
        ("[caps]\ntrial = 0\n", "caps.trial"),
        ('[caps]\ntrial = "48"\n', "caps.trial"),
        ("[caps]\nall = 48\n", "caps.all"),
        ('[caps.strata]\n"age_group=18-59" = 12\n', "caps.strata.age_group=18-59"),
        (f'[caps.strata]\n"{STRATUM}" = 0\n', f"caps.strata.{STRATUM}"),
        ("[caps.sites]\nWUHAN = 12\n", "caps.sites.WUHAN"),
        ("[caps.sites]\nPUREN = -1\n", "caps.sites.PUREN"),
    ],
)
def test_a_cap_that_cannot_be_one_is_refused_with_its_place(caps, place):
    with pytest.raises(ProtocolError) as refusal:
        load(a_file(caps))

    assert refusal.value.place == place


@pytest.mark.parametrize(
    "caps",
    [
        "[caps]\ntrial = 48\n",
        f'[caps]\ntrial = 48\n[caps.strata]\n"{STRATUM}" = 12\n',
        "  [ caps.sites ]  # of each site\nPUREN = 30\n\n[caps]\ntrial = 9\n",
        "",
    ],
)
def test_an_evaluations_copy_has_no_caps_and_nothing_else_is_changed(tmp_path, caps):
    source, copy = tmp_path / "trial.toml", tmp_path / "copy.toml"
    source.write_bytes(a_file(caps))

    write_without_caps(source, copy)

    assert load(copy) == dataclasses.replace(load(source), caps=None)


def test_caps_that_cannot_be_taken_out_of_the_file_stop_the_evaluation(tmp_path):
    source, copy = tmp_path / "trial.toml", Path(tmp_path / "copy.toml")
    source.write_bytes(b"caps = {trial = 48}\n" + a_file(""))

    with pytest.raises(ProtocolError, match="must be a table"):
        write_without_caps(source, copy)

    assert not copy.exists()
