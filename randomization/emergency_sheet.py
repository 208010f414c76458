"""
Print a site's emergency list, offline: sealed file in, cover sheet, ledger and envelopes out (PDF).

    python -m randomization.emergency_sheet --key emergency-1.key --sealed list/emergency/SITE.json \\
        --commitment list/commitment.note --statistician KEY --slots list/slots.jsonl --out envelopes.pdf

The site's unmasked pharmacy runs it, on a machine that nobody masked can use, before the first
participant. The file tells every arm of the list: print it, and delete it. What is checked: the file
opens with this key for this study, site and root and no other; the statistician signed that root and
those slots; each row has its slot's number, and arm and salt that make its leaf. Sealing needs no more
than a public key, so without this comparison the arms may be anybody's: ``--unchecked`` prints them all
the same.

No Django.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from randomization.ceremony.papers import EMERGENCY_TITLE, emergency_info
from randomization.domain.sealed_list import (
    RANDOMIZATION_NUMBER,
    Commitment,
    SealedListInvalid,
    SealedSlot,
)
from randomization.domain.strata import emergency_stratum
from randomization.emergency_paper import Row, SiteList, emergency_sheets
from trialsite.audit import merkle, notes
from trialsite.audit.canonical import loads
from trialsite.keyfiles import KeyFileError
from trialsite.opening import FileKeys, OpeningFailed, unpadded
from trialsite.protocol_rules import ARM_CODES
from trialsite.sealing import slot_leaf

_MEMBERS = {"v", "study", "site", "stratum", "root", "kid", "sealed"}
_SALT = re.compile(r"[0-9a-f]{64}")


class ListRefused(ValueError):
    """The sealed file is not a site's emergency list, or not the one it should be."""


def open_list(sealed: bytes, keys: FileKeys) -> SiteList:
    """
    Open one ``emergency/SITE.json`` with the key ``emergency`` of the unmasked pharmacy.

    :raises ListRefused: if it is no such file, or its rows are not those of a list.
    :raises trialsite.opening.OpeningFailed: if it does not open with this key at this place, or what
        was sealed is no padded document.
    """
    try:
        claims = loads(sealed)
    except (ValueError, RecursionError) as error:
        raise ListRefused(f"the sealed file is no JSON: {error}") from None
    if not isinstance(claims, dict) or claims.keys() != _MEMBERS or claims["v"] != EMERGENCY_TITLE:
        raise ListRefused(f"the sealed file is not {EMERGENCY_TITLE}")
    if not all(isinstance(value, str) for value in claims.values()):
        raise ListRefused("a member of the sealed file is no text")
    study, site, root = claims["study"], claims["site"], claims["root"]
    if claims["stratum"] != emergency_stratum(site):
        raise ListRefused(f"{claims['stratum']} is not the emergency list of {site}")
    try:
        ciphertext = base64.b64decode(claims["sealed"], validate=True)
        info = emergency_info(study=study, site=site, root=bytes.fromhex(root))
    except ValueError:
        raise ListRefused("the root is no hex or the sealed rows are no base64") from None
    opened = keys.open(claims["kid"], ciphertext, info)
    return SiteList(study=study, site=site, root=root, rows=_rows(opened))


def _rows(padded: bytes) -> list[Row]:
    document = unpadded(padded)
    if document.keys() != {"rows"} or not isinstance(document["rows"], list):
        raise ListRefused("what was sealed are no rows")
    rows = [_row(value) for value in document["rows"]]
    first = rows[0].slot if rows else 0
    if not rows or [row.slot for row in rows] != list(range(first, first + len(rows))):
        raise ListRefused("the rows do not follow one another")
    if len({row.randomization_number for row in rows}) != len(rows):
        raise ListRefused("a randomization number comes twice")
    return rows


def _row(value: Any) -> Row:
    match value:
        case [int(slot), str(number), str(arm), str(treatment), str(salt)] if (
            type(slot) is int
            and slot >= 0
            and RANDOMIZATION_NUMBER.fullmatch(number)
            and arm in [*ARM_CODES]
            and treatment
            and _SALT.fullmatch(salt)
        ):
            secret = bytes.fromhex(salt)
            return Row(slot=slot, randomization_number=number, arm=arm, treatment=treatment, salt=secret)
    # Not quoted: it may hold an arm.
    raise ListRefused("a row is not [slot, randomization number, arm, treatment, salt]")


