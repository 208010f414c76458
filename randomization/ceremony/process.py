"""What the offline programs ask of their own process: no core dump, and a clean end however it is ended."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = "Interrupted: nothing was written.\n"


@contextmanager
def guarded() -> Iterator[None]:
    """
    Write no memory to disk if the program crashes, and let SIGTERM and SIGHUP clean up like Ctrl-C.

    :raises KeyboardInterrupt: for the first of those signals; others are ignored while it cleans up.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = {number: signal.signal(number, _stop) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(*_: object) -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
