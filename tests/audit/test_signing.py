"""Checkpoints: each signs the trail as it grew, and a trail that went back is never signed."""

from __future__ import annotations

import fcntl
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection, transaction

from tests.audit.conftest import ORIGIN, a_restart, an_intruder_with_the_superusers_password
from trialsite.audit import notes, signing
from trialsite.audit.canonical import canonical
from trialsite.audit.merkle import Frontier, consistency_proof, leaf_hash, root_of, verify_consistency
from trialsite.audit.models import Checkpoint, Entry, Head
from trialsite.audit.services import GenesisMissing
from trialsite.audit.signing import SigningBusy, TrailRolledBack, latest_checkpoint, sign_checkpoint

# Who goes on in one process remembers how far it read; who starts anew does not.
RESTART = pytest.mark.parametrize("restarted", [False, True], ids=["running on", "restarted"])


def the_leaves() -> list[bytes]:
    return [bytes(leaf) for leaf in Entry.objects.order_by("position").values_list("leaf", flat=True)]


def make_the_head_fit() -> None:
    """Compute the head anew from what the table holds, as a careful intruder would."""
    tree = Frontier()
    for leaf in the_leaves():
        tree.append(leaf)
    Head.objects.update(size=tree.size, frontier=list(tree.hashes))


def cut_to(size: int) -> None:
    with an_intruder_with_the_superusers_password():
        Entry.objects.filter(position__gte=size).delete()
        make_the_head_fit()


def rewrite(position: int) -> None:
    body = canonical({"v": 1, "k": "infusion.opened", "data": {"number": "another"}})
    with an_intruder_with_the_superusers_password():
        Entry.objects.filter(position=position).update(body=body, leaf=leaf_hash(body))


def opened(note: str) -> notes.Checkpoint:
    return notes.open_checkpoint(note, [signing.signer().verifier])[0]


@pytest.mark.requirement(75)
def test_each_checkpoint_is_of_the_whole_trail_and_of_one_that_grew(a_trail):
    signed = [opened(sign_checkpoint())]
    for number in range(6):
        a_trail(number)
        signed.append(opened(sign_checkpoint()))

    leaves = the_leaves()
    assert [checkpoint.size for checkpoint in signed] == list(range(1, 8))
    assert {checkpoint.origin for checkpoint in signed} == {ORIGIN}
    for old, new in itertools.pairwise(signed):
        assert new.root == root_of(leaves[: new.size])
        verify_consistency(
            size1=old.size,
            size2=new.size,
            root1=old.root,
            root2=new.root,
            proof=consistency_proof(leaves[: new.size], old.size),
        )


def test_a_trail_that_has_not_grown_is_not_signed_anew(a_trail):
    assert sign_checkpoint() == sign_checkpoint() == latest_checkpoint()
    assert Checkpoint.objects.count() == 1


def test_the_last_checkpoint_lies_outside_the_database(a_trail, settings):
    note = sign_checkpoint()

    assert Path(settings.CHECKPOINT_FILE).read_text() == note


def test_without_a_trail_nothing_is_signed(a_process, db, settings):
    with pytest.raises(GenesisMissing):
        sign_checkpoint()

    assert not Path(settings.CHECKPOINT_FILE).exists()


@RESTART
@pytest.mark.requirement(75, 82)
def test_a_restored_older_copy_is_not_signed(a_trail, settings, restarted):
    a_trail(1)
    a_trail(2)
    note = sign_checkpoint()

    cut_to(2)
    if restarted:
        a_restart()

    with pytest.raises(TrailRolledBack, match="has 2 events; 3 were signed"):
        sign_checkpoint()
    assert Path(settings.CHECKPOINT_FILE).read_text() == note


@RESTART
@pytest.mark.requirement(75, 82)
def test_a_restored_older_copy_is_not_signed_after_it_has_grown_again(a_trail, restarted):
    a_trail(1)
    a_trail(2)
    sign_checkpoint()

    cut_to(2)
    for number in range(3, 8):
        a_trail(number)
    if restarted:
        a_restart()

    with pytest.raises(TrailRolledBack):
        sign_checkpoint()


@RESTART
@pytest.mark.requirement(75)
def test_a_rewritten_event_is_not_signed(a_trail, restarted):
    a_trail(1)
    a_trail(2)
    sign_checkpoint()

    rewrite(1)
    make_the_head_fit()
    a_trail(3)
    if restarted:
        a_restart()

    with pytest.raises(TrailRolledBack):
        sign_checkpoint()


