"""
Predictability after a reveal: how far each emergency unblinding raised certainty in its block.

    python -m randomization.predictability --trial FILE --reveals FILE [--json] [--html FILE]

Offline, because it needs the trial file with its design, which no server has. The reveals are what
``GET reveals`` answered, saved as JSON, or a CSV file of the same columns (docs/design-report.md, with
all definitions). For the unmasked statistician only.

No Django.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from randomization.domain.designs import design_of
from randomization.domain.operating.definitions import REVEAL_DEFINITIONS
from randomization.domain.operating.report import name_of
from randomization.domain.operating.reveal_rows import Revealed, RevealsInvalid, read_reveals
from randomization.domain.operating.reveals import Effect, Impossible, effects
from randomization.domain.operating.sources import Remembered, source_of
from randomization.domain.operating.walks import SEED
from randomization.domain.strata import all_strata, leaf_order
from randomization.pages.predictability import predictability_page, predictability_text
from randomization.pages.private_files import write_private
from trialsite import protocol as protocols
from trialsite.protocol import Protocol


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 if it was given something that is no use."""
    asked = _arguments(arguments)
    try:
        trial = protocols.load(asked.trial)
        text = asked.reveals.read_text(encoding="utf-8-sig")
        rows = read_reveals(text, strata=leaf_order(trial), arms=[arm.code for arm in trial.arms])
        report = predictability(trial, rows, seed=asked.seed)
        if asked.html:
            write_private(asked.html, predictability_page(report))
    except (protocols.ProtocolError, ValueError, OSError) as error:
        sys.stderr.write(f"predictability: {error}\n")
        return 2
    if asked.json:
        sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    elif not asked.html:
        sys.stdout.write(predictability_text(report) + "\n")
    return 0


def predictability(trial: Protocol, rows: Sequence[Revealed], *, seed: int = SEED) -> dict[str, Any]:
    """
    Return what each reveal did, stratum by stratum in the order of the list.

    :raises RevealsInvalid: if arms that are given cannot stand together on a list of the design.
    :raises ValueError: if the trial's list was made elsewhere.
    """
    source = source_of(design_of(trial), trial.ratio)
    by_stratum = {code: [row for row in rows if row.stratum == code] for code in leaf_order(trial)}
    strata: list[dict[str, Any]] = []
    for code, some in by_stratum.items():
        if not some:
            continue
        slots = max(_length(trial, code), *(row.reveal.slot + 1 for row in some))
        try:
            found = effects(Remembered(source), slots, [row.reveal for row in some], seed=seed)
        except Impossible as error:
            raise RevealsInvalid(f"{code}: {error}") from None
        reveals = [_reveal(trial, row, effect) for row, effect in zip(some, found, strict=True)]
        strata.append({"stratum": code, "slots": slots, "reveals": reveals})
    sampled = any("standard_error" in reveal for stratum in strata for reveal in stratum["reveals"])
    return {
        "study": trial.protocol,
        "design": name_of(source, trial.planned),
        "method": "simulated" if sampled else "exact",
        "strata": strata,
        "definitions": dict(REVEAL_DEFINITIONS),
    }


def _length(trial: Protocol, stratum: str) -> int:
    """Return the least length of the stratum's list."""
    reserved = trial.emergency.slots if trial.emergency and stratum not in all_strata(trial) else None
    return reserved or trial.list_length or 0


def _reveal(trial: Protocol, row: Revealed, effect: Effect) -> dict[str, Any]:
    reveal, error = row.reveal, effect.rise.standard_error
    return {
        "slot": reveal.slot,
        "arm": None if reveal.arm is None else trial.arms[reveal.arm].code,
        "revealed_at": row.revealed_at.isoformat() if row.revealed_at else None,
        "used": reveal.used,
        "expected_correct_before": effect.before,
        "expected_correct_after": effect.after,
        "rise": effect.rise.value,
        **({} if error is None else {"standard_error": error}),
        "rise_in_use": effect.rise_in_use,
        "rise_to_come": effect.rise_to_come,
        "largest_posterior": effect.largest,
        "largest_posterior_possible": effect.largest_possible,
        "became_certain": effect.certain,
        "certain_after": effect.certain_after,
        "slots": [
            {"slot": change.slot, "before": change.before, "after": change.after} for change in effect.changes
        ],
    }


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m randomization.predictability",
        description="How far each reveal raised certainty in its block.",
    )
    parser.add_argument("--trial", type=Path, required=True, help="the trial file, with its design")
    parser.add_argument("--reveals", type=Path, required=True, help="JSON of GET reveals, or CSV")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--html", type=Path, help="write a page, readable by its owner only")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of samples, where there are any")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
