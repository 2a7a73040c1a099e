"""What goes on beside requests: events become messages, messages are posted, time passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.observability import Journal, LogEvent, Metrics
from app.ports import News
from app.services.catalogue import Services
from app.services.watch_clock import WatchClock
from partners.delivery import DeliveryEngine
from partners.model import EventId

IDLE = 2.0  # seconds: another process's events have no bell here, so look now and then
FEW = 100  # events in one round: as many as it takes up
PACE = 0.03  # seconds
SWEEP_EVERY = 60.0
DEADLINES_EVERY = 15.0
MEASURE_EVERY = 15.0


@dataclass(slots=True)
class Bell:
    """Rung by the store after a commit that leaves work."""

    rung: threading.Event = field(default_factory=threading.Event)
    engine: DeliveryEngine | None = None

    def ring(self, news: News) -> None:
        """Wake the relay for events, the sender for messages. Called by who committed."""
        if news is News.EVENTS:
            self.rung.set()
        elif self.engine is not None:
            self.engine.wake()


@dataclass(frozen=True, slots=True)
class Worker:
    """The relay, the sender, the sweeper and the rest, each on a thread of its own."""

    services: Services
    engine: DeliveryEngine
    bell: Bell
    metrics: Metrics
    journal: Journal
    stopping: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)  # nothing is erased meanwhile
    stuck: set[str] = field(default_factory=set)  # events that were told of
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start all parts."""
        self.bell.engine = self.engine
        clock = WatchClock(self.services.house.clock)
        parts: dict[str, Callable[[], None]] = {
            "relay": lambda: self._forever("relay", self._relay),
            "sender": lambda: self._forever("sender", lambda: self.engine.run(self.stopping)),
            "deadlines": lambda: self._forever("deadlines", self._deadlines),
            "sweeper": lambda: self._forever("sweeper", lambda: self._sweep(clock)),
            "measures": lambda: self._forever("measures", self._measure),
        }
        for name, part in parts.items():
            thread = threading.Thread(target=part, name=name, daemon=True)
            thread.start()
            self.threads.append(thread)

    def stop(self, timeout: float = 20.0) -> bool:
        """Finish or give back what is in hand. True if every part ended in time."""
        self.stopping.set()
        for news in News:
            self.bell.ring(news)
        self.services.mark_late.ring()
        for thread in self.threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self.threads)

    def _forever(self, part: str, round_: Callable[[], None]) -> None:
        """Run a part until told to stop; an error is noted and tried again, ever more slowly."""
        failures = 0
        while not self.stopping.is_set():
            try:
                round_()
            except Exception as fault:  # noqa: BLE001 - a part that dies silently loses reports
                failures += 1
                self.metrics.worker_failures.labels(part).inc()
                self.journal.failure(LogEvent.WORKER_FAILED, fault, part=part)
                self.stopping.wait(min(30.0, 0.2 * 2 ** min(failures, 8)))
            else:
                if failures:
                    self.journal.note(LogEvent.WORKER_RECOVERED, part=part)
                failures = 0

    def _relay(self) -> None:
        # Cleared before looking: what is committed while we look rings again.
        self.bell.rung.clear()
        done = self.services.expand_events()
        self.metrics.expanded.inc(done)
        self._tell_stuck(self.services.expand_events.stuck)
        if not done:
            self.bell.rung.wait(IDLE)
        elif done < FEW:
            # The first event after a pause goes at once; in a stream of them, many share a commit.
            self.stopping.wait(PACE)

    def _tell_stuck(self, stuck: Mapping[EventId, str]) -> None:
        """Each event that is stuck is told of once in a process; the gauge says how many are."""
        self.metrics.stuck_events.set(len(stuck))
        for event_id, error in stuck.items():
            if event_id not in self.stuck:
                self.journal.note(LogEvent.EVENT_STUCK, id=event_id, error=error)
        self.stuck.clear()
        self.stuck.update(stuck)

    def _deadlines(self) -> None:
        if not self.services.mark_late():
            self.services.mark_late.rest(DEADLINES_EVERY)

    def _measure(self) -> None:
        self.services.measure_queue()
        self.stopping.wait(MEASURE_EVERY)

    def _sweep(self, clock: WatchClock) -> None:
        swept = self._erase(clock)
        if swept:
            return
        # An endpoint may come back while a message for it is being set aside.
        if self.services.manage_endpoints.resume_waiting():
            self.engine.wake()
        self.stopping.wait(SWEEP_EVERY)

    def _erase(self, clock: WatchClock) -> int:
        """What is due, unless the clock was put forward: that cannot be undone (decision 0018)."""
        held = not clock.may_erase()
        if held and not self.held.is_set():
            ahead = int(clock.ahead().total_seconds())
            self.journal.note(LogEvent.ERASURE_HELD, ahead_seconds=ahead)
        (self.held.set if held else self.held.clear)()
        self.metrics.erasure_held.set(held)
        swept = 0 if held else self.services.purge_expired()
        self.metrics.swept.inc(swept)
        return swept
