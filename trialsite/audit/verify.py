"""
The independent verifier of a trail: ``python -m trialsite.audit.verify BUNDLE [--keys DIR]``.

It needs the exported bundle and nothing else of ours: no database, no network, no Django, only the
standard library, ``cryptography`` and the pure modules beside it. DIR is what the auditor brought
along: ``*.vkey``, ``keys.txt`` or ``public_keys.json`` (the public keys of the log and the statistician)
and ``*.note`` (checkpoints kept from earlier visits, or the commitment to the list as it was published).

One line for each finding and the verdict last. Exit code 0: the trail holds. 1: it is violated.
2: the bundle or DIR cannot be read, which says nothing of the trail.

A bundle vouches for itself only as far as its own ``keys.txt``. Who signed it is proven by a key that
came another way, and that nothing was taken away since by a checkpoint kept from before.
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trialsite.audit import notes
from trialsite.audit.brought import Brought, bring, log_keys, vkeys
from trialsite.audit.bundle import ENTRIES, KEYS, MANIFEST, Bundle, parse_manifest
from trialsite.audit.commitments import COMMITMENT_TITLE as COMMITMENT_TITLE  # part of this module's face
from trialsite.audit.commitments import check_commitments, check_statistician, text_of
from trialsite.audit.findings import Report
from trialsite.audit.kinds import SEALED
from trialsite.audit.merkle import Frontier, leaf_hash
from trialsite.audit.story import Story, moment
from trialsite.audit.strict_json import NotCanonical, parse

# Two events' times are taken before the lock that orders them, so they may cross a little.
_TOLERANCE = dt.timedelta(minutes=5)


class Told(NamedTuple):
    """The root that one checkpoint tells, where it stands, and its file's name if the auditor kept it."""

    where: str
    root: bytes
    kept: str


@dataclass
class Evidence:
    """What the checks of one bundle share: the log's keys, and roots that the trail must have had."""

    keys: tuple[notes.VerifierKey, ...]
    origin: str = ""
    newest: int | None = None
    roots: dict[int, list[Told]] = field(default_factory=lambda: defaultdict(list))


def verify(bundle_path: Path, keys_dir: Path | None, report: Report) -> None:
    """
    Check a bundle and put every finding into ``report``.

    :raises Unreadable: if it cannot be checked at all.
    """
    brought = bring(keys_dir)
    for name in brought.ignored:
        report.tell("ignored", name)
    with Bundle(bundle_path) as bundle:
        inside = vkeys(bundle.read(KEYS), KEYS)
        evidence = Evidence(keys=brought.log or log_keys(inside))
        if not brought.log:
            report.signer_proven = False
            report.say("signer not proven", f"the only key is the one in the bundle's own {KEYS}")
        _check_checkpoints(bundle, evidence, report)
        published = _check_kept(brought, evidence, report)
        with report.going_on():
            _check_manifest(bundle, evidence, report)
        story = _check_entries(bundle, evidence, report)
        _check_genesis(story, evidence, report)
        with report.going_on():
            found = check_commitments(bundle, story, published, report)
            check_statistician(found, brought.statistician, evidence.origin, report)
        _say_what_is_sealed(story, report)


def _checkpoint(
    note: bytes, where: str, evidence: Evidence, report: Report, *, kept: str = ""
) -> notes.Checkpoint | None:
    """Read one checkpoint and keep its root; report it if the log did not sign it."""
    try:
        checkpoint, _ = notes.open_checkpoint(note, evidence.keys)
    except (notes.SignatureInvalid, notes.Unsigned) as error:
        report.violation(where, str(error))
        return None
    except notes.NoteInvalid as error:
        report.cannot_read(f"{where}: {error}")
        return None
    evidence.origin = evidence.origin or checkpoint.origin
    if checkpoint.origin != evidence.origin:
        report.violation(where, f"of the log {checkpoint.origin}, not of {evidence.origin}")
        return None
    evidence.roots[checkpoint.size].append(Told(where, checkpoint.root, kept))
    return checkpoint


def _check_checkpoints(bundle: Bundle, evidence: Evidence, report: Report) -> None:
    for name in bundle.checkpoints:
        with report.going_on():
            checkpoint = _checkpoint(bundle.read(name), name, evidence, report)
            if checkpoint is not None:
                evidence.newest = max(evidence.newest or 0, checkpoint.size)


def _check_kept(brought: Brought, evidence: Evidence, report: Report) -> list[tuple[str, str]]:
    """Read the notes the auditor kept; return the texts of commitments among them."""
    published = []
    for name, note in brought.notes:
        if note.startswith(f"{COMMITMENT_TITLE}\n".encode()):
            published.append((name, text_of(note, name)))
        else:
            _checkpoint(note, f"kept {name}", evidence, report, kept=name)
    return published


