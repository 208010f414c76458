"""
What the verifier and the auditor's reader found, one line each, and the verdict as an exit code.

0: what was checked holds. 1: it is violated. 2: it cannot be read, which says nothing of the trail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trialsite.audit.bundle import Unreadable

HOLDS, VIOLATED, UNREADABLE = 0, 1, 2

# A garbled trail would otherwise print a line for each of its events.
MOST_LINES = 200


class Report:
    """The findings, printed as they come."""

    def __init__(self, write: Callable[[str], object]) -> None:
        """Print with ``write``."""
        self._write = write
        self._lines = 0
        self.violations = 0
        self.unreadable = 0
        self.signer_proven = True

    def say(self, what: str, text: str) -> None:
        """Print one line, unless the bundle has brought about too many already."""
        self._lines += 1
        if self._lines <= MOST_LINES:
            self.tell(what, text)

    def tell(self, what: str, text: str) -> None:
        """Print one line whatever came before, in ASCII and without what steers a terminal."""
        line = f"{what}: {text}"
        self._write("".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in line) + "\n")

    def violation(self, where: str, text: str) -> None:
        """Record that a promise of the trail is broken."""
        self.violations += 1
        self.say("violation", f"{where}: {text}")

    def cannot_read(self, text: str) -> None:
        """Record that something could not be read and so not be checked."""
        self.unreadable += 1
        self.say("unreadable", text)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Record what cannot be read inside and go on after it, so that all that can be checked is."""
        try:
            yield
        except Unreadable as error:
            self.cannot_read(str(error))

    def verdict(self) -> int:
        """Print the last line and return the exit code; a violation weighs more than what is unreadable."""
        if self._lines > MOST_LINES:
            self._write(f"note: {self._lines - MOST_LINES} more lines are left out\n")
        if self.violations:
            self._write(f"verdict: violated ({self.violations} findings)\n")
            return VIOLATED
        if self.unreadable:
            self._write("verdict: unreadable\n")
            return UNREADABLE
        self._write("verdict: holds\n" if self.signer_proven else "verdict: holds, signer not proven\n")
        return HOLDS
