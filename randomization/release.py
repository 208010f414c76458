"""
After the lock: two of three release officers bring out what makes the list. Offline, at their own desks.

    python -m randomization.release begin  --list DIR --key release-3.key --with release-1 --out half.json
    python -m randomization.release finish --list DIR --key release-1.key --half half.json --out revealed.json
    python -m randomization.release prove  --revealed revealed.json --stratum CODE --slot N --out proof.json

The first officer takes one seal off; what is handed over is still sealed to the second, who takes off the
other and checks what comes out against the commitment that the statistician signed. ``prove`` shows one
slot and no other. docs/ceremony.md is how it goes. No Django, no server.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from randomization.ceremony.folder import SEED, as_text, read_json, read_note, write_new
from randomization.ceremony.papers import SEED_TITLE, reveal_key, reveal_place, seed_info
from randomization.ceremony.process import INTERRUPTED, guarded
from randomization.ceremony.proofs import NotTheList, Revealed, read_arms
from randomization.domain.schedule import Spec
from randomization.domain.sealed_list import Commitment
from trialsite.audit import notes
from trialsite.keyfiles import KeyFileError
from trialsite.opening import FileKeys, OpeningFailed, open_pairwise_inner, open_pairwise_outer, unpadded
from trialsite.sealing import NONCE_BYTES, PublicKeys

HALF_TITLE = "irt-half-opened/1"


class ReleaseRefused(ValueError):
    """A key, a pair or a file is not the one that this step needs."""


def begin(sealed: Mapping[str, Any], keys: FileKeys, *, partner: str) -> dict[str, Any]:
    """
    Take the outer seal off the seed; what comes out is still sealed to the other officer.

    :param sealed: ``seed.json``.
    :param keys: the one key of the officer who begins.
    :param partner: key id of the officer who will finish.
    :raises ReleaseRefused: if the two are no pair of this list, or stand in the other order.
    :raises trialsite.opening.OpeningFailed: if the key is not the one that the seed was sealed to.
    """
    (own,) = keys.kids
    officers = _officers(sealed)
    if own not in officers or partner not in officers or own == partner:
        raise ReleaseRefused(
            f"{own} and {partner} are no pair of this list's officers, {', '.join(officers)}"
        )
    first, second = sorted((officers.index(own), officers.index(partner)))
    if officers[second] != own:
        raise ReleaseRefused(
            f"of this pair {partner} begins and {own} finishes: the outer seal is {partner}'s"
        )
    pair = f"{first + 1}+{second + 1}"
    inner = open_pairwise_outer(_blob(sealed["sealed"], pair), (keys, own), _info(sealed))
    return {
        "v": HALF_TITLE,
        "study": sealed["study"],
        "root": sealed["root"],
        "pair": pair,
        "by": own,
        "for": partner,
        "half": base64.b64encode(inner).decode(),
    }


def finish(
    sealed: Mapping[str, Any], half: Mapping[str, Any], keys: FileKeys, *, signed: Commitment
) -> Revealed:
    """
    Take the inner seal off, and return seed and specification once they are what was ``signed``.

    :param half: what ``begin`` returned.
    :raises ReleaseRefused: if the half is of another list or for another officer.
    :raises NotTheList: if what comes out is not what was signed.
    :raises trialsite.opening.OpeningFailed: if the key is not the one that the half is sealed to.
    """
    (own,) = keys.kids
    _officers(sealed)
    if half.get("v") != HALF_TITLE:
        raise ReleaseRefused(f"this is not {HALF_TITLE}")
    if (half.get("study"), half.get("root")) != (sealed["study"], sealed["root"]):
        raise ReleaseRefused("the half-opened seed is of another list")
    if half.get("for") != own:
        raise ReleaseRefused(f"the half-opened seed is for {half.get('for')}, not for {own}")
    seed = open_pairwise_inner(_blob(half, "half"), (keys, own), _info(sealed))
    revealed = _revealed(sealed, seed)
    revealed.check(signed)
    return revealed


def _revealed(sealed: Mapping[str, Any], seed: bytes) -> Revealed:
    """Open what lies under the seed."""
    root = bytes.fromhex(sealed["root"])
    content = _blob(sealed, "revealed")
    nonce, ciphertext = content[:NONCE_BYTES], content[NONCE_BYTES:]
    place = reveal_place(study=sealed["study"], root=root)
    try:
        document = unpadded(AESGCM(reveal_key(seed, root=root)).decrypt(nonce, ciphertext, place))
    except (InvalidTag, ValueError):
        raise NotTheList("the specification does not open with this seed") from None
    seed0 = document.get("seed0")
    return Revealed(
        study=sealed["study"],
        root=root,
        seed=seed,
        spec=Spec.read(document["spec"]),
        arms=read_arms(document.get("arms")),
        seed0=None if seed0 is None else bytes.fromhex(seed0),
    )


def _officers(sealed: Mapping[str, Any]) -> list[str]:
    officers = sealed.get("officers")
    texts = (sealed.get("study"), sealed.get("root"))
    if (
        sealed.get("v") != SEED_TITLE
        or not isinstance(officers, list)
        or not isinstance(sealed.get("sealed"), dict)
    ):
        raise ReleaseRefused(f"this is not {SEED_TITLE}")
    if not all(isinstance(text, str) for text in (*officers, *texts)):
        raise ReleaseRefused(f"this is not {SEED_TITLE}")
    return officers


def _info(sealed: Mapping[str, Any]) -> bytes:
    try:
        return seed_info(study=sealed["study"], root=bytes.fromhex(sealed["root"]))
    except ValueError:
        raise ReleaseRefused("the root is malformed") from None


def _blob(holder: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(holder[name], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise ReleaseRefused(f"{name!r} is missing or malformed") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return 0, or 2 if a step is refused or interrupted."""
    options = _parser().parse_args(arguments)
    try:
        with guarded():
            options.step(options)
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED)
        return 2
    except (ValueError, OSError, KeyFileError, OpeningFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{options.out} written\n")
    return 0


def _begin(options: argparse.Namespace) -> None:
    half = begin(read_json(options.list / SEED), FileKeys([options.key]), partner=options.partner)
    write_new(options.out, as_text(half), mode=0o600)


def _finish(options: argparse.Namespace) -> None:
    known = [notes.VerifierKey.parse(PublicKeys.load(options.public_keys).statistician)]
    signed = Commitment.parse(notes.open_note(read_note(options.list), known).text)
    sealed, half = read_json(options.list / SEED), read_json(options.half)
    revealed = finish(sealed, half, FileKeys([options.key]), signed=signed)
    write_new(options.out, as_text(revealed.document()), mode=0o600)


def _prove(options: argparse.Namespace) -> None:
    revealed = Revealed.read(read_json(options.revealed))
    write_new(options.out, as_text(revealed.proof(options.stratum, options.slot)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m randomization.release",
        description="Bring out, by two of three officers, what makes the list; or prove one slot of it.",
        epilog="How it goes is in docs/ceremony.md.",
    )
    steps = parser.add_subparsers(required=True)
    first = steps.add_parser("begin", help="take the outer seal off the seed: the pair's later officer")
    second = steps.add_parser("finish", help="take the inner seal off, check, and bring out revealed.json")
    for step in (first, second):
        step.add_argument("--list", type=Path, required=True, help="the list's folder")
        step.add_argument("--key", type=Path, required=True, help="your own key file (mode 0400)")
    first.add_argument("--with", dest="partner", required=True, metavar="KEY-ID", help="who will finish")
    first.set_defaults(step=_begin)
    second.add_argument("--half", type=Path, required=True, help="what the other officer handed over")
    second.add_argument(
        "--public-keys", type=Path, required=True, help="public keys of the deployment (JSON)"
    )
    second.set_defaults(step=_finish)
    prove = steps.add_parser("prove", help="show one slot and no other")
    prove.add_argument("--revealed", type=Path, required=True, help="what the officers brought out")
    prove.add_argument("--stratum", required=True, metavar="CODE", help="code of the stratum")
    prove.add_argument("--slot", type=int, required=True, help="its position, from 0")
    prove.set_defaults(step=_prove)
    for step in (first, second, prove):
        step.add_argument("--out", type=Path, required=True, help="new file to write")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
