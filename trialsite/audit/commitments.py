"""
The commitments of a bundle: the list's, and those of its extensions, each on the trail and signed.

``commitment.note`` is that of the trial's list, ``commitments/001.note`` that of its first extension,
and so on. Standard library and ``cryptography`` only.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from trialsite.audit import notes
from trialsite.audit.bundle import COMMITMENT, Bundle, Unreadable
from trialsite.audit.findings import Report
from trialsite.audit.kinds import Kind
from trialsite.audit.story import Story

COMMITMENT_TITLE: Final = "irt-list-commitment/v1"
FOLDER: Final = "commitments/"


class Committed(NamedTuple):
    """One list: the file of its note, the kind of its event, and the data of that event if there is one."""

    name: str
    kind: Kind
    data: dict[str, Any] | None


def extension_name(ordinal: int) -> str:
    """Return the name of the file that holds an extension's note; the first one's ordinal is 1."""
    return f"{FOLDER}{ordinal:03d}.note"


def check_commitments(
    bundle: Bundle, story: Story, published: Sequence[tuple[str, str]], report: Report
) -> dict[str, bytes]:
    """Compare each note with its event and all with those that were kept; return the notes by file."""
    found: dict[str, bytes] = {}
    texts = set()
    for committed in _committed(bundle, story):
        with report.going_on():
            note = bundle.read(committed.name) if committed.name in bundle.names else b""
            if note:
                texts.add(text := text_of(note, committed.name))
                found[committed.name] = note
                _check_event(note, text, committed, report)
            elif committed.data is not None or (published and committed.name == COMMITMENT):
                report.violation(committed.name, "missing, but a list was committed to")
    for name, kept in published if found else ():
        if kept in texts:
            report.tell("note", f"kept commitment {name} agrees")
        else:
            report.violation(COMMITMENT, f"not what was published: kept {name} differs")
    return found


def check_statistician(
    found: dict[str, bytes], brought: Sequence[notes.VerifierKey], origin: str, report: Report
) -> None:
    """Check the signatures by a key that did not come from the log, nor with its bundle."""
    if found and not brought:
        report.say("note", f"{COMMITMENT}: no statistician's key was given, so only the log vouches for it")
        return
    for name, note in found.items():
        try:
            notes.open_note(note, [key for key in brought if key.name != origin])
        except notes.NoteInvalid as error:
            report.violation(name, f"not signed by the statistician's key that was brought: {error}")


def text_of(note: bytes, where: str) -> str:
    """
    Return the text of a signed note, unchecked.

    :raises Unreadable: if it is none.
    """
    try:
        return notes.split_note(note)[0]
    except notes.NoteInvalid as error:
        raise Unreadable(f"{where}: {error}") from None


def _committed(bundle: Bundle, story: Story) -> Iterator[Committed]:
    """Yield the lists that the trail or the bundle tells of."""
    there = bool(story.kinds[Kind.LIST_COMMITTED])
    yield Committed(COMMITMENT, Kind.LIST_COMMITTED, story.commitment if there else None)
    names = []
    for ordinal, data in enumerate(story.trial.extensions, start=1):
        names.append(extension_name(ordinal))
        yield Committed(names[-1], Kind.LIST_EXTENDED, data)
    for name in bundle.names:
        if name.startswith(FOLDER) and name not in names:
            yield Committed(name, Kind.LIST_EXTENDED, None)


def _check_event(note: bytes, text: str, committed: Committed, report: Report) -> None:
    if committed.data is None:
        report.violation(committed.name, f"no {committed.kind} event puts it on the trail")
    elif not _matches(note, text, committed.data):
        report.violation(committed.name, f"not what the trail's {committed.kind} event says")


def _matches(note: bytes, text: str, data: dict[str, Any]) -> bool:
    """Compare what the event tells: the list's root (hex or base64), and the whole note or its SHA-256."""
    lines = text.split("\n")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (IndexError, ValueError):
        return False
    whole = {"note": note.decode(), "note_sha256": hashlib.sha256(note).hexdigest()}
    told = [data[name] == same for name, same in whole.items() if name in data]
    same_root = len(root) == notes.ROOT_BYTES and data.get("root") in (root.hex(), lines[2])
    return same_root and any(told) and all(told)
