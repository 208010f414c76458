"""
The evaluation's own copy of the trial file, without caps.

Its command says how many can be enrolled in any one stratum, and a cap of the trial file would stop
that earlier. The copy is what everything is made from, so generator and server agree on its hash.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from trialsite import protocol as protocols

_TABLE = re.compile(r"\s*\[")
_CAPS = re.compile(r"\s*\[\s*caps\s*[\].]")


def write_without_caps(source: Path, target: Path) -> None:
    """
    Write the trial file of ``source`` without its table ``[caps]``, and nothing else changed.

    :raises trialsite.protocol.ProtocolError: if the file is wrong, or its caps are written another way.
    :raises OSError: if a file cannot be read or written.
    """
    kept, inside = [], False
    for line in source.read_text(encoding="utf-8").splitlines(keepends=True):
        if _TABLE.match(line):
            inside = _CAPS.match(line) is not None
        if not inside:
            kept.append(line)
    text = "".join(kept)
    if protocols.load(text.encode()) != dataclasses.replace(protocols.load(source), caps=None):
        raise protocols.ProtocolError("caps", "must be a table [caps] for an evaluation to lift it")
    target.touch(mode=0o600)  # it names the block sizes
    target.write_text(text, encoding="utf-8")
