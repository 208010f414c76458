"""Which program made the list: one hash over every source file of ours that the generator runs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from trialsite.audit.canonical import canonical

SOFTWARE = (
    "randomization/ceremony/beacons.py",
    "randomization/ceremony/checking.py",
    "randomization/ceremony/extending.py",
    "randomization/ceremony/folder.py",
    "randomization/ceremony/making.py",
    "randomization/ceremony/papers.py",
    "randomization/ceremony/process.py",
    "randomization/ceremony/software.py",
    "randomization/domain/beacon.py",
    "randomization/domain/blocks.py",
    "randomization/domain/designs.py",
    "randomization/domain/drbg.py",
    "randomization/domain/imported_list.py",
    "randomization/domain/numbers.py",
    "randomization/domain/schedule.py",
    "randomization/domain/sealed_list.py",
    "randomization/domain/strata.py",
    "randomization/generator.py",
    "trialsite/audit/canonical.py",
    "trialsite/audit/merkle.py",
    "trialsite/audit/notes.py",
    "trialsite/audit/strict_json.py",
    "trialsite/keyfiles.py",
    "trialsite/protocol.py",
    "trialsite/protocol_caps.py",
    "trialsite/protocol_reader.py",
    "trialsite/protocol_rules.py",
    "trialsite/protocol_screening.py",
    "trialsite/sealing.py",
)


def software_hash() -> bytes:
    """Return SHA-256 over the canonical JSON of path and SHA-256 of each file that makes the list."""
    top = Path(__file__).parents[2]
    digests = {path: hashlib.sha256((top / path).read_bytes()).hexdigest() for path in SOFTWARE}
    return hashlib.sha256(canonical(digests)).digest()
