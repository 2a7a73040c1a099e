"""Partners to post at, in one process of their own: a TLS server made for little overhead.

One epoll over many listening ports; HTTP/1.1 with connections kept; of a request only the length,
the webhook-id and the arrival time are read. Loopback only. Its first line of output is JSON with
the ports; SIGTERM ends it. With `--log` each receipt is one line: webhook-id, status and the
monotonic clock in nanoseconds, which all processes of one machine share.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

ROOT = Path(__file__).resolve().parent.parent

_ANSWERS = {
    status: f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n".encode()
    for status in (204, 500, 503)
}
_BROKEN = 0  # the connection is closed instead of an answer
_BAD = (500, 500, 503, _BROKEN)


@dataclass(slots=True)
class _Connection:
    sock: ssl.SSLSocket
    hangs: bool
    shaken: bool = False
    received: bytearray = field(default_factory=bytearray)


class Receiver:
    """`ports` partners, of which the last `hanging` never answer; `failing` (0 to 1) is by chance.

    `log` is where receipts are written, or None.
    """

    def __init__(
        self, certificate: Path, ports: int, hanging: int, failing: float, log: IO[str] | None
    ) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._context.set_alpn_protocols(["http/1.1"])
        self._failing = failing
        self._log = log
        self._poll = select.epoll()
        self._listeners: dict[int, tuple[socket.socket, bool]] = {}
        self._open: dict[int, _Connection] = {}
        self.ports = [self._listen(place >= ports - hanging) for place in range(ports)]

    def _listen(self, hangs: bool) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        listener.settimeout(0)
        self._listeners[listener.fileno()] = (listener, hangs)
        self._poll.register(listener.fileno(), select.EPOLLIN)
        return int(listener.getsockname()[1])

    def serve(self) -> None:
        """Answer until the process is ended."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._listeners:
                    self._accept(*self._listeners[descriptor])
                else:
                    self._read(self._open[descriptor])

    def _accept(self, listener: socket.socket, hangs: bool) -> None:
        with suppress(BlockingIOError):
            while True:
                plain, _ = listener.accept()
                plain.settimeout(0)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock = self._context.wrap_socket(
                    plain, server_side=True, do_handshake_on_connect=False
                )
                self._open[sock.fileno()] = _Connection(sock, hangs)
                self._poll.register(sock.fileno(), select.EPOLLIN)

    def _read(self, connection: _Connection) -> None:
        try:
            if not connection.shaken:
                connection.sock.do_handshake()
                connection.shaken = True
            while part := connection.sock.recv(65_536):
                connection.received += part
                if not connection.sock.pending():
                    break
            if not part or not self._answer(connection):
                self._close(connection)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:  # a sender that was killed broke its connections
            self._close(connection)

    def _answer(self, connection: _Connection) -> bool:
        """Answer what has come whole; False to close the connection."""
        received = connection.received
        end = received.find(b"\r\n\r\n")
        if end < 0 or connection.hangs:
            return True
        head = bytes(received[:end]).lower()
        if len(received) < end + 4 + int(_value(head, b"content-length:")):
            return True
        received.clear()
        status = 204 if random.random() >= self._failing else random.choice(_BAD)  # noqa: S311
        if self._log is not None:
            name = _value(head, b"webhook-id:").decode()
            self._log.write(f"{name} {status} {time.monotonic_ns()}\n")
        if status == _BROKEN:
            return False
        connection.sock.send(_ANSWERS[status])
        return True

    def _close(self, connection: _Connection) -> None:
        del self._open[connection.sock.fileno()]
        connection.sock.close()


def _value(head: bytes, name: bytes) -> bytes:
    """A header's value. `head` and `name` are in lower case."""
    at = head.find(name)
    if at < 0:
        return b"0"
    end = head.find(b"\r", at)
    return head[at + len(name) : end if end >= 0 else len(head)].strip()


@contextmanager
def receiving(
    certificate: Path,
    ports: int,
    *,
    hanging: int = 0,
    failing: float = 0.0,
    log: Path | None = None,
) -> Iterator[list[int]]:
    """The ports of a receiver that runs for as long as the block."""
    command = [sys.executable, str(Path(__file__)), "--certificate", str(certificate)]
    command += ["--ports", str(ports), "--hanging", str(hanging), "--failing", str(failing)]
    command += ["--log", str(log)] if log else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        with cast(IO[bytes], process.stdout) as pipe:
            listening: list[int] = json.loads(pipe.readline())["ports"]
        yield listening
    finally:
        process.terminate()
        process.wait(10)


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--ports", type=int, default=1)
    parser.add_argument("--hanging", type=int, default=0)
    parser.add_argument("--failing", type=float, default=0.0)
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log = options.log.open("w", buffering=1) if options.log else None
    receiver = Receiver(options.certificate, options.ports, options.hanging, options.failing, log)
    print(json.dumps({"ports": receiver.ports}), flush=True)
    receiver.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
