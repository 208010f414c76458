"""What a run found, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.run import Result, Sample, medians


@dataclass(frozen=True)
class Report:
    """One run: where, what each case gave, the ratios between them, and what was lost."""

    machine: dict[str, str | int]
    options: dict[str, Any]
    samples: Sequence[Sample]
    results: Sequence[Result]
    lost: Sequence[str]

    @property
    def noisy(self) -> int:
        """How many rounds of a case had others on the machine."""
        return sum(sample.foreign >= machine.QUIET for sample in self.samples)

    @property
    def text(self) -> str:
        return "\n".join([*self._cases(), "", *self._ratios(), "", *self._closing()])

    def write_json(self, path: Path) -> None:
        document = {
            "machine": self.machine,
            "options": self.options,
            "cases": medians(self.samples),
            "ratios": [asdict(result) | {"verdict": result.verdict} for result in self.results],
            "samples": [asdict(sample) for sample in self.samples],
            "lost": list(self.lost),
        }
        path.write_text(json.dumps(document, indent=1) + "\n")

    def _cases(self) -> Iterable[str]:
        yield f"{'case':22}{'per second':>13}{'p50 ms':>11}{'p99 ms':>11}{'cpu ms':>9}{'bad':>6}{'others':>8}"
        for row in medians(self.samples):
            yield (
                f"{row['case']:22}{row['rate']:13,.0f}{row['p50_ms']:11.3f}{row['p99_ms']:11.3f}"
                f"{row['cpu_ms']:9.3f}{row['bad']:6}{row['foreign']:8.0%}"
            )

    def _ratios(self) -> Iterable[str]:
        yield f"{'ratio, median of the rounds':52}{'':>12}{'least – greatest':>22}{'goal':>12}"
        for result in self.results:
            span = f"{_short(result.least)} – {_short(result.greatest)}"
            yield (
                f"{result.ratio.label:52}{_short(result.median):>12}{span:>22}"
                f"{result.goal:>12}  {result.verdict}".rstrip()
            )

    def _closing(self) -> Iterable[str]:
        yield f"Measured on {', '.join(f'{name} {value}' for name, value in self.machine.items())}."
        if self.noisy:
            yield (
                f"{self.noisy} of {len(self.samples)} rounds were not quiet: others used"
                f" {machine.QUIET:.0%} of the processors or more. Repeat before you conclude."
            )
        yield from (f"LOST: {what}" for what in self.lost)
        if not self.lost:
            yield "Nothing was lost: every answer has its slot, its infusions and its event."


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
