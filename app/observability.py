"""The only log events and metrics that may be emitted.

A line says what happened, never what was in it: each event has a closed list of scalar fields, and
whatever is not on it is dropped and counted. An exception is logged as its type and place.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class LogEvent(StrEnum):
    """Everything that is ever logged, with the fields each may carry."""

    SERVICE_STARTED = "service.started"
    SERVICE_STOPPED = "service.stopped"
    REQUEST_FAILED = "request.failed"
    WORKER_FAILED = "worker.failed"
    WORKER_RECOVERED = "worker.recovered"
    MESSAGE_FAILED = "message.failed"
    ENDPOINT_DISABLED = "endpoint.disabled"
    BREAKER_OPENED = "breaker.opened"
    BREAKER_CLOSED = "breaker.closed"
    DEADLINE_MISSED = "deadline.missed"
    EVENT_STUCK = "event.stuck"
    ERASURE_HELD = "erasure.held"
    STORE_UNAVAILABLE = "store.unavailable"
    ISSUERS_REFUSED = "issuers.refused"
    NUMBERS_STALE = "numbers.stale"


FIELDS: dict[LogEvent, frozenset[str]] = {
    LogEvent.SERVICE_STARTED: frozenset({"version", "environment", "port", "loopback_partners"}),
    LogEvent.SERVICE_STOPPED: frozenset({"drained"}),
    LogEvent.REQUEST_FAILED: frozenset({"route", "method", "error", "place"}),
    LogEvent.WORKER_FAILED: frozenset({"part", "error", "place"}),
    LogEvent.WORKER_RECOVERED: frozenset({"part"}),
    LogEvent.MESSAGE_FAILED: frozenset({"partner", "event_type", "reason"}),
    LogEvent.ENDPOINT_DISABLED: frozenset({"partner", "endpoint"}),
    LogEvent.BREAKER_OPENED: frozenset({"endpoint"}),
    LogEvent.BREAKER_CLOSED: frozenset({"endpoint"}),
    LogEvent.DEADLINE_MISSED: frozenset({"partner"}),
    LogEvent.EVENT_STUCK: frozenset({"id", "error"}),
    LogEvent.ERASURE_HELD: frozenset({"ahead_seconds"}),
    LogEvent.STORE_UNAVAILABLE: frozenset({"error"}),
    LogEvent.ISSUERS_REFUSED: frozenset({"problems"}),
    LogEvent.NUMBERS_STALE: frozenset({"entries"}),
}


class Metrics:
    """Every metric, in a registry of its own.

    Labels hold route rules, fixed words, and the ids of partners and endpoints.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "report_remove_requests_total",
            "Requests answered",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.request_seconds = Histogram(
            "report_remove_request_seconds",
            "Time to answer",
            ("route",),
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
        )
        self.reports = Counter(
            "report_remove_reports_total",
            "Reports answered as received, by age profile",
            ("profile",),
            registry=self.registry,
        )
        self.refusals = Counter(
            "report_remove_refusals_total",
            "Requests refused, by problem code",
            ("code",),
            registry=self.registry,
        )
        self.attempts = Counter(
            "report_remove_delivery_attempts_total",
            "Posts to partners that ended, by result",
            ("result",),
            registry=self.registry,
        )
        self.expanded = Counter(
            "report_remove_events_expanded_total",
            "Outbox events turned into messages",
            registry=self.registry,
        )
        self.stuck_events = Gauge(
            "report_remove_events_stuck",
            "Outbox events that cannot be turned into messages",
            registry=self.registry,
        )
        self.erasure_held = Gauge(
            "report_remove_erasure_held",
            "1 while nothing is erased because the clock was put forward",
            registry=self.registry,
        )
        self.swept = Counter(
            "report_remove_rows_swept_total",
            "Cases and rows scrubbed, purged or dropped",
            registry=self.registry,
        )
        self.late = Counter(
            "report_remove_deadlines_missed_total",
            "Items a partner has not decided in time",
            registry=self.registry,
        )
        self.worker_failures = Counter(
            "report_remove_worker_failures_total",
            "Rounds of a worker part that ended in an error",
            ("part",),
            registry=self.registry,
        )
        self.dropped_fields = Counter(
            "report_remove_log_fields_dropped_total",
            "Log fields that are not on the list",
            registry=self.registry,
        )
        self.failed_messages = Counter(
            "report_remove_messages_failed_total",
            "Messages given up, by reason",
            ("reason",),
            registry=self.registry,
        )
        self.queue_age_seconds = Histogram(
            "report_remove_queue_age_seconds",
            "From a message's making to its receipt by the partner",
            registry=self.registry,
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600, 86_400),
        )
        self.oldest_due_seconds = Gauge(
            "report_remove_oldest_due_seconds",
            "How long the most overdue message has waited",
            registry=self.registry,
        )
        self.oldest_undelivered_seconds = Gauge(
            "report_remove_oldest_undelivered_seconds",
            "Age of the oldest message that a partner has yet to receive",
            ("partner",),
            registry=self.registry,
        )
        self.breaker = Gauge(
            "report_remove_endpoint_breaker",
            "Circuit breaker of an endpoint: 0 closed, 1 ramp, 2 half-open, 3 open",
            ("endpoint",),
            registry=self.registry,
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer. The label look-up is kept: there are few combinations."""
        known = self._answered.get((route, method, status))
        if known is None:
            known = (
                self.requests.labels(route, method, status),
                self.request_seconds.labels(route),
            )
            self._answered[route, method, status] = known
        known[0].inc()
        known[1].observe(seconds)


class Journal:
    """Writes log events as JSON lines, each in one piece."""

    def __init__(self, metrics: Metrics, stream: TextIO | None = None) -> None:
        self._metrics = metrics
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()

    def note(self, event: LogEvent, **fields: str | int | float | bool | None) -> None:
        """Write one event. A field that is not on its list is dropped and counted."""
        allowed = FIELDS[event]
        line: dict[str, object] = {"at": datetime.now(UTC).isoformat(), "event": event}
        line |= {name: value for name, value in fields.items() if name in allowed}
        self._metrics.dropped_fields.inc(sum(name not in allowed for name in fields))
        with self._lock:
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()

    def failure(self, event: LogEvent, fault: BaseException, **fields: str | int | None) -> None:
        """Write an event about an exception: its type and where it was raised, not its text."""
        self.note(event, error=type(fault).__name__, place=_place(fault), **fields)


def _place(fault: BaseException) -> str:
    """`file:line` of the innermost frame, which names code and nothing that ran through it."""
    frame = fault.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return "unknown"
    return f"{frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}"
