"""Child processes that end with their parent."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(ctypes.util.find_library("c") or None) if sys.platform == "linux" else None


class PortUnusable(RuntimeError):
    """A port that was asked for cannot be listened on."""


def ends_with_parent(number: signal.Signals) -> Callable[[], None]:
    """
    Return a function for ``Popen(preexec_fn=)``: the child gets the signal when its parent is gone.

    A supervisor that is killed outright leaves nothing behind that would hold its ports and data.
    """

    def ask_the_kernel() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)

    return ask_the_kernel


def a_free_port() -> int:
    """Return a TCP port that nothing on loopback listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def refuse_ports_in_use(ports: Mapping[str, int | None]) -> None:
    """
    Listen on each of the ports for a moment, all at once.

    :param ports: by face; None where a free one will be taken.
    :raises PortUnusable: naming the first that cannot be listened on, and the option that gave it.
    """
    with contextlib.ExitStack() as held:
        for face, port in ports.items():
            if port is None:
                continue
            probe = held.enter_context(socket.socket())
            # As the server will: connections of an earlier service that still fade away do no harm.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                probe.listen()
            except OverflowError:
                message = f"There is no port {port} (--{face}-port)."
                raise PortUnusable(message) from None
            except OSError as error:
                raise PortUnusable(_why_not(port, face, error)) from None


def _why_not(port: int, face: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use: stop what uses it, or give another (--{face}-port)."
    return f"Port {port} cannot be used (--{face}-port): {os.strerror(error.errno or 0)}."
