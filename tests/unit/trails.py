"""Trails made by hand, and bundles of them as the service would export them."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from randomization.domain.sealed_list import Commitment
from trialsite.audit import verify
from trialsite.audit.canonical import canonical
from trialsite.audit.merkle import leaf_hash, root_of
from trialsite.audit.notes import Checkpoint, Signer, SigningKey, sign_checkpoint, sign_note
from trialsite.sealing import BODY_BYTES, PublicKey, seal_body

ORIGIN = "trial.example/NCT04293692"
LOG = SigningKey(ORIGIN, bytes(range(32)))
ATTACKER = SigningKey(ORIGIN, bytes(32))
STATISTICIAN = SigningKey(f"{ORIGIN}/statistician", bytes(range(1, 33)))
NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
LIST_ROOT = hashlib.sha256(b"a list").digest()
ZEROS = bytes(32)
COMMITMENT = sign_note(
    Commitment(
        study="NCT04293692",
        root=LIST_ROOT,
        commitment=ZEROS,
        leaves=48,
        software=ZEROS,
        spec=ZEROS,
        trial=ZEROS.hex(),
        slots=ZEROS,
    ).text,
    STATISTICIAN,
)
AUDITOR = PublicKey("auditor-1", "x25519", bytes(range(32)))
SAFETY_DESK = PublicKey("safety-desk-1", "x25519", bytes(range(2, 34)))

Event = dict[str, Any]


def the_time(minute: int) -> str:
    return (NOON + dt.timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def an_event(
    kind: str, *, about: Mapping[str, Any] = {}, data: Mapping[str, Any] = {}, minute: int = 0
) -> Event:
    time = the_time(minute)
    head = {"v": 1, "k": kind, "t": time, "at": time, "act": "system:test", "role": ""}
    return {**head, "about": dict(about), "data": dict(data)}


def an_allocation(participant: str, *, slot: int, stratum: str = "age=18-59", minute: int = 0) -> Event:
    about = {"participant": participant, "stratum": stratum}
    paper = {"paper": {"reason": "The network was down."}} if stratum.startswith("emergency=") else {}
    return an_event("participant.randomized", about=about, data={"slot": slot, **paper}, minute=minute)


def a_screening(participant: str, stratum: str = "age=18-59", *, status: str = "eligible") -> Event:
    live = stratum if not stratum.startswith("emergency=") else ""
    levels = {
        factor: level for factor, _, level in (part.partition("=") for part in live.split("|")) if level
    }
    data = {"status": status, "stratum": levels}
    return an_event("participant.screened", about={"participant": participant}, data=data)


def with_screenings(events: Iterable[Event]) -> list[Event]:
    """Return the trail in which everybody is screened before they are randomized."""
    whole: list[Event] = []
    known: set[str] = set()
    for event in events:
        about = event.get("about") if isinstance(event, dict) else None
        person = about.get("participant") if isinstance(about, dict) else None
        if about and person and event["k"] == "participant.randomized" and person not in known:
            whole.append(a_screening(person, about["stratum"]))
        known.add(person or "")
        whole.append(event)
    return whole


def a_sealed_event(
    body: Mapping[str, Any],
    *recipients: PublicKey,
    kind: str = "unblinding",
    event_id: uuid.UUID | None = None,
    size: int = BODY_BYTES,
) -> Event:
    """Return an event sealed to these readers; the auditor and the safety desk, if none is named."""
    recipients = recipients or (AUDITOR, SAFETY_DESK)
    event_id = event_id or uuid.uuid4()
    sealed = seal_body(
        body, event_id=event_id, study="NCT04293692", at=NOON, recipients=recipients, size=size
    )
    return {"v": 1, "k": kind, "t": the_time(0), "id": str(event_id), "sealed": sealed}


def the_beginning() -> list[Event]:
    return [
        an_event("genesis", data={"origin": ORIGIN, "study": "NCT04293692", "evaluation": False}),
        an_event("trial.loaded"),
        an_event("list.committed", data={"root": LIST_ROOT.hex(), "note": COMMITMENT}),
        an_event("trial.activated"),
    ]


def a_trial() -> list[Event]:
    """Return a short trial: three people in two strata, one infused."""
    kit = {"kit": "7f3a", "infusion": "0001"}
    return [
        *the_beginning(),
        a_screening("p-1"),
        a_screening("p-2", "age=60-75"),
        a_screening("p-3"),
        an_allocation("p-1", slot=0),
        an_allocation("p-2", slot=0, stratum="age=60-75"),
        an_event("infusion.ordered", about={"infusion": "0001"}),
        an_allocation("p-3", slot=1),
        an_event("kit.released", about=kit),
        an_event("kit.dispensed", about=kit),
        an_event("infusion.started", about=kit),
        an_event("infusion.stopped", about=kit),
    ]


@dataclass(frozen=True)
class Trail:
    """What a bundle is made of; the defaults are those of an honest export."""

    bodies: tuple[bytes, ...]
    checkpoints: tuple[int, ...] = ()
    log: Signer = LOG
    commitment: str = COMMITMENT
    changes: Mapping[str, bytes | None] = field(default_factory=dict)

    def note(self, size: int | None = None) -> str:
        size = len(self.bodies) if size is None else size
        root = root_of(leaf_hash(body) for body in self.bodies[:size])
        return sign_checkpoint(Checkpoint(self.log.name, size, root), self.log)

    def files(self) -> dict[str, bytes]:
        lines = [
            json.dumps({"seq": seq, "body": base64.b64encode(body).decode()}) + "\n"
            for seq, body in enumerate(self.bodies)
        ]
        notes = {
            f"checkpoints/{size:012d}.note": self.note(size).encode()
            for size in sorted({*self.checkpoints, len(self.bodies)})
        }
        return {
            "entries.jsonl": "".join(lines).encode(),
            **notes,
            "keys.txt": f"{self.log.verifier.vkey}\n".encode(),
            "commitment.note": self.commitment.encode(),
        }

    def changed(self, **changes: Any) -> Trail:
        return replace(self, **changes)

    def export(self, path: Path, *, after_signing: Mapping[str, bytes | None] = {}) -> Path:
        """Write the bundle; ``changes`` come before the manifest is signed, ``after_signing`` after it."""
        files = _with(self.files(), self.changes)
        listed = "".join(
            f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
        )
        files["manifest.note"] = sign_note(listed, self.log).encode()
        return a_zip(path, _with(files, after_signing))


def _with(files: Mapping[str, bytes], changes: Mapping[str, bytes | None]) -> dict[str, bytes]:
    return {name: content for name, content in {**files, **changes}.items() if content is not None}


def a_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return path


def a_trail(events: Iterable[Event] | None = None, *, checkpoints: Sequence[int] = (4, 9)) -> Trail:
    bodies = tuple(canonical(event) for event in (a_trial() if events is None else events))
    return Trail(bodies=bodies, checkpoints=tuple(size for size in checkpoints if size <= len(bodies)))


def the_trail_of(commitment: str, *, log: Signer = LOG) -> Trail:
    """Return a trail that fits together, of whoever signed it and with whatever commitment."""
    events = a_trial()
    events[0]["data"]["origin"] = log.name
    events[2]["data"]["note"] = commitment
    return a_trail(events).changed(commitment=commitment, log=log)


class Verdict:
    """What the verifier said: exit code, lines, and the lines of one sort."""

    def __init__(self, code: int, output: str) -> None:
        self.code = code
        self.lines = output.splitlines()

    @property
    def last(self) -> str:
        return self.lines[-1]

    def of(self, sort: str) -> list[str]:
        return [line for line in self.lines if line.startswith(f"{sort}: ")]


class Judge:
    """The verifier as an auditor runs it: a bundle and what was kept go in, a verdict comes out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, bundle: Path | Trail, keys: Path | None = None, **export: Any) -> Verdict:
        if isinstance(bundle, Trail):
            bundle = bundle.export(self.folder / "bundle.zip", **export)
        said, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            code = verify.main([str(bundle), *(["--keys", str(keys)] if keys else [])])
        assert complained.getvalue() == ""
        assert said.getvalue().splitlines()[-1].startswith("verdict: ")
        return Verdict(code, said.getvalue())

    def told(self, events: list[Event]) -> list[str]:
        """Return what is wrong with a trail of these events and of the screenings it lacks, without where."""
        verdict = self(a_trail(with_screenings(events)))
        assert verdict.code == (1 if verdict.of("violation") else 0)
        return [line.split(": ", 2)[2] for line in verdict.of("violation")]
