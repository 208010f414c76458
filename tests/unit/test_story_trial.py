"""What a trail tells of the trial itself: extensions, amendments, and who may be enrolled where."""

from __future__ import annotations

import base64
import hashlib

import pytest

from randomization.domain.enrolment import MOVES
from tests.unit.trails import (
    LIST_ROOT,
    LOG,
    STATISTICIAN,
    Event,
    Judge,
    a_screening,
    a_trail,
    a_trial,
    an_allocation,
    an_event,
    the_beginning,
    with_screenings,
)
from trialsite.audit.notes import SigningKey, sign_note
from trialsite.audit.story_trial import ENROLMENT_MOVES

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
    verdict = judge(a_trail(with_screenings(events)).changed(changes={**files, **changes}))
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


def a_draft(version: str = SECOND, amends: str = FIRST) -> Event:
    return an_event("trial.loaded", about={"trial": version, "amends": amends})


ROLES = {"ann": "statistician", "bo": "study_manager"}


def an_approval(person: str, version: str = SECOND, *, role: str = "") -> Event:
    event = an_event("trial.approved", about={"trial": version})
    return {**event, "act": person, "role": role or ROLES[person]}


def an_amendment(version: str = SECOND, amends: str = FIRST) -> Event:
    return an_event("trial.amended", about={"trial": version, "amends": amends})


@pytest.mark.requirement(11)
def test_an_amendment_comes_after_two_peoples_approval_of_that_version(judge):
    begun = [*a_beginning_with(FIRST), a_draft(), a_draft(THIRD)]
    missing = f"the trial is amended to {SECOND[:16]} without the approval of two people"

    assert judge.told([*begun, an_approval("ann"), an_approval("bo"), an_amendment()]) == []
    for approvals in (
        [],
        [an_approval("ann")],
        [an_approval("ann"), an_approval("ann")],
        [an_approval("ann"), an_approval("bo", THIRD)],
        [an_approval("ann"), an_approval("ann", role="study_manager")],
        [an_approval("ann"), an_approval("bo", role="statistician")],
        [an_approval("ann"), an_approval("bo", role="auditor")],
    ):
        assert judge.told([*begun, *approvals, an_amendment()]) == [missing]
    assert judge.told([*begun, an_approval("ann"), an_amendment(), an_approval("bo")]) == [missing]


@pytest.mark.requirement(11)
def test_an_amendment_is_approved_after_it_was_loaded_as_one(judge):
    begun, approvals = a_beginning_with(FIRST), [an_approval("ann"), an_approval("bo")]
    early = f"version {SECOND[:16]} is approved before it is loaded as an amendment"
    missing = f"the trial is amended to {SECOND[:16]} without the approval of two people"

    assert judge.told([*begun, *approvals, a_draft(), an_amendment()]) == [early, early, missing]
    split = [*begun, approvals[0], a_draft(), approvals[1], an_amendment()]
    assert judge.told(split) == [early, missing]
    no_amendment = an_event("trial.loaded", about={"trial": SECOND})
    assert early in judge.told([*begun, no_amendment, *approvals, an_amendment()])


def test_the_trial_is_activated_once(judge):
    assert judge.told([*a_trial(), an_event("trial.activated", about={"trial": SECOND})]) == [
        "the trial is activated a second time"
    ]


def test_an_amendment_begins_at_the_version_in_force(judge):
    both = [an_approval("ann"), an_approval("bo"), an_approval("ann", THIRD), an_approval("bo", THIRD)]
    begun = [*a_beginning_with(FIRST), a_draft(), a_draft(THIRD, SECOND), *both]
    wrong = f"the trial is amended to {THIRD[:16]} from another version than the one in force"

    assert judge.told([*begun, an_amendment(), an_amendment(THIRD, SECOND)]) == []
    assert judge.told([*begun, an_amendment(), an_amendment(THIRD, FIRST)]) == [wrong]
    other_draft = [*a_beginning_with(FIRST), a_draft(), a_draft(THIRD, FIRST), *both]
    assert judge.told([*other_draft, an_amendment(), an_amendment(THIRD, SECOND)]) == [wrong]
    *unopened, _ = the_beginning()
    assert len(judge.told([*unopened, a_draft(), *both, an_amendment()])) == 3


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (an_event("trial.approved"), "an approval lacks its person, role or version"),
        (an_event("trial.amended", about={"trial": []}), "an amendment lacks its version"),
        (
            an_event("enrolment.changed", data={"status": 1}),
            "a change of enrolment does not say how it stands",
        ),
        (
            an_event("enrolment.changed", data={"status": "Paused"}),
            "a change of enrolment does not say how it stands",
        ),
        (an_event("participant.screened"), "a screening lacks its participant or what it found"),
        (
            an_event("participant.screening_revised", about={"participant": "p-9"}, data={"new": []}),
            "a screening lacks its participant or what it found",
        ),
        *(
            (
                an_event(
                    "participant.screening_revised",
                    about={"participant": person},
                    data={"new": {"status": "eligible", "stratum": {}}},
                ),
                f"participant {person}: a screening is revised that was not made, or was used already",
            )
            for person in ("p-9", "p-1")
        ),
    ],
)
def test_an_event_about_the_trial_that_says_nothing_is_a_finding(judge, event, fault):
    assert judge.told([*a_trial(), event]) == [fault]


