"""Platforms inside the test: they verify, remember what they were told, and outlive the service."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from infra.sandbox.platform import Forged, verify


@dataclass
class Told:
    """What one platform was told: webhook-ids by item and event type, and how often each came."""

    key: str = ""
    ids: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    posts: Counter[str] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)
    forged: int = 0

    def items(self) -> set[str]:
        """The items that it was asked to look for."""
        return {item for item, kind in list(self.ids) if kind == "removal.requested"}


class Receiver:
    """A web server with a platform at each path.

    `slow` is its longest time to answer, in seconds; while `holding` is set it answers nothing.
    """

    def __init__(self, *names: str, slow: float = 0.0, status: int = 204) -> None:
        self.told = {name: Told() for name in names}
        self.slow = slow
        self.status = status
        self.holding = threading.Event()
        self.in_hand = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Receiver:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = outer.take(self.path.lstrip("/"), headers, body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: object, client_address: object) -> None:
                """A killed service breaks its connections: that is no error here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.holding.clear()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, name: str) -> str:
        """Where that platform takes webhooks."""
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def take(self, name: str, headers: dict[str, str], body: bytes) -> int:
        """Verify and remember one post; the status to answer."""
        told = self.told[name]
        try:
            verify((told.key,), headers, body)
        except Forged:
            told.forged += 1
            return 401
        message = json.loads(body)
        with self._lock:
            place = (message["data"]["item_id"], message["type"])
            told.ids[place].add(headers["webhook-id"])
            told.posts[headers["webhook-id"]] += 1
            told.bodies.append(body)
        self._wait()
        return self.status

    def _wait(self) -> None:
        if self.slow:
            time.sleep(random.uniform(0, self.slow))
        with self._lock:
            self.in_hand += 1
        while self.holding.is_set():
            time.sleep(0.01)
        with self._lock:
            self.in_hand -= 1
