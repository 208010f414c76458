"""
The design report: a design's figures, beside those of others, each with its definition.

Keys and meanings are fixed by the contract; ``definitions`` has the words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final

from randomization.domain.operating.definitions import DEFINITIONS
from randomization.domain.operating.figures import Stratum
from randomization.domain.operating.guessing import long_run_right
from randomization.domain.operating.paths import at_least
from randomization.domain.operating.sources import BiasedCoin, BigStick, Blocks, Simple, Source
from randomization.domain.operating.split import Groups
from randomization.domain.operating.stock import over_strata
from randomization.domain.operating.walks import SEED, Estimate

SMALLEST_BLOCK: Final = 4
# Of participants from emergency lists, as far as there are so many.
USED: Final = (0, 1, 2, 4, 8, 16, 32)
MOST_STATES: Final = 50_000
# Runs of randomizations that a store is planned for.
LONGEST_STRETCH: Final = 48


@dataclass(frozen=True)
class Plan:
    """
    The trial that is reported on.

    ``prevalences`` of the strata add up to 1; ``infusions`` are bags for each participant;
    ``remake_allowance`` is a share of the bags; ``emergency_slots`` are reserved at each of
    ``sites``, None where no list is reserved.
    """

    source: Source
    prevalences: tuple[float, ...]
    planned: int
    infusions: int = 1
    remake_allowance: Fraction = Fraction(0)
    emergency_slots: int | None = None
    sites: int = 1
    seed: int = SEED

    @property
    def groups(self) -> Groups:
        """The trial's strata."""
        return Groups(self.prevalences, self.planned)

    @property
    def strata(self) -> int:
        """How many strata can have a participant."""
        return sum(map(bool, self.prevalences))


@dataclass
class Notes:
    """Values as they are written down; where one was sampled, its standard error is kept by its place."""

    standard_error: dict[str, float] = field(default_factory=dict)

    def value(self, place: str, estimate: Estimate) -> float:
        """Return the value."""
        if estimate.standard_error is not None:
            self.standard_error[place] = estimate.standard_error
        return estimate.value

    def closing(self) -> dict[str, Any]:
        """Return ``method``, and ``standard_error`` where anything was sampled."""
        if not self.standard_error:
            return {"method": "exact"}
        return {"method": "simulated", "standard_error": self.standard_error}


def design_report(plan: Plan) -> dict[str, Any]:
    """Return the whole report; its keys are those of ``DEFINITIONS``, and ``design``."""
    stratum = Stratum(plan.source, plan.planned, seed=plan.seed)
    notes = Notes()
    figures = {
        **_guessing(stratum, notes),
        **_imbalance(stratum, notes),
        "total_split": _total_split(plan, stratum, notes),
        "worst_case_stock_per_arm": _stock(plan, stratum),
        "emergency_list": _emergency(plan, stratum),
        "alternatives": [_row(replace(plan, source=other)) for other in alternatives(plan)],
    }
    return {"design": _design(plan), **notes.closing(), **figures, "definitions": dict(DEFINITIONS)}


