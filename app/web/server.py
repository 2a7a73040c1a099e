"""What the HTTP server refuses before the application is asked, said as the application says it.

waitress answers a malformed or oversized request in plain text that names its own fault, and hangs
up while the rest is still arriving, which can take the answer away from whoever is sending it.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask

from app.observability import Journal, LogEvent
from app.web.context import Context
from app.web.headers import HEADERS
from app.web.problems import MEDIA_TYPE, code_of, document

READ_ON = 16_000_000  # bytes of a refused request that are read, and dropped, to let it be answered
_STILL_SENDING = (413, 431)


def channels(context: Context) -> type[HTTPChannel]:
    """The class of the connections of a server that answers for this application."""
    return type("Channel", (_Channel,), {"context": context})


def listen_to(server: logging.Logger, journal: Journal) -> None:
    """Take waitress's own log, which would print paths and tracebacks, into the closed list."""
    server.handlers = [_Handler(journal)]
    server.propagate = False


class _Refusal(ErrorTask):
    """One problem instead of waitress's text."""

    def execute(self) -> None:
        status, body = document(self.channel.context, code_of(self.request.error.code))
        content = json.dumps(body).encode()
        self.status = f"{status} {HTTPStatus(status).phrase}"
        self.response_headers = [*HEADERS.items(), ("Content-Type", MEDIA_TYPE)]
        self.set_close_on_finish()
        self.content_length = len(content)
        self.write(content)
        if status in _STILL_SENDING:
            self.channel.only_drop_from_here()
            self.close_on_finish = False


class _Parser(HTTPRequestParser):
    """Refuses two things that waitress hangs up on, and one that proxies read in two ways."""

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError:  # an address in unclosed brackets, a length of 5,000 digits
            raise ParsingError("malformed") from None
        if self.chunked and "CONTENT_LENGTH" in self.headers:  # RFC 9112, section 6.1
            raise ParsingError("two lengths")


class _Channel(HTTPChannel):
    """A connection on which nothing more is done once a request on it was cut short."""

    parser_class = _Parser
    error_task_class = _Refusal
    context: Context
    request: Any
    will_close: bool
    dropping: int | None = None

    def only_drop_from_here(self) -> None:
        """Keep the connection until the client closes it, sends too much, or falls silent."""
        with self.requests_lock:
            del self.requests[1:]
            self.request = None
            self.dropping = READ_ON

    def send_continue(self) -> None:
        """Ask for the body, unless the headers were reason enough to refuse it."""
        if self.request.error is None:
            super().send_continue()

    def received(self, data: bytes) -> bool:
        if self.dropping is None:
            return bool(super().received(data))
        self.dropping -= len(data)
        if self.dropping < 0:
            self.will_close = True
        return False


class _Handler(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.ERROR)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info[1] if record.exc_info else None
        if fault is not None:
            self._journal.failure(LogEvent.REQUEST_FAILED, fault, route="none", method="none")
