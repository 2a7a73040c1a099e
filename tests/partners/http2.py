"""A small HTTP/2 platform on loopback, which can send its callers away (GOAWAY)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events


class Http2Platform:
    """Answers 200 to every request; after `goaway_after` of them each connection says goodbye."""

    def __init__(self, certificate: Path, goaway_after: int | None = None) -> None:
        self._goaway_after = goaway_after
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._context.set_alpn_protocols(["h2"])
        self.requests = 0
        self.connections = 0

    def __enter__(self) -> Http2Platform:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}/hook"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(plain, server_side=True) as link,
        ):
            talk = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            talk.initiate_connection()
            link.sendall(talk.data_to_send())
            served = 0
            while data := link.recv(65_536):
                for event in talk.receive_data(data):
                    served += self._answer(talk, event)
                if served == self._goaway_after:
                    talk.close_connection(h2.errors.ErrorCodes.NO_ERROR)
                link.sendall(talk.data_to_send())
                if served == self._goaway_after:
                    return

    def _answer(self, talk: h2.connection.H2Connection, event: h2.events.Event) -> int:
        if isinstance(event, h2.events.DataReceived):
            talk.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        if not isinstance(event, h2.events.StreamEnded):
            return 0
        talk.send_headers(event.stream_id or 0, [(":status", "200")], end_stream=True)
        self.requests += 1
        return 1
