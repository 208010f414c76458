"""The one append function: what it adds, in which order, and what it refuses."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction

from tests.audit.conftest import NOON, a_whole_event, add_an_event, begin_the_trail
from trialsite.audit import services
from trialsite.audit.canonical import canonical, parse
from trialsite.audit.kinds import SEALED, Kind
from trialsite.audit.merkle import Frontier, leaf_hash, root_of
from trialsite.audit.models import Entry, Head
from trialsite.opening import FileKeys, open_body
from trialsite.sealing import BodyTooLarge

WRITERS, EVENTS_EACH = 8, 6


def the_tree() -> Frontier:
    head = Head.objects.get()
    return Frontier(head.size, [bytes(part) for part in head.frontier])


def leaves() -> list[bytes]:
    return [bytes(leaf) for leaf in Entry.objects.order_by("position").values_list("leaf", flat=True)]


def positions() -> list[int]:
    return list(Entry.objects.order_by("position").values_list("position", flat=True))


class ChangedMyMind(Exception):
    """Thrown by a writer to undo its transaction."""


def write_from_many_threads() -> list[int]:
    """Append from eight threads at once, every third time undoing it; return the kept positions."""

    def write(writer: int) -> list[int]:
        kept = []
        try:
            for number in range(EVENTS_EACH):
                try:
                    with transaction.atomic():
                        position = add_an_event(100 * writer + number)
                        if number % 3 == 2:
                            raise ChangedMyMind
                    kept.append(position)
                except ChangedMyMind:
                    pass
        finally:
            connection.close()
        return kept

    with ThreadPoolExecutor(WRITERS) as pool:
        return [position for kept in pool.map(write, range(WRITERS)) for position in kept]


@pytest.mark.requirement(74)
def test_eight_writers_at_once_leave_no_gap_and_no_event_twice(a_committed_trail):
    kept = write_from_many_threads()

    written = WRITERS * EVENTS_EACH * 2 // 3
    assert sorted(kept) == list(range(1, written + 1))
    assert positions() == list(range(written + 1))
    assert the_tree().root == root_of(leaves())


def test_the_lock_of_the_head_is_what_orders_the_writers(a_committed_trail):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef('append_audit_event'::regproc)")
        definition = cursor.fetchone()[0]
        assert definition.count(" FOR UPDATE") == 1
        # Wide enough a gap between reading the head and using it for the writers to meet.
        unlocked = definition.replace(
            "FROM audit_head FOR UPDATE;", "FROM audit_head; PERFORM pg_sleep(0.01);"
        )
        cursor.execute(unlocked)

    with pytest.raises(IntegrityError):
        write_from_many_threads()


def test_every_transaction_that_is_undone_gives_its_position_back(a_trail):
    before = Head.objects.get().size

    for _ in range(3):
        with pytest.raises(ChangedMyMind):
            add_and_undo()

    assert a_trail(2) == before
    assert the_tree().root == root_of(leaves())


@pytest.mark.requirement(75)
def test_the_head_is_the_tree_of_the_leaves_after_every_event(a_trail):
    for number in range(20):
        a_trail(number)

        assert the_tree().root == root_of(leaves())
        assert the_tree().size == number + 2


def test_a_leaf_is_the_hash_of_the_body_as_it_is_stored(a_trail):
    a_trail(7)

    for entry in Entry.objects.all():
        body = bytes(entry.body)
        assert bytes(entry.leaf) == leaf_hash(body)
        assert canonical(parse(body)) == body
        assert parse(body)["k"] == entry.kind


@pytest.mark.requirement(74)
def test_an_event_tells_what_who_when_in_which_role_and_about_what(a_trail):
    person = type("Person", (), {"id": uuid.UUID(int=5)})()
    in_wuhan = dt.datetime(2026, 3, 2, 20, 0, 0, 987654, tzinfo=dt.timezone(dt.timedelta(hours=8)))

    position = services.record(
        kind=Kind.KIT_DISPENSED, by=person, at=in_wuhan, role="pharmacist", about={"kit": "K"}, data={"n": 1}
    )

    event = parse(bytes(Entry.objects.get(position=position).body))
    written_at = dt.datetime.fromisoformat(event.pop("t"))
    assert abs(written_at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    assert event == {
        "v": 1,
        "k": "kit.dispensed",
        "at": "2026-03-02T12:00:00.987Z",
        "act": str(uuid.UUID(int=5)),
        "role": "pharmacist",
        "about": {"kit": "K"},
        "data": {"n": 1},
    }


def test_a_trail_begins_with_its_genesis_event(a_process, db):
    with pytest.raises(DatabaseError, match="begins with its genesis event"), transaction.atomic():
        add_an_event()
    with pytest.raises(services.GenesisMissing):
        services.genesis()

    begin_the_trail()

    assert services.study() == "NCT04293692"
    assert positions() == [0]


def test_a_trail_has_one_genesis_event(a_trail):
    with pytest.raises(DatabaseError, match="genesis event, once"), transaction.atomic():
        begin_the_trail()

    assert Head.objects.get().size == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"v": 1, "k": "kit.wasted"}, id="another kind than it is filed under"),
        pytest.param({"v": 1}, id="no kind"),
        pytest.param(["kit.expired"], id="no object"),
    ],
)
def test_a_body_says_of_itself_which_kind_it_is(a_trail, body):
    with pytest.raises(DatabaseError, match="stands in its body"), transaction.atomic():
        append("kit.expired", canonical(body))

    assert positions() == [0]


@pytest.mark.parametrize("body", [b"\xff", b"", b"no json"])
def test_a_body_that_is_no_json_is_not_kept(a_trail, body):
    with pytest.raises(DatabaseError), transaction.atomic():
        append("kit.expired", body)

    assert positions() == [0]


@pytest.mark.parametrize("missing", ["v", "t", "at", "act", "role", "about", "data"])
def test_an_event_in_clear_that_lacks_a_field_is_not_kept(a_trail, missing):
    body = a_whole_event(Kind.KIT_EXPIRED)
    del body[missing]

    with pytest.raises(DatabaseError, match="whole"), transaction.atomic():
        append("kit.expired", canonical(body))


@pytest.mark.parametrize(
    "body",
    [
        {"v": 1, "k": "unblinding", "t": "", "sealed": {}},
        {"v": 1, "k": "unblinding", "t": "", "id": ""},
        {"v": 1, "k": "unblinding", "t": "", "id": "", "sealed": "no envelope"},
        a_whole_event(Kind.UNBLINDING, about="nobody"),
        a_whole_event(Kind.UNBLINDING, data=[]),
    ],
)
def test_an_event_that_is_neither_sealed_nor_in_clear_is_not_kept(a_trail, body):
    with pytest.raises(DatabaseError, match="whole"), transaction.atomic():
        append("unblinding", canonical(body))


def test_an_event_that_is_too_large_for_a_reader_is_not_kept(a_trail):
    without = len(canonical(a_whole_event(Kind.KIT_EXPIRED, data={"x": ""})))
    largest, larger = (
        canonical(a_whole_event(Kind.KIT_EXPIRED, data={"x": "y" * (65_536 - without + more)}))
        for more in (0, 1)
    )

    append("kit.expired", largest)
    with pytest.raises(DatabaseError, match="65536"), transaction.atomic():
        append("kit.expired", larger)

    assert positions() == [0, 1]


def test_a_kind_that_is_not_in_the_list_is_not_written(a_trail):
    with pytest.raises(ProgrammingError, match="may not write this kind"), transaction.atomic():
        append("participant.freed", canonical({"k": "participant.freed"}))


@pytest.mark.requirement(78)
@pytest.mark.parametrize("kind", sorted(SEALED))
def test_a_sealed_event_shows_neither_actor_nor_participant_and_has_one_size(a_trail, the_keys, kind):
    bodies = [{}, {"act": "request", "participant": "p" * 36, "reason": "r" * 400, "arm": "A"}]

    sealed = [record_sealed(kind, body) for body in bodies]

    stored = [bytes(Entry.objects.get(position=position).body) for position, _ in sealed]
    assert len({len(body) for body in stored}) == 1
    for event, (_, event_id) in zip(map(parse, stored), sealed, strict=True):
        assert event.keys() == {"v", "k", "t", "id", "sealed"}
        assert event["id"] == str(event_id)
    assert not any(word in stored[1] for word in (b"pppp", b"rrrr", b"request"))


@pytest.mark.requirement(78)
@pytest.mark.parametrize("reader", ["auditor-1", "safety-desk-1"])
def test_a_sealed_event_is_read_with_each_of_its_readers_keys(a_trail, the_keys, reader):
    position, event_id = record_sealed(Kind.UNBLINDING, {"act": "request", "reason": "sudden collapse"})

    keys = FileKeys([the_keys.with_name("offline") / f"{reader}.key"])
    envelope = parse(bytes(Entry.objects.get(position=position).body))["sealed"]
    body = open_body(keys, reader, envelope, event_id=event_id)

    assert body == {"act": "request", "reason": "sudden collapse", "at": "2026-03-02T12:00:00.000Z"}


def test_a_body_too_large_for_its_one_size_is_no_event(a_trail):
    with pytest.raises(BodyTooLarge):
        record_sealed(Kind.UNBLINDING, {"reason": "r" * 3000})

    assert positions() == [0]


def test_what_masked_roles_may_read_has_no_data_and_no_kind_of_the_other_side(a_trail):
    a_trail(3)
    record_sealed(Kind.PREPARATION, {"arm": "A"})
    services.record(kind=Kind.LOT_RECEIVED, by="system:test", at=NOON, about={"lot": "L"}, data={})

    with connection.cursor() as cursor:
        cursor.execute("SELECT kind, event::text FROM audit_visible_event ORDER BY position")
        seen = cursor.fetchall()

    assert [kind for kind, _ in seen] == ["genesis", "infusion.opened"]
    assert all("data" not in json.loads(event) for _, event in seen)


def add_and_undo() -> None:
    with transaction.atomic():
        add_an_event()
        raise ChangedMyMind


def record_sealed(kind: Kind, body: dict[str, object]) -> tuple[int, uuid.UUID]:
    event_id = uuid.uuid4()
    return services.record_sealed(kind=kind, event_id=event_id, at=NOON, body=body), event_id


def append(kind: str, body: bytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT append_audit_event(%s, %s)", [kind, body])
