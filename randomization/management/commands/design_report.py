"""
``manage.py design_report``: what the design of the list promises, and what it cannot.

For the unmasked statistician, before activation, on a machine of their own: it reads the trial file
with the design and needs no database. Definitions are in docs/design-report.md.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from randomization.domain.designs import design_of
from randomization.domain.operating.report import Plan, design_report
from randomization.domain.operating.sources import Blocks, Source, source_of
from randomization.domain.operating.walks import SEED
from randomization.domain.strata import all_strata
from randomization.pages.design import design_page
from randomization.pages.private_files import write_private
from randomization.pages.text import design_text
from trialsite import protocol as protocols
from trialsite.protocol import Protocol

# What can be answered in seconds.
MOST_PLANNED: Final = 1000
MOST_STRATA: Final = 64
LARGEST_BLOCK: Final = 60
MOST_SIZES: Final = 8
MOST_ARMS: Final = 4
LARGEST_SHARE: Final = 10
MOST_RESERVED: Final = 1000
LARGEST_ALLOWANCE: Final = 10


class Command(BaseCommand):
    help = "Report what can be guessed of the list's design, how far it strays and what it needs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--trial", default=settings.TRIAL_FILE, metavar="FILE", help="the trial file, with its design")
        add("--block-sizes", metavar="4,6", help="block sizes instead of the trial file's design")
        add("--ratio", metavar="1:1", help="ratio of the arms")
        add("--strata", type=int, metavar="K", help="number of strata")
        add("--prevalence", metavar="P,…", help="share of participants in each stratum; else equal shares")
        add("--planned", type=int, metavar="N", help="planned participants")
        add("--remake-allowance", default="0.1", metavar="SHARE", help="share of bags made again (0.1)")
        add("--emergency", type=int, metavar="N", help="slots reserved at each site; 0 for none")
        add("--seed", type=int, default=SEED, help="seed of samples, where a value is sampled")
        add(
            "--html", type=Path, metavar="FILE", help="write the report as a page, readable by its owner only"
        )
        add("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        try:
            trial = protocols.load(options["trial"])
        except (protocols.ProtocolError, OSError) as error:
            raise CommandError(f"{options['trial']}: {error}") from None
        try:
            plan = plan_of(trial, options)
        except ValueError as error:
            raise CommandError(str(error)) from None
        report = {"study": trial.protocol, **design_report(plan)}
        if options["html"]:
            try:
                write_private(options["html"], design_page(report, study=trial.protocol))
            except OSError as error:
                raise CommandError(f"{options['html']}: {error.strerror}") from None
        if options["json"]:
            self.stdout.write(json.dumps(report, indent=2, ensure_ascii=False))
        elif not options["html"]:
            self.stdout.write(design_text(report))


def plan_of(trial: Protocol, options: dict[str, Any]) -> Plan:
    """
    Return the plan that the options ask for; the trial file says what they leave open.

    :raises ValueError: if an option makes no sense, in words for whoever gave it.
    """
    reserved = options["emergency"]
    if reserved is None and trial.emergency:
        reserved = trial.emergency.slots
    prevalences = _prevalences(options, default=len(all_strata(trial)))
    return Plan(
        source=_source(trial, options),
        prevalences=prevalences,
        planned=_within("--planned", options["planned"], 1, MOST_PLANNED, default=trial.planned),
        infusions=len(trial.infusions),
        remake_allowance=_allowance(str(options["remake_allowance"])),
        emergency_slots=_within("--emergency", reserved, 0, MOST_RESERVED, default=0) or None,
        sites=len(trial.sites),
        seed=options["seed"],
    )


def _source(trial: Protocol, options: dict[str, Any]) -> Source:
    ratio = trial.ratio
    if options["ratio"] is not None:
        ratio = tuple(_numbers("--ratio", options["ratio"], ":", least=1, most=LARGEST_SHARE))
        if not 2 <= len(ratio) <= MOST_ARMS:
            raise ValueError(f"--ratio: must be of 2 to {MOST_ARMS} arms, such as 1:1")
    if options["block_sizes"] is not None:
        sizes = _numbers("--block-sizes", options["block_sizes"], ",", least=2, most=LARGEST_BLOCK)
        if len(set(sizes)) != len(sizes) or len(sizes) > MOST_SIZES:
            raise ValueError(f"--block-sizes: must be different, and at most {MOST_SIZES}")
        return Blocks(tuple(sorted(sizes)), ratio)
    source = source_of(design_of(trial), ratio)
    if source.ratio != ratio:
        raise ValueError("--ratio: the trial file's design is one to one: give --block-sizes as well")
    return source


def _prevalences(options: dict[str, Any], *, default: int) -> tuple[float, ...]:
    if options["prevalence"] is None:
        strata = _within("--strata", options["strata"], 1, MOST_STRATA, default=default)
        return (1 / strata,) * strata
    try:
        shares = [Fraction(part) for part in str(options["prevalence"]).split(",")]
    except (ValueError, ZeroDivisionError):
        raise ValueError("--prevalence: must be numbers such as 0.5,0.3,0.2") from None
    strata = _within("--strata", options["strata"], 1, MOST_STRATA, default=len(shares))
    if len(shares) != strata:
        raise ValueError(f"--prevalence: has {len(shares)} shares for {strata} strata")
    if min(shares) < 0 or abs(sum(shares, Fraction()) - 1) > Fraction(1, 1000):
        raise ValueError("--prevalence: must be shares that add up to 1")
    return tuple(float(share / sum(shares, Fraction())) for share in shares)


def _allowance(text: str) -> Fraction:
    try:
        allowance = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError("--remake-allowance: must be a share such as 0.1") from None
    if not 0 <= allowance <= LARGEST_ALLOWANCE:
        raise ValueError(f"--remake-allowance: must be from 0 to {LARGEST_ALLOWANCE}")
    return allowance


def _numbers(option: str, text: str, separator: str, *, least: int, most: int) -> list[int]:
    parts = str(text).split(separator)
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise ValueError(f"{option}: must be whole numbers separated by {separator!r}")
    return [_within(option, int(part), least, most, default=least) for part in parts]


def _within(option: str, value: int | None, least: int, most: int, *, default: int) -> int:
    value = default if value is None else value
    if not least <= value <= most:
        raise ValueError(f"{option}: must be from {least} to {most}")
    return value
