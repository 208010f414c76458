"""
A load generator of one thread: so many clients, each with one request under way.

A client keeps its connection as long as the server does. Requests are bytes that were made
beforehand, and an answer is read as far as its status and length: some 50 microseconds a request,
which are part of every HTTP case alike.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

ANSWER_SECONDS = 60


@dataclass
class Answers:
    """What came back: seconds for each answer, how often each status came, and how long it all took."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    elapsed: float = 0.0


@dataclass
class _Client:
    """One client: its connection, if the server keeps it, and the answer that it is receiving."""

    connection: socket.socket | None = None
    sent_at: float = 0.0
    received: bytes = b""


def drive(port: int, requests: Iterator[bytes], *, clients: int, seconds: float) -> Answers:
    """
    Send requests from so many clients, each its next one when the last is answered.

    After ``seconds`` no client sends another; every request that was sent is waited for.

    :raises RuntimeError: if the server leaves a request without an answer.
    """
    answers, begin = Answers(), time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            _send(_Client(), next(requests), port=port, selector=selector)
        while selector.get_map():
            ready = selector.select(timeout=ANSWER_SECONDS)
            if not ready:
                raise RuntimeError(f"No answer after {ANSWER_SECONDS} s.")
            for client in [key.data for key, _ in ready]:
                if not _receive(client, answers, selector=selector):
                    continue
                if time.perf_counter() - begin < seconds:
                    _send(client, next(requests), port=port, selector=selector)
                elif client.connection:
                    _hang_up(client, selector)
        answers.elapsed = time.perf_counter() - begin
    return answers


def post(path: str, *, body: bytes, token: str = "", key: str = "") -> bytes:
    """Return a POST as it goes over the wire."""
    headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body))}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if key:
        headers["Idempotency-Key"] = key
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def _send(client: _Client, request: bytes, *, port: int, selector: selectors.BaseSelector) -> None:
    client.received, client.sent_at = b"", time.perf_counter()
    if client.connection is None:
        client.connection = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(client.connection, selectors.EVENT_READ, client)
    client.connection.sendall(request)


def _receive(client: _Client, answers: Answers, *, selector: selectors.BaseSelector) -> bool:
    """Receive what is there; return whether the answer is whole."""
    assert client.connection  # noqa: S101 - it has just become readable
    received = client.connection.recv(65536)
    if not received:
        raise RuntimeError("The server hung up without an answer.")
    client.received += received
    head, blank, body = client.received.partition(b"\r\n\r\n")
    if not blank or len(body) < _number(head, b"content-length"):
        return False
    answers.seconds.append(time.perf_counter() - client.sent_at)
    answers.statuses[head[9:12].decode()] += 1
    if b"\r\nconnection: close" in head.lower():
        _hang_up(client, selector)
    return True


def _hang_up(client: _Client, selector: selectors.BaseSelector) -> None:
    assert client.connection  # noqa: S101 - whoever calls has just used it
    selector.unregister(client.connection)
    client.connection.close()
    client.connection = None


def _number(head: bytes, wanted: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == wanted:
            return int(value)
    raise RuntimeError(f"An answer has no {wanted.decode()}.")
