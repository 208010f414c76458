"""
The list, made offline: trial file in; sealed slots, signed commitment and sealed seed out.

    python -m randomization.generator --trial FILE --public-keys FILE --statistician-key FILE --out DIR

The unmasked statistician runs it on a machine of their own, away from the server. The format is
``irt-schedule/v1``: the same specification and seed give the same arms, salts, leaves, root and
commitment for ever. Envelopes and randomization numbers are fresh at every run, since they must not
follow from anything. What is written can be opened only by the code-break key (one slot at a time)
or by two of the three release officers (the seed); nothing plain stays on disk.

No Django.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from randomization.domain.blocks import SEED_BYTES
from randomization.domain.schedule import (
    Arms,
    Salts,
    Spec,
    commitment,
    generate_arms,
    slot_salts,
    spec_hash,
    spec_of,
)
from randomization.domain.sealed_list import Commitment, SealedSlot
from trialsite import protocol as protocols
from trialsite.audit import merkle, notes
from trialsite.audit.canonical import canonical
from trialsite.keyfiles import KeyFileError, read_key_file
from trialsite.sealing import PublicKey, PublicKeys, seal_pairwise, seal_slot, slot_leaf

# The files whose bytes decide what comes out, for the commitment's software hash.
SOFTWARE = (
    "randomization/domain/arms.py",
    "randomization/domain/blocks.py",
    "randomization/domain/drbg.py",
    "randomization/domain/schedule.py",
    "randomization/domain/sealed_list.py",
    "randomization/domain/strata.py",
    "randomization/generator.py",
    "trialsite/audit/canonical.py",
    "trialsite/audit/merkle.py",
    "trialsite/audit/notes.py",
    "trialsite/protocol.py",
    "trialsite/protocol_reader.py",
    "trialsite/protocol_rules.py",
    "trialsite/sealing.py",
)
NUMBER_RANGE = 10**6


@dataclasses.dataclass(frozen=True)
class SealedList:
    """The slots of all strata in order, and the root over their leaves."""

    root: bytes
    slots: tuple[SealedSlot, ...]


@dataclasses.dataclass(frozen=True)
class ListBundle:
    """What goes to the server: no arm, no seed and no block size can be read from it."""

    slots: tuple[SealedSlot, ...]
    commitment_note: str
    sealed_seed: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """
        Write slots.jsonl, commitment.note and seed.json; an existing file is never replaced.

        :raises FileExistsError: if one of them is there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            "slots.jsonl": "".join(f"{slot.to_line()}\n" for slot in self.slots),
            "commitment.note": self.commitment_note,
            "seed.json": json.dumps(self.sealed_seed, indent=2, sort_keys=True) + "\n",
        }
        for name in files:
            if (folder / name).exists():
                raise FileExistsError(f"{folder / name} exists already")
        for name, text in files.items():
            with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)


def draw_numbers(count: int, *, below: Callable[[int], int] = secrets.randbelow) -> list[str]:
    """
    Return ``count`` different randomization numbers, "R" and six digits, in random order.

    They follow from nothing: not from the arm, the stratum, the position or the seed.

    :raises ValueError: if ``count`` is more than a tenth of the numbers there are.
    """
    if count > NUMBER_RANGE // 10:
        raise ValueError("too many slots for randomization numbers of six digits")
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        drawn.setdefault(f"R{below(NUMBER_RANGE):06d}")
    return list(drawn)


def seal_list(
    spec: Spec, arms: Arms, salts: Salts, code_break: PublicKey, numbers: Sequence[str]
) -> SealedList:
    """
    Seal every slot to the code-break key, under the Merkle root over all of them (RFC 9162).

    :raises ValueError: if there are not as many numbers as slots.
    """
    places = [
        (stratum, slot, arm, salts[stratum][slot])
        for stratum in spec.strata
        for slot, arm in enumerate(arms[stratum])
    ]
    leaves = [
        merkle.leaf_hash(slot_leaf(study=spec.study, stratum=stratum, slot=slot, arm=arm, salt=salt))
        for stratum, slot, arm, salt in places
    ]
    root = merkle.root_of(leaves)
    # The delay keeps the bar away from a list that is sealed in a blink.
    progress = tqdm(places, desc="sealing slots", unit="slot", delay=1.0, file=sys.stderr)
    slots = tuple(
        SealedSlot(
            stratum=stratum,
            slot=slot,
            envelope=seal_slot(
                code_break, arm=arm, salt=salt, study=spec.study, stratum=stratum, slot=slot, root=root
            ),
            leaf=leaf,
            randomization_number=number,
        )
        for (stratum, slot, arm, salt), leaf, number in zip(progress, leaves, numbers, strict=True)
    )
    return SealedList(root=root, slots=slots)


