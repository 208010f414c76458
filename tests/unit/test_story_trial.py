"""What a trail tells of the trial itself: extensions, amendments, and who may be enrolled where."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.unit.trails import (
    LIST_ROOT,
    LOG,
    STATISTICIAN,
    Event,
    Judge,
    a_trail,
    a_trial,
    an_allocation,
    an_event,
    the_beginning,
)
from trialsite.audit.notes import SigningKey, sign_note

OTHER_ROOT, THIRD_ROOT = (hashlib.sha256(name).digest() for name in (b"more", b"still more"))
FIRST, SECOND, THIRD = ("aa" * 32, "bb" * 32, "cc" * 32)


@pytest.fixture
def judge(tmp_path) -> Judge:
    return Judge(tmp_path)


def a_note(root: bytes, extends: bytes, *, signer: SigningKey = STATISTICIAN) -> str:
    lines = [
        "irt-list-commitment/v1",
        "NCT04293692",
        base64.b64encode(root).decode(),
        *["0" * 64, "8", *["0" * 64] * 4],
        base64.b64encode(extends).decode(),
        "-",
    ]
    return sign_note("".join(f"{line}\n" for line in lines), signer)


def an_extension(root: bytes = OTHER_ROOT, extends: bytes = LIST_ROOT, *, note: str = "") -> Event:
    data = {"root": root.hex(), "note": note or a_note(root, extends)}
    return an_event("list.extended", data=data)


def told(judge: Judge, events: list[Event], *notes: str, **changes: bytes | None) -> list[str]:
    """Return what is wrong with a trail of these events whose bundle holds these notes of extensions."""
    files = {f"commitments/{number:03d}.note": note.encode() for number, note in enumerate(notes, start=1)}
    verdict = judge(a_trail(events).changed(changes={**files, **changes}))
    assert verdict.code == (1 if verdict.of("violation") else 0)
    return [line.split(": ", 2)[2] for line in verdict.of("violation")]


MORE, STILL_MORE = a_note(OTHER_ROOT, LIST_ROOT), a_note(THIRD_ROOT, OTHER_ROOT)


@pytest.mark.requirement(5)
def test_lists_are_extended_one_after_the_other(judge):
    extended = [
        *a_trial(),
        an_extension(),
        an_allocation("p-9", slot=2),
        an_extension(THIRD_ROOT, OTHER_ROOT),
    ]

    assert told(judge, extended, MORE, STILL_MORE) == []


@pytest.mark.requirement(5)
def test_an_extension_names_the_root_of_the_list_before_it(judge):
    wrong = "an extension does not name the root of the list before it"
    of_nothing = an_extension(note=a_note(OTHER_ROOT, bytes(32)))
    past_one = an_extension(THIRD_ROOT, LIST_ROOT)

    assert told(judge, [*a_trial(), of_nothing], of_nothing["data"]["note"]) == [wrong]
    assert told(judge, [*a_trial(), an_extension(), past_one], MORE, past_one["data"]["note"]) == [wrong]
    short = an_extension(note=sign_note("irt-list-commitment/v1\nNCT04293692\n", STATISTICIAN))
    assert wrong in told(judge, [*a_trial(), short], short["data"]["note"])


@pytest.mark.requirement(5)
def test_a_list_is_extended_after_it_is_committed_to(judge):
    genesis, loaded, committed, activated = the_beginning()

    assert told(judge, [genesis, loaded, an_extension(), committed, activated], MORE) == [
        "the list is extended before it is committed to"
    ]


@pytest.mark.requirement(5)
def test_a_bundle_holds_the_note_of_every_extension_and_no_other(judge):
    extended = [*a_trial(), an_extension()]
    edited = MORE.replace("\n8\n", "\n9\n", 1)

    assert told(judge, extended) == ["missing, but a list was committed to"]
    assert told(judge, extended, edited) == ["not what the trail's list.extended event says"]
    assert told(judge, a_trial(), MORE) == ["no list.extended event puts it on the trail"]
    assert told(judge, extended, MORE, STILL_MORE) == ["no list.extended event puts it on the trail"]


@pytest.mark.requirement(5)
def test_the_statistician_signed_every_extension_and_a_kept_note_is_found_again(judge, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "keys.txt").write_text(f"{LOG.verifier.vkey}\n{STATISTICIAN.verifier.vkey}\n")
    (kept / "published.note").write_text(MORE)
    impostor = a_note(OTHER_ROOT, LIST_ROOT, signer=SigningKey(STATISTICIAN.name, bytes(32)))

    def judged(note: str):
        events = [*a_trial(), an_extension(note=note)]
        return judge(a_trail(events).changed(changes={"commitments/001.note": note.encode()}), kept)

    honest, forged = judged(MORE), judged(impostor)
    assert honest.code == 0
    assert "note: kept commitment published.note agrees" in honest.lines
    assert [line.split(": ")[1] for line in forged.of("violation")] == ["commitments/001.note"]
    (kept / "published.note").write_text(STILL_MORE)
    assert "kept published.note differs" in judged(MORE).of("violation")[0]


def a_beginning_with(version: str) -> list[Event]:
    *beginning, activated = the_beginning()
    return [*beginning, {**activated, "about": {"trial": version}}]


def an_approval(person: str, version: str = SECOND) -> Event:
    return {**an_event("trial.approved", about={"trial": version}), "act": person}


def an_amendment(version: str = SECOND, amends: str = FIRST) -> Event:
    return an_event("trial.amended", about={"trial": version, "amends": amends})


@pytest.mark.requirement(11)
def test_an_amendment_comes_after_two_peoples_approval_of_that_version(judge):
    begun = a_beginning_with(FIRST)
    missing = f"the trial is amended to {SECOND[:16]} without the approval of two people"

    assert judge.told([*begun, an_approval("ann"), an_approval("bo"), an_amendment()]) == []
    for approvals in (
        [],
        [an_approval("ann")],
        [an_approval("ann"), an_approval("ann")],
        [an_approval("ann"), an_approval("bo", THIRD)],
    ):
        assert judge.told([*begun, *approvals, an_amendment()]) == [missing]
    assert judge.told([*begun, an_approval("ann"), an_amendment(), an_approval("bo")]) == [missing]


def test_an_amendment_begins_at_the_version_in_force(judge):
    both = [an_approval("ann"), an_approval("bo"), an_approval("ann", THIRD), an_approval("bo", THIRD)]
    begun = [*a_beginning_with(FIRST), *both]
    wrong = f"the trial is amended to {THIRD[:16]} from another version than the one in force"

    assert judge.told([*begun, an_amendment(), an_amendment(THIRD, SECOND)]) == []
    assert judge.told([*begun, an_amendment(), an_amendment(THIRD, FIRST)]) == [wrong]
    *unopened, _ = the_beginning()
    assert len(judge.told([*unopened, *both, an_amendment()])) == 1


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (an_event("trial.approved"), "an approval lacks its person or version"),
        (an_event("trial.amended", about={"trial": []}), "an amendment lacks its version"),
        (
            an_event("enrolment.changed", data={"status": 1}),
            "a change of enrolment does not say how it stands",
        ),
    ],
)
def test_an_event_about_the_trial_that_says_nothing_is_a_finding(judge, event, fault):
    assert judge.told([*a_trial(), event]) == [fault]


def a_change(status: str, site: str | None = None) -> Event:
    return an_event("enrolment.changed", about={"site": site} if site else {}, data={"status": status})


def randomized(site: str = "PUREN", **data) -> Event:
    event = an_allocation("p-9", slot=2)
    return {**event, "about": {**event["about"], "site": site}, "data": {**event["data"], **data}}


@pytest.mark.parametrize("status", ["paused", "suspended", "closed"])
@pytest.mark.requirement(8)
def test_nobody_is_randomized_where_enrolment_stands_still(judge, status):
    at_site, in_trial = a_change(status, "PUREN"), a_change(status)

    assert judge.told([*a_trial(), at_site, randomized()]) == [
        f"a participant is randomized while enrolment at PUREN is {status}"
    ]
    assert judge.told([*a_trial(), in_trial, randomized()]) == [
        f"a participant is randomized while enrolment in the trial is {status}"
    ]
    assert judge.told([*a_trial(), in_trial, at_site, randomized()]) == [
        f"a participant is randomized while enrolment in the trial is {status}"
    ]
    for fine in (
        [at_site, randomized("HANKOU")],
        [at_site, a_change("active", "PUREN"), randomized()],
        [in_trial, a_change("active"), randomized()],
        [at_site, in_trial, randomized(paper={"reason": "The network was down."})],
    ):
        assert judge.told([*a_trial(), *fine]) == []