def _check_manifest(bundle: Bundle, evidence: Evidence, report: Report) -> None:
    """Check that the log's key signed every byte of every file, and that no file is missing or extra."""
    note = bundle.read(MANIFEST)
    listed = parse_manifest(text_of(note, MANIFEST))
    try:
        signed = notes.open_note(note, evidence.keys)
        if not any(signature.key.name == evidence.origin for signature in signed.signatures):
            report.violation(MANIFEST, "not signed by the log")
    except notes.NoteInvalid as error:
        report.violation(MANIFEST, str(error))
    present = set(bundle.names) - {MANIFEST}
    for name in sorted(listed.keys() - present):
        report.violation(name, "listed in the manifest and missing")
    for name in sorted(present - listed.keys()):
        report.violation(name, "not listed in the manifest")
    for name in sorted(present & listed.keys()):
        if bundle.digest(name) != listed[name]:
            report.violation(name, "not the bytes that the manifest was signed over")


def _check_entries(bundle: Bundle, evidence: Evidence, report: Report) -> Story:
    """Rebuild the tree event by event, comparing its root wherever a checkpoint tells one."""
    story, frontier, expected, latest = Story(), Frontier(), 0, None
    _compare(frontier, evidence, report)
    with report.going_on():
        for line in bundle.entries():
            where = f"event {line.seq}"
            if line.seq != expected:
                report.violation(where, f"stands where event {expected} belongs")
            # Go on from what is there, so that one removed event is told once.
            expected = line.seq + 1
            frontier.append(leaf_hash(line.body))
            _compare(frontier, evidence, report)
            event = _event(line.body, where, report)
            if event is not None:
                for fault in story.read(event):
                    report.violation(where, fault)
                latest = _check_time(moment(event), latest, where, report)
        _check_end(frontier, evidence, report)
    return story


def _check_genesis(story: Story, evidence: Evidence, report: Report) -> None:
    """Compare the log's name in its first event with the one its checkpoints are signed under."""
    if evidence.origin and story.genesis.get("origin", evidence.origin) != evidence.origin:
        report.violation("genesis", f"begins another log than {evidence.origin}")
    if story.genesis.get("evaluation"):
        report.say("note", "the trail is that of an evaluation, not of a trial")


def _event(body: bytes, where: str, report: Report) -> Any:
    try:
        return parse(body)
    except NotCanonical as error:
        report.violation(where, str(error))
        return None


def _compare(frontier: Frontier, evidence: Evidence, report: Report) -> None:
    for told in evidence.roots.get(frontier.size, ()):
        if told.root != frontier.root:
            report.violation(told.where, f"signed another root than that of the first {frontier.size} events")
        elif told.kept:
            report.tell("note", f"kept checkpoint {told.kept} agrees")


def _check_end(frontier: Frontier, evidence: Evidence, report: Report) -> None:
    for size, roots in sorted(evidence.roots.items()):
        for told in roots if size > frontier.size else ():
            report.violation(told.where, f"signed {size} events; the bundle has {frontier.size}")
    if evidence.newest is not None and evidence.newest < frontier.size:
        uncovered = frontier.size - evidence.newest
        report.violation(ENTRIES, f"no checkpoint covers the last {uncovered} of {frontier.size} events")
    if not frontier.size:
        report.violation(ENTRIES, "the trail is empty: it has no genesis event")
    root = base64.b64encode(frontier.root).decode()
    report.say("note", f"{frontier.size} events of {evidence.origin or 'no known log'}, root {root}")


def _check_time(
    at: dt.datetime | None, latest: dt.datetime | None, where: str, report: Report
) -> dt.datetime | None:
    """Note where the clock went back: it can be stepped in good faith, so it breaks no promise."""
    if at is None or latest is None:
        return at or latest
    if at < latest - _TOLERANCE:
        report.say("note", f"{where}: its time lies before that of an earlier event")
    return max(at, latest)


def _say_what_is_sealed(story: Story, report: Report) -> None:
    count = sum(story.kinds[kind] for kind in SEALED)
    if count:
        report.say(
            "note",
            f"{count} sealed events: that each reveal comes after its request cannot be checked without the "
            "auditor's key (python -m trialsite.audit.read)",
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trialsite.audit.verify", description="Check a trail.")
    parser.add_argument("bundle", type=Path, help="the exported bundle (zip)")
    parser.add_argument("--keys", type=Path, help="folder of keys and kept *.note")
    options = parser.parse_args(arguments)
    report = Report(sys.stdout.write)
    try:
        with report.going_on():
            verify(options.bundle, options.keys, report)
    except Exception as error:  # garbage has more shapes than we know; an auditor gets a verdict for each
        report.cannot_read(type(error).__name__)
    return report.verdict()


if __name__ == "__main__":
    raise SystemExit(main())