def software_hash() -> bytes:
    """Return SHA-256 over the canonical JSON of path and SHA-256 of each file that makes the list."""
    top = Path(__file__).parents[1]
    digests = {path: hashlib.sha256((top / path).read_bytes()).hexdigest() for path in SOFTWARE}
    return hashlib.sha256(canonical(digests)).digest()


def seed_info(*, study: str, root: bytes) -> bytes:
    """Return what binds the officers' sealed seed to its list."""
    return b"irt/seed/v1|" + canonical({"study": study, "root": root.hex()})


def bundle_of(
    spec: Spec,
    arms: Arms,
    seed: bytes,
    *,
    public_keys: PublicKeys,
    statistician: notes.Signer,
    below: Callable[[int], int] = secrets.randbelow,
) -> ListBundle:
    """
    Seal ``arms`` and sign their commitment.

    ``arms`` are those of ``generate_arms``; a test of the masking exchanges them in between.
    """
    numbers = draw_numbers(sum(len(sequence) for sequence in arms.values()), below=below)
    sealed = seal_list(spec, arms, slot_salts(arms, seed), public_keys.code_break, numbers)
    published = Commitment(
        study=spec.study,
        root=sealed.root,
        commitment=commitment(spec.document(), seed),
        leaves=len(sealed.slots),
        software=software_hash(),
        spec=spec_hash(spec.document(), seed),
        trial=spec.trial,
    )
    blobs = seal_pairwise(seed, public_keys.release, info=seed_info(study=spec.study, root=sealed.root))
    return ListBundle(
        slots=sealed.slots,
        commitment_note=notes.sign_note(published.text, statistician),
        sealed_seed={
            "v": "irt-seed/1",
            "study": spec.study,
            "root": sealed.root.hex(),
            "officers": [officer.kid for officer in public_keys.release],
            "sealed": {pair: base64.b64encode(blob).decode() for pair, blob in blobs.items()},
        },
    )


def build_list(
    protocol: protocols.Protocol,
    seed: bytes,
    length: int | None = None,
    *,
    public_keys: PublicKeys,
    statistician: notes.Signer,
    below: Callable[[int], int] = secrets.randbelow,
) -> ListBundle:
    """
    Return the sealed list of a protocol, all steps at once.

    :raises ValueError: if the protocol has no design, or ``seed`` or ``length`` is wrong.
    """
    spec = spec_of(protocol, length=length)
    arms = generate_arms(spec, seed)
    return bundle_of(spec, arms, seed, public_keys=public_keys, statistician=statistician, below=below)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return 0, or 2 if an input is wrong or an output is there already."""
    options = _parser().parse_args(arguments)
    try:
        public_keys = PublicKeys.load(options.public_keys)
        seed = secrets.token_bytes(SEED_BYTES)
        bundle = build_list(
            protocols.load(options.trial),
            seed,
            options.length,
            public_keys=public_keys,
            statistician=_statistician(options.statistician_key, public_keys),
        )
        # First, so that a list whose seed was asked for and cannot be written is not made at all.
        if options.seed_out is not None:
            _write_seed(options.seed_out, seed)
        bundle.write(options.out)
    except (ValueError, OSError, KeyFileError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{len(bundle.slots)} slots sealed in {options.out}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m randomization.generator",
        description="Make the sealed list of a trial, offline. Run it away from the server.",
    )
    parser.add_argument("--trial", type=Path, required=True, help="the trial file (TOML)")
    parser.add_argument("--length", type=int, help="least slots of each stratum (default: the trial file's)")
    parser.add_argument(
        "--public-keys", type=Path, required=True, help="public keys of the deployment (JSON)"
    )
    parser.add_argument(
        "--statistician-key", type=Path, required=True, help="key file that signs (mode 0400)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the sealed list")
    parser.add_argument(
        "--seed-out",
        type=Path,
        help="EVALUATION ONLY: also write the plain seed, from which every arm follows, to this new file "
        "(mode 0400). A real trial never does: two of three officers open seed.json instead",
    )
    return parser


def _statistician(path: Path, public_keys: PublicKeys) -> notes.Signer:
    """Return the signer, if its key is the one that the deployment knows as the statistician's."""
    key = read_key_file(path)
    if key.alg != "ed25519":
        raise KeyFileError(f"{path}: not an ed25519 key.")
    known = notes.VerifierKey.parse(public_keys.statistician)
    signer = notes.SigningKey(known.name, key.secret)
    if signer.verifier != known:
        raise KeyFileError(f"{path}: not the statistician's key among the public keys.")
    return signer


def _write_seed(path: Path, seed: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(f"{seed.hex()}\n")


if __name__ == "__main__":
    raise SystemExit(main())
