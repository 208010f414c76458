"""Lists as the ceremony, or somebody who cheats, makes them; trails over them; and the verifier's word."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from randomization import verifier
from randomization.ceremony.making import Ceremony, make_bundle
from randomization.domain.schedule import Schedule, spec_of
from tests.unit.ceremonies import SEED, STRATA, TRIAL, KeyRing
from tests.unit.trails import Event, a_trail, an_event
from trialsite.audit import notes

ONE, TWO = STRATA[:2]
NOTE_LINES = (
    "title",
    "study",
    "root",
    "commitment",
    "leaves",
    "software",
    "spec",
    "trial",
    "slots",
    "extends",
    "beacon",
)


def a_list(
    folder: Path,
    keys: KeyRing,
    *,
    trial: Any = TRIAL,
    seed: bytes = SEED,
    arms: Any = None,
    revealed: dict[str, Any] | None = None,
    sealed: dict[str, Any] | None = None,
    **spec: Any,
) -> Path:
    """
    Write a list with all that an outsider gets.

    ``spec`` goes to the specification and ``sealed`` to the ceremony; ``revealed`` is what is brought out
    instead of the truth, and ``arms`` are sealed instead of those that follow from the seed.
    """
    made = spec_of(trial, **{"length": 4, "strata": [ONE, TWO], "sites": [], **spec})
    ceremony = Ceremony(
        spec=made,
        arms=Schedule(made, seed) if arms is None else arms,
        seed=seed,
        **keys.makers,
        **(sealed or {}),
    )
    make_bundle(ceremony).write(folder)
    truth = {
        "v": "irt-revealed/1",
        "study": made.study,
        "root": ceremony_root(folder).hex(),
        "seed": seed.hex(),
        "spec": made.document(),
    }
    (folder / "revealed.json").write_text(json.dumps({**truth, **(revealed or {})}))
    return folder


def arms_of_the_seed(**spec: Any) -> dict[str, list[int]]:
    """Return the arms that a list of ``a_list`` has."""
    made = spec_of(TRIAL, **{"length": 4, "strata": [ONE, TWO], "sites": [], **spec})
    return {stratum: list(arms) for stratum, arms in Schedule(made, SEED).items()}


def note_lines(folder: Path) -> dict[str, str]:
    """Return the lines of the signed text by their names."""
    text = (folder / "commitment.note").read_text().split("\n\n")[0]
    return dict(zip(NOTE_LINES, text.split("\n"), strict=True))


def ceremony_root(folder: Path) -> bytes:
    """Return the root that the note tells."""
    return base64.b64decode(note_lines(folder)["root"])


def sign_again(folder: Path, keys: KeyRing, **changes: str) -> None:
    """Sign the commitment with these lines changed, as a statistician would who cheats."""
    text = "".join(f"{line}\n" for line in {**note_lines(folder), **changes}.values())
    (folder / "commitment.note").write_text(notes.sign_note(text, keys.statistician))


def change_lines(folder: Path, keys: KeyRing, change: Callable[[list[str]], Iterable[str]]) -> None:
    """Put other lines into slots.jsonl, and sign for them."""
    path = folder / "slots.jsonl"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    sign_again(folder, keys, slots=hashlib.sha256(path.read_bytes()).hexdigest())


def change_slot(folder: Path, keys: KeyRing, index: int, **changes: str) -> None:
    """Put other values into one line of slots.jsonl, and sign for it."""

    def changed(lines: list[str]) -> list[str]:
        row = {**json.loads(lines[index]), **changes}
        lines[index] = json.dumps(row, sort_keys=True, separators=(",", ":")) + "\n"
        return lines

    change_lines(folder, keys, changed)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "slots.jsonl").read_text().splitlines()]


def committed(folder: Path, kind: str = "list.committed") -> Event:
    """Return the event that puts a list on the trail."""
    return an_event(kind, data={"note": (folder / "commitment.note").read_text()})


def the_start(folder: Path) -> list[Event]:
    """Return a trail up to the first allocation."""
    genesis = an_event("genesis", data={"origin": "trial.example/NCT04293692", "study": "NCT04293692"})
    return [genesis, committed(folder)]


def taken(
    folder: Path, slot: int, *, stratum: str = ONE, person: str = "", kind: str = "participant.randomized"
) -> Event:
    """Return the event that a slot of a list was used, with its number."""
    numbers = {(row["stratum"], row["slot"]): row["randomization_number"] for row in rows_of(folder)}
    about = {
        "participant": person or f"{stratum}-{slot}",
        "stratum": stratum,
        "randomization_number": numbers.get((stratum, slot), "R999999"),
    }
    return an_event(kind, about=about, data={"slot": slot})


def an_export(path: Path, events: Sequence[Event]) -> Path:
    return a_trail(events, checkpoints=()).export(path)


class Word:
    """What the verifier said: exit code, lines, and of them those that found something wrong."""

    def __init__(self, *arguments: object) -> None:
        said, complained = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            self.code = verifier.main([*map(str, arguments), "--json"])
        answer = json.loads(said.getvalue())
        assert answer["exit"] == self.code
        assert answer["lines"][-1]["result"] == ("yes", "no", "cannot say")[self.code]
        self.lines: list[dict[str, Any]] = answer["lines"]
        self.complained = complained.getvalue()

    @property
    def wrong(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["result"] == "wrong"]

    @property
    def last(self) -> str:
        return str(self.lines[-1]["text"])

    def places(self) -> list[tuple[Any, ...]]:
        """Return list, event, stratum and slot of each finding."""
        return [tuple(line.get(name) for name in ("list", "event", "stratum", "slot")) for line in self.wrong]

    def at(self, **place: Any) -> dict[str, Any]:
        """Return the only finding that names this place."""
        (found,) = [line for line in self.wrong if {name: line.get(name) for name in place} == place]
        return found
