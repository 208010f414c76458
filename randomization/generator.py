"""
The list, made offline: trial file in; sealed slots, signed commitment and sealed seed out.

    python -m randomization.generator --trial FILE --public-keys FILE --statistician-key FILE --out DIR
    python -m randomization.generator --check DIR --statistician VKEY

The unmasked statistician runs it on a machine of their own, away from the server; docs/ceremony.md is
how. The format is ``irt-schedule/v1``: the same specification and seed give the same arms, salts,
leaves, root and commitment for ever. Envelopes and randomization numbers are fresh at every run, since
they must not follow from anything. What is written can be opened only by the code-break key (one slot
at a time), the pharmacy's key (a site's reserved list) or two of the three release officers (the seed);
nothing plain stays on disk.

No Django.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from randomization.ceremony.beacons import ask_for_round, giving_up
from randomization.ceremony.checking import check_list
from randomization.ceremony.extending import Before, first_of, first_slots, lists_before
from randomization.ceremony.folder import refuse_existing, write_new
from randomization.ceremony.making import Ceremony, ListBundle, make_bundle, make_folder
from randomization.ceremony.process import INTERRUPTED, guarded
from randomization.domain.blocks import SEED_BYTES
from randomization.domain.imported_list import read_list
from randomization.domain.schedule import Arms, Schedule, Spec, spec_of
from randomization.domain.sealed_list import Commitment
from trialsite import protocol as protocols
from trialsite.audit import notes
from trialsite.keyfiles import KeyFileError, read_key_file
from trialsite.sealing import PublicKeys

STANDARD_INPUT = "-"
MOST_SLOTS = 10**7


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
    Seal ``arms`` and sign their commitment, all in memory.

    ``arms`` are those of ``generate_arms``; a test of the masking exchanges them in between.
    """
    ceremony = Ceremony(
        spec=spec, arms=arms, seed=seed, public_keys=public_keys, statistician=statistician, below=below
    )
    return make_bundle(ceremony)


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
    arms = Schedule(spec, seed)
    return bundle_of(spec, arms, seed, public_keys=public_keys, statistician=statistician, below=below)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return 0, 1 if a checked list does not hold, or 2 if nothing is written."""
    options = _parser().parse_args(arguments)
    try:
        with guarded():
            return _run(options)
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED)
        return 2
    except (ValueError, OSError, KeyFileError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _run(options: argparse.Namespace) -> int:
    if options.check is not None:
        return check_list(options.check, statistician=_known_statistician(options), say=sys.stdout.write)
    _require(options, "trial", "public_keys", "statistician_key", "out")
    refuse_existing(options.out)
    ceremony = _ceremony(options)
    with giving_up(ceremony.beacon.c0 if ceremony.beacon else None):
        made = _make(ceremony, options.out, seed_out=options.seed_out)
    sys.stdout.write(f"{made.leaves} slots sealed in {options.out}\nroot {made.root.hex()}\n")
    return 0


def _make(ceremony: Ceremony, out: Path, *, seed_out: Path | None) -> Commitment:
    if seed_out is None:
        return make_folder(ceremony, out)
    sys.stderr.write(f"Warning: {seed_out} tells every arm, being the plain seed: for evaluations only.\n")
    # First, so that a list whose seed was asked for and cannot be written is not made at all.
    write_new(seed_out, f"{ceremony.seed.hex()}\n", mode=0o400)
    try:
        return make_folder(ceremony, out)
    except BaseException:
        seed_out.unlink()
        raise


def _ceremony(options: argparse.Namespace) -> Ceremony:
    """
    Return what is to be sealed; the seed is drawn here and nowhere else.

    :raises ValueError: if an input is wrong or two of them contradict.
    """
    if options.from_csv == STANDARD_INPUT and options.beacon_round and options.beacon_signature is None:
        raise ValueError("standard input cannot be both the list and the beacon's signature")
    public_keys = PublicKeys.load(options.public_keys)
    statistician = _statistician(options.statistician_key, public_keys)
    protocol = protocols.load(options.trial)
    before = _before(options, protocol, statistician.verifier)
    said = first_slots(options.first_slots or ())
    spec = spec_of(
        protocol,
        length=options.length,
        strata=options.strata,
        # An extension adds to a site's reserved list only if that is asked for.
        sites=[] if options.sites is None and before else options.sites,
        first=first_of(before, said) if before else {},
        imported=options.from_csv is not None,
    )
    if not said.keys() <= set(spec.every_stratum):
        raise ValueError("--first-slots names a stratum that is not made")
    _check_length(options, protocol, spec)
    imported = _imported(options, protocol, spec)
    seed0 = secrets.token_bytes(SEED_BYTES)
    beacon = ask_for_round(seed0, options.beacon_round, options.beacon_signature)
    seed = beacon.mix(seed0) if beacon else seed0
    return Ceremony(
        spec=spec,
        arms=Schedule(spec, seed) if imported is None else imported,
        seed=seed,
        public_keys=public_keys,
        statistician=statistician,
        beacon=beacon,
        seed0=seed0 if beacon else None,
        extends=before.root if before else None,
        taken=before.numbers if before else (),
        digits=before.digits if before else None,
    )


def _before(
    options: argparse.Namespace, protocol: protocols.Protocol, statistician: notes.VerifierKey
) -> Before | None:
    if not options.extends:
        if options.first_slots:
            raise ValueError("--first-slots is for an extension: name the lists so far with --extends")
        return None
    adding = (options.length or protocol.list_length or 0) * max(1, len(options.strata or ()))
    return lists_before(options.extends, statistician=statistician, adding=adding, study=protocol.protocol)


def _check_length(options: argparse.Namespace, protocol: protocols.Protocol, spec: Spec) -> None:
    if sum(spec.length_of(stratum) or 0 for stratum in spec.every_stratum) > MOST_SLOTS:
        raise ValueError(f"length: a list has at most {MOST_SLOTS} slots in all")
    usual = protocol.list_length or 0
    if options.length and options.length < usual and not options.extends:
        sys.stderr.write(
            f"Warning: --length {options.length} is below the trial file's list_length, {usual}\n"
        )


def _imported(options: argparse.Namespace, protocol: protocols.Protocol, spec: Spec) -> Arms | None:
    if options.from_csv is None:
        return None
    source: str = options.from_csv
    content = sys.stdin.buffer.read() if source == STANDARD_INPUT else Path(source).read_bytes()
    if source != STANDARD_INPUT:
        sys.stderr.write(f"{source} holds every arm in plain: destroy it, and every copy of it.\n")
    length = options.length or protocol.list_length or 1
    return read_list(content, protocol=protocol, spec=spec, length=length)


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


def _known_statistician(options: argparse.Namespace) -> notes.VerifierKey:
    """Return whose signature a list is checked for: a key's text, or that of the public keys."""
    if options.statistician is None:
        _require(options, "public_keys")
        return notes.VerifierKey.parse(PublicKeys.load(options.public_keys).statistician)
    return notes.VerifierKey.parse(options.statistician)


