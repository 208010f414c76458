"""What one play let the masked roles see, and where two plays differ."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

_LINES = 12


class Seen(NamedTuple):
    """Something that reached a masked role: who asked what, or which file, and all its bytes."""

    what: str
    content: bytes


def differences(one: Sequence[Seen], other: Sequence[Seen]) -> list[str]:
    """Return what differs between two plays, each as ``what`` and an excerpt; [] if nothing does."""
    found = [
        f"{a.what}\n{_excerpt(a.content, b.content)}"
        for a, b in zip(one, other, strict=False)
        if a.what == b.what and a.content != b.content
    ]
    if [seen.what for seen in one] != [seen.what for seen in other]:
        asked = difflib.unified_diff([a.what for a in one], [b.what for b in other], "one", "other", n=1)
        found.append("not the same was asked\n" + "\n".join(list(asked)[:_LINES]))
    return found


def report(found: Sequence[str]) -> str:
    """Return the differences for a person to read."""
    return f"{len(found)} answers differ between the plays:\n\n" + "\n\n".join(found[:5])


def _excerpt(one: bytes, other: bytes) -> str:
    lines = list(difflib.unified_diff(_lines(one), _lines(other), "one", "other", n=1, lineterm=""))
    return f"{len(one)} and {len(other)} bytes\n" + "\n".join(line[:300] for line in lines[:_LINES])


def _lines(content: bytes) -> list[str]:
    text = content.decode("utf-8", "backslashreplace")
    # JSON is sent on one line; a line for each member shows which one it is.
    return text.replace('{"', '{\n"').replace(',"', ',\n"').splitlines()