def a_change(status: str, site: str | None = None) -> Event:
    return an_event("enrolment.changed", about={"site": site} if site else {}, data={"status": status})


def an_open_trial() -> list[Event]:
    return [*a_trial(), *(a_change("active", site) for site in (None, "PUREN", "HANKOU"))]


def randomized(site: str = "PUREN", **allocation) -> Event:
    event = an_allocation("p-9", **{"slot": 2, **allocation})
    return {**event, "about": {**event["about"], "site": site}}


@pytest.mark.parametrize("status", ["paused", "suspended", "closed"])
@pytest.mark.requirement(8)
def test_nobody_is_randomized_where_enrolment_stands_still(judge, status):
    at_site, in_trial = a_change(status, "PUREN"), a_change(status)
    begun = an_open_trial()

    assert judge.told([*begun, at_site, randomized()]) == [
        f"a participant is randomized while enrolment at PUREN is {status}"
    ]
    for both in ([in_trial], [in_trial, at_site]):
        assert judge.told([*begun, *both, randomized()]) == [
            f"a participant is randomized while enrolment in the trial is {status}"
        ]
    for fine in (
        [at_site, randomized("HANKOU")],
        [at_site, a_change("active", "PUREN"), randomized()],
        [in_trial, a_change("active"), randomized()],
        [at_site, in_trial, randomized(stratum="emergency=PUREN", slot=0)],
    ):
        assert judge.told([*begun, *fine]) == []


@pytest.mark.requirement(8)
def test_enrolment_moves_as_the_service_lets_it(judge):
    assert ENROLMENT_MOVES == MOVES
    assert judge.told([*a_trial(), a_change("paused", "PUREN")]) == [
        "enrolment at PUREN goes from not open to paused"
    ]
    assert judge.told([*an_open_trial(), a_change("closed"), a_change("paused")]) == [
        "enrolment in the trial goes from closed to paused"
    ]


@pytest.mark.requirement(8)
def test_an_entry_from_paper_is_one_of_an_emergency_list_and_the_other_way_round(judge):
    wrong = "participant p-9: entries from paper, and no others, are of emergency lists"
    live, envelope = randomized(), randomized(stratum="emergency=PUREN", slot=0)
    on_paper = {**live, "data": {**live["data"], "paper": {"reason": "The network was down."}}}
    without = {**envelope, "data": {"slot": 0}}

    assert judge.told([*a_trial(), on_paper]) == [wrong]
    assert judge.told([*a_trial(), without]) == [wrong]
    # What is called paper is held to what every live allocation is held to.
    assert len(judge.told([*an_open_trial(), a_change("paused"), on_paper])) == 2


def a_revision(status: str, stratum: dict[str, str], participant: str = "p-9") -> Event:
    data = {"old": {}, "new": {"status": status, "stratum": stratum}}
    return an_event("participant.screening_revised", about={"participant": participant}, data=data)


@pytest.mark.requirement(8)
def test_whoever_is_randomized_was_last_found_eligible_in_that_stratum(judge):
    young, old, failed = (
        a_revision(status, {"age": age})
        for status, age in (("eligible", "18-59"), ("eligible", "60-75"), ("screen_failed", "18-59"))
    )
    wrong = "participant p-9 is randomized and was not found eligible in stratum age=18-59"

    for screened in (
        [a_screening("p-9")],
        [a_screening("p-9", status="screen_failed"), young],
        [a_screening("p-9", "age=60-75"), failed, young],
    ):
        assert judge.told([*a_trial(), *screened, randomized()]) == []
    for screened in (
        [a_screening("p-9", status="screen_failed")],
        [a_screening("p-9", "age=60-75")],
        [a_screening("p-9"), old],
        [a_screening("p-9"), failed],
        [a_screening("p-9"), a_revision("eligible", {})],
    ):
        assert judge.told([*a_trial(), *screened, randomized()]) == [wrong]
        # What was found on paper is reported beside it, and no finding here.
        assert judge.told([*a_trial(), *screened, randomized(stratum="emergency=PUREN", slot=0)]) == []


@pytest.mark.requirement(8)
def test_levels_are_compared_whatever_their_order(judge):
    stratum = "respiratory_support=none|age=18-59"
    levels = {"age": "18-59", "respiratory_support": "none"}
    allocated = randomized(stratum=stratum, slot=0)

    assert judge.told([*a_trial(), a_screening("p-9"), a_revision("eligible", levels), allocated]) == []


@pytest.mark.parametrize("where", [{"slot": 2}, {"slot": 0, "stratum": "emergency=PUREN"}])
def test_whoever_is_randomized_was_screened_before(judge, where):
    wrong = "participant p-9 is randomized and was not screened"

    for events in ([randomized(**where)], [randomized(**where), a_screening("p-9")]):
        verdict = judge(a_trail([*a_trial(), *events]))
        assert [line.split(": ", 2)[2] for line in verdict.of("violation")] == [wrong]
