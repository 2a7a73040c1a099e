"""How hard each endpoint is pushed: a cap on posts at once, its granted rate, a circuit breaker.

Kept in memory by the one thread that delivers. A restart forgets it, and learns it again from the
next few answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from partners.model import Endpoint, EndpointId
from partners.ports import Answer
from partners.schedule import bounded_retry_after, throttles


class BreakerState(StrEnum):
    """Whether an endpoint is trusted with posts."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"  # one real message is on its way to try it
    RAMP = "ramp"  # it answered: twice as many at once after each answer, up to the cap


@dataclass(frozen=True, slots=True)
class GateSettings:
    """How patient the gate is. `patience` failures in a row open the breaker.

    `senders` gates that know nothing of each other share what an endpoint grants.
    """

    senders: int = 1
    at_once: int = 16
    patience: int = 5
    first_pause: timedelta = timedelta(seconds=5)
    longest_pause: timedelta = timedelta(minutes=5)
    longest_throttle: timedelta = timedelta(minutes=15)
    burst: timedelta = timedelta(seconds=2)  # how much of the granted rate may come together


_SOON: Final = timedelta(milliseconds=50)
_STEP: Final = timedelta(milliseconds=1)
_HORIZON: Final = timedelta(minutes=2)  # a platform that recovers is not left waiting for longer


@dataclass(slots=True)
class _Lane:
    """What is known of one endpoint."""

    limit: int
    under_way: int = 0
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    pause: timedelta = timedelta(0)
    shut_until: datetime | None = None
    tokens: float = 0.0
    filled_at: datetime | None = None
    # Where the queue of those sent away ends: each comes back after the one before.
    last_slot: datetime | None = None
    usual: timedelta = field(default=_SOON)
    # When it last answered, or was asked while it had nothing to answer.
    heard_at: datetime | None = None


