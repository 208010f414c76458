"""
Signed checkpoints of the trail, and the alarm when the trail has gone back.

The last signed checkpoint is kept in a file outside the database. Before each signature the trail
must still contain it: a restored older backup is shorter, and a rewritten one has another root.
Either stops the signing, since the allocation that follows such a restore would hand out slots
that are already used (after FiloSottile/sunlight's lock).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from django.conf import settings

from trialsite.audit import notes
from trialsite.audit.merkle import Frontier
from trialsite.audit.models import Checkpoint, Entry, Head
from trialsite.audit.services import genesis
from trialsite.clock.services import real_now
from trialsite.opening import FileKeys

# How long to wait for whoever is signing, in seconds: behind it somebody may be waiting for an arm.
LONGEST_WAIT = 3.0


class SigningBusy(TimeoutError):
    """Somebody else has been signing for longer than anybody waits."""


class TrailRolledBack(Exception):
    """The trail no longer contains what was last signed. Stop, keep everything, find out why."""


# How far this process has read the trail itself; guarded by the lock.
_read_up_to = Frontier()
_reading = threading.Lock()


def sign_checkpoint() -> str:
    """
    Sign the trail as it stands now and return the checkpoint, a C2SP signed note.

    The same size twice gives the same note: no two checkpoints of one size exist.

    :raises TrailRolledBack: if the trail does not contain the last signed checkpoint.
    :raises SigningBusy: if somebody else holds the lock for longer than ``LONGEST_WAIT``.
    :raises trialsite.audit.services.GenesisMissing: if there is no trail.
    """
    with _this_thread_alone(), _locked_file() as path:
        last_note = _last_note(path)
        last = notes.open_checkpoint(last_note, [signer().verifier])[0] if last_note else None
        head = Head.objects.get()
        if last and head.size < last.size:
            raise TrailRolledBack(f"The trail has {head.size} events; {last.size} were signed.")
        _compare_with_the_past(last=last, head=head)
        if last_note and last and last.size == head.size:
            if not _kept(path):
                _replace(path, last_note)
            return last_note
        checkpoint = notes.Checkpoint(
            origin=str(genesis()["origin"]), size=head.size, root=Frontier(head.size, _hashes(head)).root
        )
        note = notes.sign_checkpoint(checkpoint, signer())
        Checkpoint.objects.bulk_create(
            [Checkpoint(size=checkpoint.size, note=note, signed_at=real_now())], ignore_conflicts=True
        )
        _replace(path, note)
        return note


def latest_checkpoint() -> str | None:
    """Return the newest signed checkpoint, or None before the first."""
    newest = Checkpoint.objects.order_by("-size").first()
    return newest.note if newest else None


@cache
def signer() -> notes.Signer:
    """Return the log's signer, which holds its key behind the four calls."""
    keys = FileKeys([settings.LOG_KEY_FILE])
    (kid,) = keys.kids
    return notes.Signer(
        name=str(genesis()["origin"]), public=keys.public(kid), sign=lambda text: keys.sign(kid, text)
    )


def _compare_with_the_past(*, last: notes.Checkpoint | None, head: Head) -> None:
    """Read the leaves that this process has not read yet; where that does not fit, read all of them."""
    global _read_up_to
    try:
        _read_up_to = _read(from_=_read_up_to, last=last, head=head)
    except TrailRolledBack:
        _read_up_to = _read(from_=Frontier(), last=last, head=head)


def _read(*, from_: Frontier, last: notes.Checkpoint | None, head: Head) -> Frontier:
    """Extend the tree over the entries up to the head, comparing roots at the last size and at the head's."""
    if last and last.size < from_.size:
        raise TrailRolledBack("What was last signed lies behind what this process has read.")
    frontier = Frontier(from_.size, from_.hashes)
    leaves = Entry.objects.filter(position__gte=frontier.size, position__lt=head.size).order_by("position")
    _compare(frontier, last)
    for leaf in leaves.values_list("leaf", flat=True).iterator(chunk_size=5000):
        frontier.append(bytes(leaf))
        _compare(frontier, last)
    if frontier.size != head.size or frontier.root != Frontier(head.size, _hashes(head)).root:
        raise TrailRolledBack("The trail's head does not follow from its events.")
    return frontier


def _compare(frontier: Frontier, last: notes.Checkpoint | None) -> None:
    if last and frontier.size == last.size and frontier.root != last.root:
        raise TrailRolledBack(f"The trail at {last.size} events is not the one that was signed.")


def _hashes(head: Head) -> list[bytes]:
    return [bytes(each) for each in head.frontier]


def _last_note(path: Path) -> str | None:
    """Return what was last signed; where the file is lost the database's copy is better than nothing."""
    return _kept(path) or latest_checkpoint()


def _kept(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@contextmanager
def _this_thread_alone() -> Iterator[None]:
    if not _reading.acquire(timeout=LONGEST_WAIT):
        raise SigningBusy("Another thread is signing.")
    try:
        yield
    finally:
        _reading.release()


@contextmanager
def _locked_file() -> Iterator[Path]:
    """Hold the lock that the signing processes of this host share; yield the checkpoint file's path."""
    path = Path(settings.CHECKPOINT_FILE)
    with path.with_suffix(".lock").open("w") as lock:
        end = time.monotonic() + LONGEST_WAIT
        while not _taken(lock):
            if time.monotonic() > end:
                raise SigningBusy("Another process is signing.")
            time.sleep(0.02)
        yield path


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(path: Path, note: str) -> None:
    """Replace the file so that a crash leaves the old note or the new one, and never half of one."""
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