def check_commitment(opened: SiteList, note: str, statistician: str) -> Commitment:
    """
    Check that the list is the one that the statistician signed for; return what was signed.

    :param statistician: the statistician's verifier key (vkey text).
    :raises ListRefused: if the note is not signed by that key, or is of another study or list.
    """
    try:
        signed = Commitment.parse(notes.open_note(note, [notes.VerifierKey.parse(statistician)]).text)
    except (notes.NoteInvalid, SealedListInvalid) as error:
        raise ListRefused(f"the commitment is not one that this key signed: {error}") from None
    if (signed.study, signed.root.hex()) != (opened.study, opened.root):
        raise ListRefused("the sealed file is of another list than the commitment")
    return signed


def check_slots(opened: SiteList, lines: Iterable[str]) -> None:
    """
    Check every row against ``slots.jsonl``: slot and number, and the leaf that arm and salt make.

    :raises ListRefused: if one differs; the arm is not told.
    """
    stratum = emergency_stratum(opened.site)
    try:
        listed = [slot for slot in map(SealedSlot.from_line, lines) if slot.stratum == stratum]
    except SealedListInvalid as error:
        raise ListRefused(f"slots.jsonl: {error}") from None
    known = [(slot.slot, slot.randomization_number) for slot in listed]
    if known != [(row.slot, row.randomization_number) for row in opened.rows]:
        raise ListRefused("the numbers are not those of slots.jsonl")
    for row, slot in zip(opened.rows, listed, strict=True):
        arm = ARM_CODES.index(row.arm)
        leaf = slot_leaf(study=opened.study, stratum=stratum, slot=row.slot, arm=arm, salt=row.salt)
        if merkle.leaf_hash(leaf) != slot.leaf:
            raise ListRefused(
                f"envelope {row.envelope}, {row.randomization_number}: its arm is not the one signed for"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return 0, or 2 if an input is wrong or the output is there already."""
    parser = _parser()
    options = parser.parse_args(arguments)
    proofs = [options.commitment, options.statistician, options.slots]
    if any(proofs) if options.unchecked else not all(proofs):
        parser.error("give --commitment, --statistician and --slots, or --unchecked and none of them")
    try:
        opened = open_list(options.sealed.read_bytes(), FileKeys([options.key]))
        if not options.unchecked:
            _check(opened, options)
        _write(options.out, emergency_sheets(opened))
    except (ValueError, OSError, KeyFileError, OpeningFailed) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    checked = "NOT compared: the arms are not proved" if options.unchecked else "every arm signed for"
    sys.stderr.write(f"{len(opened.rows)} envelopes of {opened.site}; root {opened.root}, {checked}\n")
    return 0


def _check(opened: SiteList, options: argparse.Namespace) -> None:
    signed = check_commitment(opened, options.commitment.read_text(encoding="utf-8"), options.statistician)
    content = options.slots.read_bytes()
    if hashlib.sha256(content).digest() != signed.slots:
        raise ListRefused("slots.jsonl is not the file that was signed for")
    check_slots(opened, content.decode().splitlines())


def _write(out: str, pdf: bytes) -> None:
    if out == "-":
        sys.stdout.buffer.write(pdf)
        return
    # Never over another file, and readable by nobody else: it tells every arm of the list.
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(pdf)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m randomization.emergency_sheet",
        description="Print the emergency envelopes of a site, offline. Unmasked pharmacy only.",
    )
    parser.add_argument("--key", type=Path, required=True, help="the pharmacy's key emergency-1 (mode 0400)")
    parser.add_argument("--sealed", type=Path, required=True, help="emergency/SITE.json of the list")
    parser.add_argument("--commitment", type=Path, help="the list's commitment.note, as published")
    parser.add_argument("--statistician", help="the statistician's verifier key (of public_keys.json)")
    parser.add_argument("--slots", type=Path, help="the list's slots.jsonl, to compare every row")
    parser.add_argument("--unchecked", action="store_true", help="print without proof that the arms are true")
    parser.add_argument("--out", required=True, help="a new PDF file, or - for standard output")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
