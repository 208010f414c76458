"""
The auditor's reader: ``python -m trialsite.audit.read BUNDLE --key FILE [--public-keys FILE]``.

Run offline by whoever holds the key: the auditor or the safety desk. It prints one JSON object for
each event, in order: clear events as they are, and under ``opened`` the body of each sealed event
that has a wrap for the key (null where it has none). The verdict goes to standard error.

Exit code 0: every wrap for the key opened. 1: one did not, or with ``--public-keys`` the auditor was
left out of a sealed event. 2: the bundle or the key cannot be read. Whether the trail itself holds is
the verifier's to say: run ``trialsite.audit.verify`` first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from trialsite.audit.bundle import Bundle, Unreadable
from trialsite.audit.findings import Report
from trialsite.audit.strict_json import NotCanonical, parse
from trialsite.keyfiles import KeyFileError
from trialsite.opening import FileKeys, Keys, OpeningFailed, open_body
from trialsite.sealing import PublicKeys, PublicKeysError


@dataclass(frozen=True)
class Reader:
    """Whose eyes read: a key, and whether every sealed event must have a wrap for it."""

    keys: Keys
    kid: str
    must_be_named: bool = False


def load_reader(key_path: Path, public_keys_path: Path | None) -> Reader:
    """
    Load the reader's key.

    :raises Unreadable: if the key is refused, or is not one that the deployment seals events to.
    """
    try:
        keys = FileKeys([key_path])
        (kid,) = keys.kids
        if public_keys_path is None:
            return Reader(keys, kid)
        known = PublicKeys.load(public_keys_path)
        if keys.public(kid) not in (known.auditor.raw, known.safety_desk.raw):
            raise Unreadable(f"{key_path}: neither the auditor's nor the safety desk's key")
        return Reader(keys, kid, must_be_named=keys.public(kid) == known.auditor.raw)
    except (KeyFileError, PublicKeysError) as error:
        raise Unreadable(str(error)) from None


def read(bundle_path: Path, reader: Reader, report: Report) -> Iterator[dict[str, Any]]:
    """
    Yield each event with its position under ``seq`` and, where it is sealed, its body under ``opened``.

    :raises Unreadable: if the bundle cannot be read, or an event in it.
    """
    with Bundle(bundle_path) as bundle:
        for line in bundle.entries():
            try:
                event = parse(line.body)
            except NotCanonical as error:
                report.violation(f"event {line.seq}", str(error))
                continue
            if not isinstance(event, dict):
                report.violation(f"event {line.seq}", "not an event")
                continue
            yield {"seq": line.seq, **_opened(event, f"event {line.seq}", reader, report)}


def _opened(event: dict[str, Any], where: str, reader: Reader, report: Report) -> dict[str, Any]:
    """Return the event with its sealed part, if it has one, replaced by what that says."""
    data = event.get("data")
    holder = data if isinstance(data, dict) and "sealed" in data else event
    if "sealed" not in holder:
        return event
    rest = {name: value for name, value in event.items() if name not in ("sealed", "data")}
    if holder is data:
        rest["data"] = {name: value for name, value in data.items() if name != "sealed"}
    try:
        return {**rest, "opened": _open(holder, reader)}
    except OpeningFailed as error:
        report.violation(where, str(error))
        return {**rest, "opened": None, "failed": str(error)}


def _open(holder: Mapping[str, Any], reader: Reader) -> dict[str, Any] | None:
    envelope = holder["sealed"]
    wraps = envelope.get("w") if isinstance(envelope, dict) else None
    if not isinstance(wraps, dict):
        raise OpeningFailed("The sealed body is malformed.")
    if reader.kid not in wraps:
        if reader.must_be_named:
            raise OpeningFailed("The sealed body leaves the auditor out.")
        return None
    try:
        event_id = UUID(holder["id"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise OpeningFailed("The event does not say which sealed body is its own.") from None
    return open_body(reader.keys, reader.kid, envelope, event_id=event_id)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trialsite.audit.read", description="Read a trail.")
    parser.add_argument("bundle", type=Path, help="the exported bundle (zip)")
    parser.add_argument("--key", type=Path, required=True, help="the reader's key file (mode 0400)")
    parser.add_argument("--public-keys", type=Path, help="the deployment's public keys (JSON)")
    options = parser.parse_args(arguments)
    report = Report(sys.stderr.write)
    try:
        with report.going_on():
            reader = load_reader(options.key, options.public_keys)
            for event in read(options.bundle, reader, report):
                sys.stdout.write(json.dumps(event) + "\n")
    except Exception as error:  # as in the verifier: a verdict for every shape of garbage
        report.cannot_read(type(error).__name__)
    return report.verdict()


if __name__ == "__main__":
    raise SystemExit(main())
