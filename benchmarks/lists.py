"""The list, offline, by one core's time: its arms beside a plain shuffle, its seals beside bare HPKE."""

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
from trialsite.audit import notes
from trialsite.keyfiles import read_key_file
from trialsite.sealing import PublicKeys, seal

RATIOS = (
    Ratio("slots generated a second", "list/generate", "", goal=300_000),
    Ratio("generate / shuffle by secrets", "list/generate", "list/shuffle"),
    Ratio("slots sealed a second, the whole ceremony", "list/seal", "", goal=10_000),
    Ratio("seal / bare HPKE", "list/seal", "list/hpke"),
)


def cases(place: Place, *, slots: int, sealed: int) -> list[Case]:
    """
    Return the cases of a list of a hundred strata with ``slots`` slots in all.

    :param sealed: how many slots one round seals.
    """
    trial = protocol.load(place.evaluation.trial_file)
    strata = len(place.strata)
    long, short = (spec_of(trial, length=count // strata) for count in (slots, sealed))
    return [
        Case("list/generate", partial(_timed, partial(_generate, long))),
        Case("list/shuffle", partial(_timed, partial(_shuffle, trial.block_sizes, slots))),
        Case("list/seal", partial(_timed, partial(_seal, place, short))),
        Case("list/hpke", partial(_timed, partial(_hpke, place, sealed))),
    ]


def _timed(work: Callable[[], int]) -> Answers:
    """Return the processor time of each of the things that ``work`` says it made: one core's, all its own."""
    begin = time.process_time()
    made = work()
    elapsed = time.process_time() - begin
    return Answers(seconds=[elapsed / made] * made, elapsed=elapsed)


def _generate(spec: Spec) -> int:
    return sum(len(arms) for arms in generate_arms(spec, secrets.token_bytes(32)).values())


def _shuffle(blocks: Sequence[int], slots: int) -> int:
    """Make as many slots as a newcomer would: blocks of a random size, each shuffled."""
    randomness, arms = secrets.SystemRandom(), list[int]()
    while len(arms) < slots:
        block = [0, 1] * (randomness.choice(blocks) // 2)
        randomness.shuffle(block)
        arms += block
    return len(arms)


def _seal(place: Place, spec: Spec) -> int:
    """Make the whole list as the statistician does, but for writing its lines to a file."""
    keys = PublicKeys.load(place.evaluation.public_keys)
    name = notes.VerifierKey.parse(keys.statistician).name
    secret = read_key_file(place.evaluation.offline / "statistician-1.key").secret
    seed, lines = secrets.token_bytes(32), list[bytes]()
    ceremony = Ceremony(
        spec=spec,
        arms=Schedule(spec, seed),
        seed=seed,
        public_keys=keys,
        statistician=notes.SigningKey(name, secret),
    )
    ceremony.seal(lines.append)
    return len(lines)


def _hpke(place: Place, count: int) -> int:
    key = PublicKeys.load(place.evaluation.public_keys).code_break
    for _ in range(count):
        seal(key, b"\0" * 48, info=b"irt/benchmark")
    return count
