"""A load of HTTP requests over a fixed number of kept-alive connections, from one thread.

Made for little overhead: the requests are ready bytes, and of an answer only status and length are
read. Loopback only.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Result:
    """What came of a load. Latencies in seconds, in the order the answers came."""

    seconds: float
    statuses: dict[int, int]
    latencies: list[float]
    cpu: float = 0.0  # seconds of the server's processor for each answer, where it was measured

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency in milliseconds that this share of answers did not exceed."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class _Connection:
    sock: socket.socket
    began: float = 0.0
    received: bytearray = field(default_factory=bytearray)


def request(
    method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    """One HTTP/1.1 request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def run(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Result:
    """Send requests for that long (or until there are no more), each connection one at a time."""
    selector = selectors.DefaultSelector()
    statuses: dict[int, int] = {}
    latencies: list[float] = []
    open_ = 0
    began = time.perf_counter()
    until = began + seconds
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(sock)
        selector.register(sock, selectors.EVENT_READ, connection)
        open_ += _send(connection, requests)
    while open_:
        for key, _ in selector.select(10):
            connection = key.data
            part = connection.sock.recv(65536)
            if not part:
                raise ConnectionError("the server closed a connection")
            connection.received += part
            status = _complete(connection.received)
            if status is None:
                continue
            now = time.perf_counter()
            latencies.append(now - connection.began)
            statuses[status] = statuses.get(status, 0) + 1
            connection.received.clear()
            if now >= until or not _send(connection, requests):
                selector.unregister(connection.sock)
                connection.sock.close()
                open_ -= 1
    return Result(time.perf_counter() - began, statuses, latencies)


def _send(connection: _Connection, requests: Iterator[bytes]) -> bool:
    made = next(requests, None)
    if made is None:
        return False
    connection.began = time.perf_counter()
    connection.sock.sendall(made)
    return True


def _complete(received: bytearray) -> int | None:
    """The status, once the whole answer is there."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    at = received.lower().find(b"content-length:", 0, end)
    length = int(received[at + 15 : received.find(b"\r\n", at)]) if at >= 0 else 0
    return int(received[9:12]) if len(received) >= end + 4 + length else None
