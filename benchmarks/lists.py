"""The list, offline and on one processor: its arms beside a plain shuffle, its seals beside bare HPKE."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.load import Answers
from benchmarks.place import Place
from benchmarks.run import Case, Ratio
from randomization.ceremony.making import Ceremony
from randomization.domain.schedule import Schedule, Spec, generate_arms, spec_of
from trialsite import protocol
from trialsite.audit.notes import SigningKey
from trialsite.sealing import PublicKeys, seal

RATIOS = (
    Ratio("slots generated a second", "list/generate", "", goal=300_000),
    Ratio("generate / shuffle by secrets", "list/generate", "list/shuffle"),
    Ratio("slots sealed a second", "list/seal", "", goal=10_000),
    Ratio("seal / bare HPKE", "list/seal", "list/hpke"),
)


def cases(place: Place, *, slots: int, sealed: int) -> list[Case]:
    """
    Return the cases of a list of a hundred strata with ``slots`` slots in all.

    :param sealed: how many slots one round seals.
    """
    trial = protocol.load(place.evaluation.trial_file)
    keys = PublicKeys.load(place.evaluation.public_keys)
    strata = len(place.strata)
    spec = spec_of(trial, length=slots // strata)
    return [
        Case("list/generate", partial(_timed, partial(_generate, spec))),
        Case("list/shuffle", partial(_timed, partial(_shuffle, trial.block_sizes, slots))),
        Case("list/seal", partial(_timed, partial(_seal, spec_of(trial, length=sealed // strata), keys))),
        Case("list/hpke", partial(_timed, partial(_hpke, keys, sealed))),
    ]


def _timed(work: Callable[[], int]) -> Answers:
    """Return the time of each of the things that ``work`` says it made."""
    begin = time.perf_counter()
    made = work()
    elapsed = time.perf_counter() - begin
    return Answers(seconds=[elapsed / made] * made, elapsed=elapsed)


def _generate(spec: Spec) -> int:
    return sum(len(arms) for arms in generate_arms(spec, secrets.token_bytes(32)).values())


def _shuffle(blocks: Sequence[int], slots: int) -> int:
    """Make as many slots as a newcomer would: a block of a random size, shuffled."""
    randomness, arms = secrets.SystemRandom(), list[int]()
    while len(arms) < slots:
        block = [0, 1] * (randomness.choice(blocks) // 2)
        randomness.shuffle(block)
        arms += block
    return len(arms)


def _seal(spec: Spec, keys: PublicKeys) -> int:
    """Make a list whole: both passes, numbers and lines."""
    seed, signer = secrets.token_bytes(32), SigningKey("benchmark", secrets.token_bytes(32))
    ceremony = Ceremony(
        spec=spec, arms=Schedule(spec, seed), seed=seed, public_keys=keys, statistician=signer
    )
    lines: list[bytes] = []
    ceremony.seal(lines.append)
    return len(lines)


def _hpke(keys: PublicKeys, count: int) -> int:
    for _ in range(count):
        seal(keys.code_break, b"\0" * 48, info=b"irt/benchmark")
    return count
