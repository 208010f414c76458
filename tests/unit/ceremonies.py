"""What tests of the list's ceremony share: everybody's keys, trial files, lists, and their opened arms."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

from randomization.ceremony.folder import read_note
from randomization.ceremony.making import ListBundle
from randomization.domain.sealed_list import Commitment, SealedSlot
from trialsite import protocol as protocols
from trialsite.audit import notes
from trialsite.keyfiles import KeyFile, write_key_file
from trialsite.opening import FileKeys, open_slot
from trialsite.sealing import PublicKey, PublicKeys

TOP = Path(__file__).parents[2]
GOLDEN = json.loads((TOP / "tests" / "vectors" / "schedule.json").read_text(encoding="utf-8"))
SEED = bytes.fromhex(GOLDEN["seed"])
TEXT = protocols.DEFAULT_TRIAL_FILE.read_text(encoding="utf-8")
NOON = dt.datetime(2020, 2, 24, 12, tzinfo=dt.UTC)
OFFICERS = ("release-1", "release-2", "release-3")
STRATA = (
    "age_group=18-59|respiratory_support=conventional_oxygen",
    "age_group=18-59|respiratory_support=high_flow_or_ventilation",
    "age_group=60-75|respiratory_support=conventional_oxygen",
    "age_group=60-75|respiratory_support=high_flow_or_ventilation",
)


def a_trial(**changed: Any) -> protocols.Protocol:
    """Return the trial of the record without reserved lists, but for what is changed."""
    trial = protocols.load(protocols.DEFAULT_TRIAL_FILE)
    return dataclasses.replace(trial, **{"emergency": None, **changed})


TRIAL = a_trial()
WITH_RESERVE = a_trial(emergency=protocols.Emergency(slots=6))


@dataclasses.dataclass(frozen=True)
class KeyRing:
    """A deployment's keys in a folder of the test."""

    folder: Path
    public: PublicKeys
    statistician: notes.Signer

    def private(self, *kids: str) -> FileKeys:
        return FileKeys([self.folder / kid for kid in kids])

    @property
    def makers(self) -> dict[str, Any]:
        return {"public_keys": self.public, "statistician": self.statistician}


def a_key_ring(folder: Path) -> KeyRing:
    folder.mkdir(parents=True, exist_ok=True)

    def a_key(kid: str, alg: str = "x25519") -> KeyFile:
        return write_key_file(folder / kid, alg, kid, hashlib.sha256(kid.encode()).digest(), NOON)

    def a_reader(kid: str) -> PublicKey:
        return PublicKey(kid=kid, alg="x25519", raw=a_key(kid).public_bytes())

    statistician = notes.SigningKey("statistician-1", a_key("statistician-1", "ed25519").secret)
    one, two, three = (a_reader(kid) for kid in OFFICERS)
    public = PublicKeys(
        code_break=a_reader("code-break-1"),
        auditor=a_reader("auditor-1"),
        safety_desk=a_reader("safety-desk-1"),
        release=(one, two, three),
        log=statistician.verifier.vkey,
        statistician=statistician.verifier.vkey,
        emergency=a_reader("emergency-1"),
    )
    public.dump(folder / "public.json")
    a_key("log-1", "ed25519")
    return KeyRing(folder=folder, public=public, statistician=statistician)


def a_trial_file(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the trial file with those texts replaced, and without reserved lists unless they come with it."""
    text = TEXT.replace("[emergency]\nslots = 8\n", "")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "trial.toml"
    path.write_text(text, encoding="utf-8")
    return path


def a_trial_of_three_arms() -> bytes:
    """Return the trial file with a third arm, which gets what the second does under another name."""
    begin, end = TEXT.index("[treatments.PLACEBO]"), TEXT.index("# Record: one site.")
    placebo = TEXT[begin:end]
    third = placebo.replace("treatments.PLACEBO", "treatments.SALINE")
    arm = '[[arms]]\ncode = "C"\ntreatment = "SALINE"\nname = "Saline group"\n\n'
    text = TEXT[:end] + third + TEXT[end:]
    text = text.replace("# Design choice: the record names no stratification.", f"{arm}# ")
    text = text.replace("ratio = [1, 1]", "ratio = [2, 1, 1]").replace("[4, 6]", "[4, 8]")
    return text.encode()


def a_command(keys: KeyRing, out: Path, *more: object, **changed: object) -> list[str]:
    """Return a command line of the generator; ``more`` goes to its end."""
    options: dict[str, object] = {
        "trial": protocols.DEFAULT_TRIAL_FILE,
        "length": 12,
        "public-keys": keys.folder / "public.json",
        "statistician-key": keys.folder / "statistician-1",
        "out": out,
    } | changed
    flat = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [*flat, *map(str, more)]


def the_slots_in(folder: Path) -> list[SealedSlot]:
    return [SealedSlot.from_line(line) for line in (folder / "slots.jsonl").read_text().splitlines()]


def the_commitment_in(place: Path | ListBundle) -> Commitment:
    note = place.commitment_note if isinstance(place, ListBundle) else read_note(place)
    return Commitment.parse(notes.split_note(note)[0])


def the_arms_in(place: Path | ListBundle, keys: KeyRing) -> dict[str, list[int]]:
    """Open every slot with the code-break key."""
    private = keys.private("code-break-1")
    root = the_commitment_in(place).root
    slots = place.slots if isinstance(place, ListBundle) else the_slots_in(place)
    arms: dict[str, list[int]] = {}
    for slot in slots:
        arm = open_slot(
            private,
            "code-break-1",
            slot.envelope,
            study=TRIAL.protocol,
            stratum=slot.stratum,
            slot=slot.slot,
            root=root,
            leaf_hash=slot.leaf,
        )
        arms.setdefault(slot.stratum, []).append(arm)
    return arms


def what_is_under(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by its path there."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
