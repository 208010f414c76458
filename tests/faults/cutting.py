"""A link between a face and PostgreSQL that is cut once, exactly at a COMMIT."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

# A simple query of the frontend/backend protocol (PostgreSQL documentation, 53.7): type, length, text.
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Cut(Enum):
    """When: the server never hears of it, or hears while nobody listens, or its answer is lost."""

    BEFORE = "before the server has it"
    WITH_IT = "as the server gets it"
    AFTER = "before the server's answer is back"


@dataclass
class Link:
    """Where the face connects to; ``commits`` counts those seen, ``cut`` is whether the link was cut."""

    when: Cut
    server: tuple[str, int]
    port: int = 0
    commits: int = 0
    cut: bool = False
    _armed: bool = True
    _losing: set[socket.socket] = field(default_factory=set)

    def forwards(self, data: bytes, upstream: socket.socket) -> bool:
        """Pass on what the face sends; say whether the link holds."""
        if COMMIT in data:
            self.commits += 1
            if self._armed:
                self._armed, self.cut = False, True
                self._losing.add(upstream)
                if self.when is not Cut.BEFORE:
                    upstream.sendall(data)
                return self.when is Cut.AFTER
        upstream.sendall(data)
        return True

    def loses(self, upstream: socket.socket) -> bool:
        """Say whether what the server answers here is lost, with the link."""
        return upstream in self._losing


@contextlib.contextmanager
def a_link(when: Cut, server_port: int) -> Iterator[Link]:
    """Listen for a face and pass on to PostgreSQL; the first COMMIT cuts, whatever comes later passes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Link(when=when, server=("127.0.0.1", server_port), port=listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, link), daemon=True).start()
        yield link
        # Wakes the thread that waits for connections.
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, link: Link) -> None:
    with contextlib.suppress(OSError):
        while True:
            face, _ = listener.accept()
            upstream = socket.create_connection(link.server)
            for pump in (_to_server, _to_face):
                threading.Thread(target=pump, args=(face, upstream, link), daemon=True).start()


def _to_server(face: socket.socket, upstream: socket.socket, link: Link) -> None:
    with contextlib.suppress(OSError):
        while (data := face.recv(1 << 16)) and link.forwards(data, upstream):
            pass
    _hang_up(face, upstream)


def _to_face(face: socket.socket, upstream: socket.socket, link: Link) -> None:
    with contextlib.suppress(OSError):
        while (data := upstream.recv(1 << 16)) and not link.loses(upstream):
            face.sendall(data)
    _hang_up(face, upstream)


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
