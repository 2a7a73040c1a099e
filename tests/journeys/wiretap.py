"""A loopback proxy that lets everything through and keeps every byte of it."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 65_536


@dataclass
class Exchange:
    """One connection: what the client sent, and what it was answered."""

    sent: bytes = b""
    answered: bytes = b""


@dataclass
class Wiretap:
    """Stands before the port `to`; its own is `port`. `exchanges` are in the order they began."""

    to: int
    port: int = 0
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def everything(self) -> list[bytes]:
        """Each request and each answer, headers and bodies."""
        return [raw for one in self.exchanges for raw in (one.sent, one.answered)]

    def carry(self, client: socket.socket) -> None:
        """Carry one connection to its end."""
        kept = Exchange()
        self.exchanges.append(kept)
        with socket.create_connection(("127.0.0.1", self.to), 30) as server:

            def bring_back() -> None:
                with suppress(OSError):
                    while piece := server.recv(_PIECE):
                        kept.answered += piece
                        client.sendall(piece)
                    client.shutdown(socket.SHUT_WR)

            back = threading.Thread(target=bring_back, daemon=True)
            back.start()
            with suppress(OSError):
                while piece := client.recv(_PIECE):
                    kept.sent += piece
                    server.sendall(piece)
            back.join(30)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def tapped(to: int) -> Iterator[Wiretap]:
    """A tap before a port of 127.0.0.1, until the block is left."""
    tap = Wiretap(to)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            tap.carry(self.request)

    with _Server(("127.0.0.1", 0), Handler) as server:
        tap.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield tap
        server.shutdown()
        thread.join(10)