class Gate:
    """Implements ports.EndpointGate. Belongs to one thread.

    `on_change` is told each time that a breaker changes its state.
    """

    def __init__(
        self,
        settings: GateSettings | None = None,
        on_change: Callable[[EndpointId, BreakerState], None] | None = None,
    ) -> None:
        self._settings = settings or GateSettings()
        self._at_once = max(1, self._settings.at_once // self._settings.senders)
        self._on_change = on_change
        self._lanes: dict[EndpointId, _Lane] = {}

    def admit(self, endpoint: Endpoint, now: datetime) -> datetime | None:
        """None to go ahead, or when to try again: the refused are spread out, in their order."""
        lane = self._lane(endpoint.id)
        self._reopen(endpoint.id, lane, now)
        if lane.shut_until is not None:
            return _slot(lane, max(lane.shut_until, now + _SOON), self._spacing(lane, now))
        if lane.under_way >= lane.limit:
            spacing = self._spacing(lane, now)
            return _slot(lane, now + max(_SOON, spacing), spacing)
        if endpoint.rate_per_minute is not None:
            spacing = timedelta(minutes=1) / max(1, endpoint.rate_per_minute)
            spacing *= self._settings.senders
            wait = self._take_token(lane, spacing, now)
            if wait:
                return _slot(lane, now + wait, spacing)
        if lane.under_way == 0:
            lane.heard_at = now
        lane.under_way += 1
        return None

    def released(self, endpoint_id: EndpointId) -> None:
        """A post that was let through was not made."""
        lane = self._lane(endpoint_id)
        lane.under_way = max(0, lane.under_way - 1)

    def answered(self, endpoint_id: EndpointId, answer: Answer, now: datetime) -> None:
        """Learn from how a post ended."""
        lane = self._lane(endpoint_id)
        lane.under_way = max(0, lane.under_way - 1)
        # Believed at once when it gets slow, forgotten slowly: what waits for it would be taken up
        # in vain, and each time is two commits that the others wait for.
        lane.usual = max(answer.duration, (lane.usual * 7 + answer.duration) / 8)
        lane.heard_at = now
        if throttles(answer):
            self._throttled(endpoint_id, lane, answer, now)
        elif _is_alive(answer):
            self._went_well(endpoint_id, lane)
        else:
            self._went_badly(endpoint_id, lane, now)

    def state(self, endpoint_id: EndpointId) -> str:
        """The state of its breaker."""
        return self._lane(endpoint_id).state.value

    def states(self) -> dict[EndpointId, BreakerState]:
        """The breaker of every endpoint seen so far."""
        return {endpoint_id: lane.state for endpoint_id, lane in self._lanes.items()}

    def _lane(self, endpoint_id: EndpointId) -> _Lane:
        lane = self._lanes.get(endpoint_id)
        if lane is None:
            lane = self._lanes[endpoint_id] = _Lane(limit=self._at_once)
        return lane

    def _reopen(self, endpoint_id: EndpointId, lane: _Lane, now: datetime) -> None:
        if lane.shut_until is None or now < lane.shut_until:
            return
        if lane.state is BreakerState.OPEN and lane.under_way:
            return  # what was sent before it opened may still fail, and would fail the trial
        lane.shut_until = None
        if lane.state is BreakerState.OPEN:
            lane.limit = 1
            self._turn(endpoint_id, lane, BreakerState.HALF_OPEN)

    def _went_well(self, endpoint_id: EndpointId, lane: _Lane) -> None:
        lane.failures = 0
        if lane.state is BreakerState.OPEN:
            return  # what was sent before the breaker opened does not close it
        if lane.state is BreakerState.CLOSED and lane.limit == self._at_once:
            return
        lane.limit = min(self._at_once, lane.limit * 2)
        if lane.limit < self._at_once:
            self._turn(endpoint_id, lane, BreakerState.RAMP)
            return
        lane.pause = timedelta(0)
        self._turn(endpoint_id, lane, BreakerState.CLOSED)

    def _went_badly(self, endpoint_id: EndpointId, lane: _Lane, now: datetime) -> None:
        lane.failures += 1
        if lane.state is BreakerState.OPEN:
            return
        if lane.state is BreakerState.CLOSED and lane.failures < self._settings.patience:
            return
        doubled = max(self._settings.first_pause, lane.pause * 2)
        lane.pause = min(self._settings.longest_pause, doubled)
        lane.shut_until = max(lane.shut_until or now, now + lane.pause)
        self._turn(endpoint_id, lane, BreakerState.OPEN)

    def _throttled(
        self, endpoint_id: EndpointId, lane: _Lane, answer: Answer, now: datetime
    ) -> None:
        """It asked for less: half as many at once, and none before the time it named."""
        lane.limit = max(1, lane.limit // 2)
        asked = bounded_retry_after(answer, self._settings.longest_throttle)
        if asked:
            lane.shut_until = max(lane.shut_until or now, now + asked)
        if answer.status == 429 or asked:
            if lane.state is not BreakerState.OPEN:
                self._turn(endpoint_id, lane, BreakerState.RAMP)
            return
        self._went_badly(endpoint_id, lane, now)

    def _spacing(self, lane: _Lane, now: datetime) -> timedelta:
        """Half of what the platform seems to need: too early costs little, too late costs time.

        One that hangs has not answered for as long as it will take: without a look at its silence
        whatever waits for it would be taken up and put back a thousand times before its time-out.
        """
        silent = now - lane.heard_at if lane.under_way and lane.heard_at else timedelta(0)
        return max(_STEP, max(lane.usual, silent) / lane.limit / 2)

    def _take_token(self, lane: _Lane, spacing: timedelta, now: datetime) -> timedelta:
        """Nought with a token taken from the bucket, or how long until there is one."""
        most = max(1.0, self._settings.burst / spacing)
        gained = (now - lane.filled_at) / spacing if lane.filled_at else most
        lane.tokens = min(most, lane.tokens + max(0.0, gained))
        lane.filled_at = now
        if lane.tokens < 1:
            return spacing * (1 - lane.tokens)
        lane.tokens -= 1
        return timedelta(0)

    def _turn(self, endpoint_id: EndpointId, lane: _Lane, state: BreakerState) -> None:
        if lane.state is state:
            return
        lane.state = state
        if self._on_change is not None:
            self._on_change(endpoint_id, state)


def _is_alive(answer: Answer) -> bool:
    """Whether the platform works, whatever it thinks of the message."""
    return answer.status is not None and answer.status < 500


def _slot(lane: _Lane, earliest: datetime, spacing: timedelta) -> datetime:
    """The next free moment for one who was sent away, within two minutes of the earliest."""
    after_the_last = lane.last_slot + spacing if lane.last_slot is not None else earliest
    fits = earliest <= after_the_last <= earliest + _HORIZON
    lane.last_slot = after_the_last if fits else earliest
    return lane.last_slot
