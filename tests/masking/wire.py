"""HTTP as it is on the wire: what a person is sent, every byte of it."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

# One name for the service in every play, whatever port it listens on: pages link to themselves.
HOST = "127.0.0.1:8000"


@dataclass(frozen=True)
class Answer:
    """One answer: the bytes from the socket, and what they say."""

    raw: bytes
    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _Kept:
    """Lets ``http.client`` read from bytes."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


def ask(port: int, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """Send one request over a connection of its own and return everything that came back."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {HOST}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        raw = b"".join(iter(lambda: connection.recv(65536), b""))
    response = HTTPResponse(_Kept(raw), method=method)  # type: ignore[arg-type]
    response.begin()
    return Answer(
        raw=raw,
        status=response.status,
        headers=dict(response.getheaders()),
        cookies=tuple(response.headers.get_all("Set-Cookie") or ()),
        body=response.read(),
    )