def _require(options: argparse.Namespace, *names: str) -> None:
    missing = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is None]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m randomization.generator",
        description="Make the sealed list of a trial, offline. Run it away from the server.",
        epilog="How a ceremony goes is in docs/ceremony.md.",
    )
    add = parser.add_argument
    add("--trial", type=Path, help="the trial file (TOML)")
    add("--public-keys", type=Path, help="public keys of the deployment (JSON)")
    add("--statistician-key", type=Path, help="key file that signs (mode 0400)")
    add("--out", type=Path, help="new folder for the sealed list")
    add("--length", type=int, help="least slots of each stratum (default: the trial file's)")
    add("--strata", nargs="*", metavar="CODE", help="the strata to make (default: all of the trial file)")
    add(
        "--sites",
        nargs="*",
        metavar="SITE",
        help="the sites to reserve an emergency list for (default: all, in an extension none)",
    )
    made = parser.add_argument_group("a list made elsewhere")
    made.add_argument("--from-csv", metavar="FILE", help="seal this list; - is standard input")
    _add_extension(parser.add_argument_group("an extension of a list"))
    _add_beacon(parser.add_argument_group("a public beacon mixed into the seed (drand quicknet)"))
    check = parser.add_argument_group("checking a list without any secret")
    check.add_argument("--check", type=Path, metavar="DIR", help="check this list and make none")
    check.add_argument("--statistician", metavar="VKEY", help="who must have signed (or --public-keys)")
    parser.add_argument_group("evaluation only").add_argument(
        "--seed-out",
        type=Path,
        help="also write the plain seed, from which every arm follows, to this new file (mode 0400). "
        "A real trial never does: two of three officers open seed.json instead",
    )
    return parser


def _add_extension(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--extends",
        nargs="+",
        type=Path,
        metavar="LIST",
        help="all lists so far, oldest first: their folders, or their commitment.note with --first-slots",
    )
    group.add_argument(
        "--first-slots",
        nargs="+",
        metavar="CODE=POSITION",
        help="where the slots of a stratum go on; or a file with a JSON object of them",
    )


def _add_beacon(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--beacon-round", type=int, metavar="N", help="a round that is not yet out")
    group.add_argument(
        "--beacon-signature",
        metavar="HEX",
        help="its signature, in a rehearsal; else it is waited for on standard input",
    )


if __name__ == "__main__":
    raise SystemExit(main())