@pytest.mark.requirement(75)
def test_a_rewritten_event_is_not_signed_where_the_head_was_forgotten(a_trail):
    a_trail(1)
    a_trail(2)
    sign_checkpoint()

    rewrite(1)
    a_restart()

    with pytest.raises(TrailRolledBack):
        sign_checkpoint()


@pytest.mark.requirement(75)
def test_a_head_that_does_not_follow_from_the_events_is_not_signed(a_trail):
    a_trail(1)
    sign_checkpoint()
    a_trail(2)

    Head.objects.update(frontier=[bytes(32)] * len(Head.objects.get().frontier))

    with pytest.raises(TrailRolledBack, match="head does not follow"):
        sign_checkpoint()


@pytest.mark.requirement(75)
def test_a_lost_checkpoint_file_does_not_let_a_rewritten_trail_be_signed(a_trail, settings):
    a_trail(1)
    sign_checkpoint()
    Path(settings.CHECKPOINT_FILE).unlink()

    rewrite(1)
    make_the_head_fit()
    a_restart()

    with pytest.raises(TrailRolledBack):
        sign_checkpoint()


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_text("")], ids=["removed", "emptied"])
def test_a_lost_checkpoint_file_is_written_again(a_trail, settings, lose):
    note = sign_checkpoint()
    lose(Path(settings.CHECKPOINT_FILE))

    assert sign_checkpoint() == note
    assert Path(settings.CHECKPOINT_FILE).read_text() == note


def test_a_checkpoint_that_somebody_else_wrote_into_the_file_is_refused(a_trail, settings):
    note = sign_checkpoint()
    forged = notes.sign_checkpoint(opened(note), notes.SigningKey(ORIGIN, bytes(32)))
    Path(settings.CHECKPOINT_FILE).write_text(forged)

    with pytest.raises(notes.NoteInvalid):
        sign_checkpoint()


def test_a_checkpoint_that_somebody_else_wrote_into_the_database_is_not_given_out(a_trail):
    sign_checkpoint()
    a_trail(1)
    Checkpoint.objects.create(size=2, note="forged", signed_at="2026-03-02T12:00:00Z")

    assert opened(sign_checkpoint()).size == 2
    assert opened(sign_checkpoint()).size == 2


def test_a_crash_before_the_file_was_replaced_loses_nothing(a_trail, settings, monkeypatch):
    before = sign_checkpoint()
    a_trail(1)
    monkeypatch.setattr(Path, "rename", a_crash)

    with pytest.raises(KeyboardInterrupt):
        sign_checkpoint()
    monkeypatch.undo()
    a_restart()

    assert Path(settings.CHECKPOINT_FILE).read_text() == before
    assert opened(sign_checkpoint()).size == 2
    assert Checkpoint.objects.count() == 2


def a_crash(*_args: object) -> None:
    raise KeyboardInterrupt


def test_an_event_that_is_not_yet_committed_is_not_signed(a_committed_trail):
    written, go_on = threading.Event(), threading.Event()

    def a_slow_writer() -> None:
        try:
            with transaction.atomic():
                a_committed_trail(1)
                written.set()
                go_on.wait(30)
        finally:
            connection.close()

    writer = threading.Thread(target=a_slow_writer)
    writer.start()
    written.wait(30)
    during = opened(sign_checkpoint()).size
    go_on.set()
    writer.join()

    assert (during, opened(sign_checkpoint()).size) == (1, 2)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "LONGEST_WAIT", 0.1)


@pytest.mark.usefixtures("impatience")
def test_nobody_waits_long_for_another_process_that_signs(a_trail, settings):
    before = sign_checkpoint()

    with Path(settings.CHECKPOINT_FILE).with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SigningBusy):
            sign_checkpoint()

    assert sign_checkpoint() == before


@pytest.mark.usefixtures("impatience")
def test_nobody_waits_long_for_another_thread_that_signs(a_trail):
    before = sign_checkpoint()

    with signing._reading, pytest.raises(SigningBusy):
        sign_checkpoint()

    assert sign_checkpoint() == before


def test_many_who_sign_at_once_sign_no_two_checkpoints_of_one_size(a_committed_trail):
    def sign(number: int) -> list[str]:
        try:
            found = []
            for _ in range(4):
                a_committed_trail(number)
                found.append(sign_checkpoint())
            return found
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        signed = {note for found in pool.map(sign, range(4)) for note in found}

    sizes = [opened(note).size for note in signed]
    assert len(sizes) == len(set(sizes))
    assert {checkpoint.note for checkpoint in Checkpoint.objects.all()} == signed
