"""The partner API as a platform sees it, on loopback, for as long as a check lasts.

It gives out made-up items, takes feedback by the service's own rules, and remembers every call.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from partners.errors import FeedbackRefused
from partners.feedback import accept
from partners.model import CaseId, Feedback, Notice, NoticeId, PartnerId, Word

_ITEM: Final = re.compile(r"/v1/partner/items/(itm_[0-9a-f]{32})(/feedback)?")
_MESSAGES: Final = "/v1/partner/messages"
_MEMBERS: Final = {"feedback", "reason_code", "automated", "redress_url"}
_BODY_LIMIT: Final = 10_000

Answer = tuple[int, dict[str, Any]]


@dataclass
class Book:
    """What the stand-in gives out and what it was told. All of it may be used from any thread."""

    partner_id: PartnerId
    api_key: str
    items: dict[str, dict[str, object]] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)
    fetched: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    said: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, item: dict[str, object]) -> None:
        """An item that the platform may read and speak of."""
        name = str(item["item_id"])
        now = datetime.now(UTC)
        said = Feedback(Word.SENT, now)
        with self.lock:
            self.items[name] = item
            self.notices[name] = Notice(
                NoticeId(name), self.partner_id, CaseId("case_of_the_check"), 1, now, said
            )

    def withdraw(self, name: str) -> None:
        """The young person took the item back: its hashes are given out no more."""
        with self.lock:
            self.notices[name] = replace(self.notices[name], withdrawn_at=datetime.now(UTC))

    def calls(self, name: str) -> int:
        """How often the platform called us about that item."""
        with self.lock:
            return self.fetched[name] + len(self.said[name])

    def answer(self, method: str, path: str, credentials: str, body: bytes) -> Answer:
        """What the API says, and a note of every call that the service would refuse."""
        with self.lock:
            if not hmac.compare_digest(credentials.encode(), f"Bearer {self.api_key}".encode()):
                return self._fault(401, "partner-key-wrong", "a call without its API key")
            if method == "GET" and path.partition("?")[0] == _MESSAGES:
                return 200, {"messages": [], "next": None}
            found = _ITEM.fullmatch(path)
            if found is None or found[1] not in self.items:
                return self._fault(404, "not-found", "a call about what there is not")
            if found[2] and method == "POST":
                return self._feedback(found[1], body)
            if method == "GET" and not found[2]:
                return self._item(found[1])
            return self._fault(405, "method-not-allowed", "a method that the route does not take")

    def _item(self, name: str) -> Answer:
        self.fetched[name] += 1
        if self.notices[name].withdrawn_at is not None:
            return 404, {"code": "partner-unknown"}
        return 200, self.items[name]

    def _feedback(self, name: str, body: bytes) -> Answer:
        feedback = _read_feedback(body)
        if feedback is None:
            return self._fault(422, "body-invalid", "feedback that is not in shape")
        self.said[name].append(feedback.word)
        try:
            self.notices[name] = accept(self.notices[name], feedback)
        except FeedbackRefused as fault:
            return self._fault(409, fault.code, str(fault))
        return 200, {"item_id": name, "feedback": feedback.word}

    def _fault(self, status: int, code: str, what: str) -> Answer:
        self.faults.append(what)
        return status, {"status": status, "code": code}


def _read_feedback(body: bytes) -> Feedback | None:
    try:
        members = json.loads(body)
        word = Word(members["feedback"])
    except (ValueError, KeyError, TypeError):
        return None
    if word is Word.SENT or not members.keys() <= _MEMBERS:
        return None
    return Feedback(word, datetime.now(UTC))


class StandIn:
    """Serves a book on 127.0.0.1; 0 picks a free port."""

    def __init__(self, book: Book, port: int = 0) -> None:
        class Handler(_Handler):
            pages = book

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A platform that hangs up is its own affair."""

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The service's address as far as the platform knows."""
        return f"http://127.0.0.1:{self._server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    pages: Book

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _BODY_LIMIT:
            self.close_connection = True
            self._send(413, {"code": "body-too-large"})
            return
        self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        credentials = self.headers.get("Authorization", "")
        self._send(*self.pages.answer(self.command, self.path, credentials, body))

    def _send(self, status: int, members: Mapping[str, Any]) -> None:
        body = json.dumps(members).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed beside the verdicts."""
