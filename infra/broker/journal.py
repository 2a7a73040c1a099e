"""The broker's log: a closed list of events, each with a closed list of fields, and no other line.

None of the fields can hold a value of a person's: no address, cookie, subject, age, message,
signature, path or user agent. Times are cut to the minute. Other libraries' lines come out as the
library's name and level: their words may hold a URL with a code in it.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO


class Event(StrEnum):
    """Everything that is ever logged."""

    STARTED = "broker.started"
    STOPPED = "broker.stopped"
    WARNING = "broker.warning"
    REQUEST_FAILED = "request.failed"
    SIGNER_FAILED = "signer.failed"
    PROVIDER_FAILED = "provider.failed"
    TIDYING_FAILED = "tidying.failed"
    LIBRARY_SAID = "library.said"


FIELDS: dict[Event, frozenset[str]] = {
    Event.STARTED: frozenset({"port", "signer", "keys", "providers"}),
    Event.STOPPED: frozenset(),
    Event.WARNING: frozenset({"about"}),
    Event.REQUEST_FAILED: frozenset({"route", "error", "place"}),
    Event.SIGNER_FAILED: frozenset(),
    Event.PROVIDER_FAILED: frozenset({"provider", "error", "place"}),
    Event.TIDYING_FAILED: frozenset({"error", "place"}),
    Event.LIBRARY_SAID: frozenset({"library", "level"}),
}


class Journal:
    """Writes events as JSON lines, each in one piece."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()

    def note(self, event: Event, **fields: str | int) -> None:
        """Write one event. A field that is not on its list is left out."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
        allowed = FIELDS[event]
        line = {"at": at, "event": event} | {k: v for k, v in fields.items() if k in allowed}
        with self._lock:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()

    def failure(self, event: Event, fault: BaseException, **fields: str) -> None:
        """Write an event about an exception: its type and where it was raised, not its words."""
        self.note(event, error=type(fault).__name__, place=_place(fault), **fields)


class _Silencer(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        library = record.name.partition(".")[0]
        self._journal.note(Event.LIBRARY_SAID, library=library, level=record.levelname)


def silence_libraries(journal: Journal) -> None:
    """Let no other logger write: of its warnings and errors, the library's name is noted."""
    root = logging.getLogger()
    root.handlers = [_Silencer(journal)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _place(fault: BaseException) -> str:
    """`file:line` of the innermost frame, which names code and nothing that ran through it."""
    frame = fault.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return "unknown"
    return f"{frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}"