def alternatives(plan: Plan) -> list[Source]:
    """Return the plan's design and those it is compared with, each once."""
    ratio, planned = plan.source.ratio, plan.planned
    whole = sum(ratio)
    one_stratum = Blocks((-(-planned // whole) * whole,), ratio)
    states = math.prod(planned * share // whole + 1 for share in ratio)
    others: list[Source]
    if ratio == (1, 1):
        others = [Blocks(sizes) for sizes in ((4,), (6,), (4, 6), (4, 6, 8), (2, 4, 6))]
        others += [*map(BigStick, (2, 3, 4)), BiasedCoin(Fraction(2, 3))]
    else:
        others = [Blocks(sizes, ratio) for sizes in ((2 * whole,), (3 * whole,), (2 * whole, 3 * whole))]
    # In a large trial one long block has too many states to follow, and is as good as a coin.
    others += [one_stratum, Simple(ratio)] if states <= MOST_STATES else [Simple(ratio)]
    return list(dict.fromkeys([plan.source, *others]))


def name_of(source: Source, planned: int) -> str:
    """Return a design's name in words."""
    match source:
        case Blocks(sizes=(size,)) if size >= planned:
            return f"random allocation rule (one block of {size})"
        case Blocks(sizes=sizes):
            return f"blocks of {' or '.join(map(str, sizes))}"
        case BigStick(mti=mti):
            return f"big stick, difference at most {mti}"
        case BiasedCoin(favor=favor):
            return f"Efron's biased coin, {favor}"
    return "simple (a coin for each)"


def remark_on(source: Source, planned: int) -> str:
    """Return why no list of this design is made here; nothing if it is."""
    match source:
        case Blocks(sizes=(size,)) if size >= planned:
            return "for comparison only"
        case Blocks(sizes=sizes) if min(sizes) < SMALLEST_BLOCK:
            return f"too much is certain in a block of {min(sizes)}"
        case Blocks(sizes=sizes) if len(sizes) > 1:
            return ""
        case Blocks():
            return "with one size the end of a block can be counted off"
        case BigStick(mti=mti):
            return "" if mti > 1 else "every second slot is certain"
    return "for comparison only"


def exact_split_words(plan: Plan, chance: float) -> str:
    """Return what may be said of the planned split, such as 24:24. It is never promised."""
    ratio, hundred = plan.source.ratio, round(100 * chance)
    how_often = f"about {hundred}" if 0 < hundred < 100 else "more than 99" if hundred else "fewer than 1"
    if len(ratio) > 2:
        return f"That the first two arms end in their ratio comes about in {how_often} of 100 trials."
    if plan.planned % sum(ratio):
        return f"{plan.planned} participants cannot end exactly in the ratio."
    numbers = ":".join(str(plan.planned * share // sum(ratio)) for share in ratio)
    return f"{numbers} is not promised: it comes about in {how_often} of 100 trials."


def _design(plan: Plan) -> dict[str, Any]:
    source = plan.source
    return {
        "name": name_of(source, plan.planned),
        "block_sizes": list(source.sizes) if isinstance(source, Blocks) else None,
        "mti": source.mti if isinstance(source, BigStick) else None,
        "ratio": list(source.ratio),
        "planned": plan.planned,
        "strata": len(plan.prevalences),
        "prevalence": list(plan.prevalences),
        "remark": remark_on(source, plan.planned),
        "seed": plan.seed,
    }


def _guessing(stratum: Stratum, notes: Notes) -> dict[str, Any]:
    source, convergence, bayes = stratum.source, stratum.convergence, stratum.bayes
    one_to_one = isinstance(source, Blocks) and source.ratio == (1, 1)
    return {
        "correct_guess_share": {
            "convergence": notes.value("correct_guess_share.convergence", convergence.right),
            "bayes": notes.value("correct_guess_share.bayes", bayes.right),
        },
        "certain_share": {
            "bayes": notes.value("certain_share.bayes", bayes.certain),
            "known_borders": notes.value("certain_share.known_borders", convergence.certain),
        },
        "long_run_correct_guess_share": float(long_run_right(source.sizes))
        if isinstance(source, Blocks) and one_to_one
        else None,
        "guess_by_slot": {"right": bayes.by_slot.right, "certain": bayes.by_slot.certain},
    }


def _imbalance(stratum: Stratum, notes: Notes) -> dict[str, Any]:
    largest, runs = stratum.largest, stratum.longest_run
    return {
        "expected_max_imbalance": notes.value("expected_max_imbalance", largest.mean),
        "max_imbalance_pmf": largest.pmf,
        "expected_abs_imbalance": [
            notes.value(f"expected_abs_imbalance.{n}", after.mean)
            for n, after in enumerate(stratum.differences)
            if n
        ],
        "run_lengths": {
            "longest_possible": stratum.longest_possible_run,
            "expected_longest": notes.value("run_lengths.expected_longest", runs.mean),
            "longest_pmf": runs.pmf,
        },
    }


def _total_split(plan: Plan, stratum: Stratum, notes: Notes) -> dict[str, Any]:
    split = stratum.split(plan.groups)
    return {
        "p_equal": notes.value("total_split.p_equal", split.equal),
        "sd": notes.value("total_split.sd", split.spread),
        "p_at_least": {bound: at_least(split.pmf, bound) for bound in (2, 4, 6, 8, 10)},
        "largest_possible": _largest(stratum, plan.strata, plan.planned),
        "pmf": split.pmf,
        "in_words": exact_split_words(plan, split.equal.value),
    }


def _largest(stratum: Stratum, strata: int, participants: int) -> int | None:
    """Return the largest difference that so many strata can give; None where differences were sampled."""
    if any(after.mean.standard_error is not None for after in stratum.differences):
        return None
    return over_strata([max(map(abs, after.pmf)) for after in stratum.differences], strata)[participants]


def _stock(plan: Plan, stratum: Stratum) -> dict[str, Any] | None:
    if stratum.most is None or stratum.most_in_a_row is None:
        return None
    stretch = stratum.most_in_a_row[: LONGEST_STRETCH + 1]
    return {
        **_most(plan, stratum, plan.strata),
        "remake_allowance": float(plan.remake_allowance),
        "in_any_k_of_one_stratum": stretch[1:],
        "in_any_k_of_all_strata": over_strata(stretch, plan.strata)[1:],
    }


def _emergency(plan: Plan, stratum: Stratum) -> dict[str, Any] | None:
    if plan.emergency_slots is None:
        return None
    reserved = plan.emergency_slots * plan.sites
    rows = []
    for used in (used for used in USED if used <= min(reserved, plan.planned)):
        emergency = Groups((1 / plan.sites,) * plan.sites, used)
        groups = replace(plan.groups, participants=plan.planned - used), emergency
        # Not sampled: the samples' errors would hide what the lists cost.
        pmf = stratum.exact_split(*groups)
        equal = None if pmf is None else pmf.get(0, 0.0)
        spread = stratum.spread(*groups).value
        rows.append({"used": used, "unused": reserved - used, "p_equal": equal, "sd": spread})
    strata = plan.strata + plan.sites
    return {
        "sites": plan.sites,
        "slots_per_site": plan.emergency_slots,
        "slots_reserved": reserved,
        "by_used": rows,
        "largest_possible": _largest(stratum, strata, plan.planned),
        "worst_case_stock_per_arm": None if stratum.most is None else _most(plan, stratum, strata),
    }


def _most(plan: Plan, stratum: Stratum, strata: int) -> dict[str, int]:
    """Return the most that one arm can ask for of so many lists of their own, in people and in bags."""
    participants = over_strata(stratum.most or (), strata)[plan.planned]
    bags = participants * plan.infusions
    return {
        "participants": participants,
        "bags": bags,
        "bags_with_remakes": math.ceil(bags * (1 + plan.remake_allowance)),
    }


def _row(plan: Plan) -> dict[str, Any]:
    stratum, notes = Stratum(plan.source, plan.planned, seed=plan.seed), Notes()
    alone, whole = stratum.split(Groups((1.0,), plan.planned)), stratum.split(plan.groups)
    figures: Mapping[str, Estimate] = {
        "correct_guess_share_convergence": stratum.convergence.right,
        "correct_guess_share_bayes": stratum.bayes.right,
        "certain_share_bayes": stratum.bayes.certain,
        "certain_share_known_borders": stratum.convergence.certain,
        "expected_max_imbalance": stratum.largest.mean,
        "p_equal_stratum": alone.equal,
        "sd_stratum": alone.spread,
        "p_equal_trial": whole.equal,
        "sd_trial": whole.spread,
    }
    remark = remark_on(plan.source, plan.planned)
    return {
        "name": name_of(plan.source, plan.planned),
        "offered": not remark,
        "remark": remark,
        **{name: notes.value(name, estimate) for name, estimate in figures.items()},
        "longest_possible_run": stratum.longest_possible_run,
        "participants_per_arm": stratum.most and _most(plan, stratum, plan.strata)["participants"],
        **notes.closing(),
    }
