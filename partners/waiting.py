"""What the engine waits for: room at an endpoint, and the next time that something is due."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from partners.model import EndpointId, Message


@dataclass(slots=True)
class _Lane:
    """Messages that wait for one endpoint, and when it may have room."""

    again_at: datetime
    messages: deque[Message] = field(default_factory=deque)


class Waiting:
    """Messages kept here for a moment, under their lease, while their endpoint has no room.

    At most `per_endpoint` wait for each, and none for longer than `longest`.
    """

    def __init__(self, per_endpoint: int, longest: timedelta, lease: timedelta) -> None:
        self._per_endpoint = per_endpoint
        self._longest = longest
        self._lease = lease
        self._lanes: dict[EndpointId, _Lane] = {}

    def __len__(self) -> int:
        return sum(len(lane.messages) for lane in self._lanes.values())

    def __contains__(self, endpoint_id: EndpointId) -> bool:
        return endpoint_id in self._lanes

    def hold(self, message: Message, again_at: datetime, now: datetime) -> bool:
        """Keep it until its endpoint may have room; False if that is too far off or too many wait.

        Less than half of the lease is too little: the post itself may need the rest.
        """
        lease_left = message.due_at - now if message.due_at else timedelta(0)
        soon = again_at - now <= self._longest and lease_left >= self._lease / 2
        if not soon or self._is_full(message.endpoint_id):
            return False
        self._lanes.setdefault(message.endpoint_id, _Lane(again_at)).messages.append(message)
        return True

    def again_at(self, endpoint_id: EndpointId) -> datetime | None:
        """When to try those that wait for that endpoint; None if one more may not join them."""
        lane = self._lanes.get(endpoint_id)
        return None if lane is None or self._is_full(endpoint_id) else lane.again_at

    def times(self) -> list[datetime]:
        """When each endpoint that is waited for may have room."""
        return [lane.again_at for lane in self._lanes.values()]

    def heard_from(self, endpoint_id: EndpointId, now: datetime) -> None:
        """It has answered: it may have room at once."""
        if endpoint_id in self._lanes:
            self._lanes[endpoint_id].again_at = now

    def ready(self, now: datetime) -> Iterator[tuple[EndpointId, deque[Message]]]:
        """Take out what waits for endpoints that may have room now, one after the other."""
        ready = [name for name, lane in self._lanes.items() if lane.again_at <= now]
        for endpoint_id in ready:
            yield endpoint_id, self._lanes.pop(endpoint_id).messages

    def wait_on(self, endpoint_id: EndpointId, messages: Iterable[Message], now: datetime) -> None:
        """Keep what was taken out and not tried, behind what was refused meanwhile."""
        self._lanes.setdefault(endpoint_id, _Lane(now)).messages.extend(messages)

    def drain(self) -> list[Message]:
        """Take out everything."""
        drained = [message for lane in self._lanes.values() for message in lane.messages]
        self._lanes.clear()
        return drained

    def _is_full(self, endpoint_id: EndpointId) -> bool:
        lane = self._lanes.get(endpoint_id)
        return lane is not None and len(lane.messages) >= self._per_endpoint


class NextLook:
    """When the store is asked again for what is due: nobody here knows of anything before that.

    It is asked every `idle` seconds at the latest, because another process may have added messages.
    """

    def __init__(self, now: datetime, idle: float) -> None:
        self.woken = False  # since the last look
        self._idle = timedelta(seconds=idle)
        self._looked_at = now
        self._due_at: datetime | None = None
        self._at_once = True

    def wake(self) -> None:
        """Something may be due now. Safe from any thread, unlike all else."""
        self._at_once = self.woken = True

    def at_once(self) -> None:
        """Look again at the next opportunity."""
        self._at_once = True

    def seconds(self, now: datetime) -> float:
        """How long until then; nought or less when it is time."""
        if self._at_once:
            return 0.0
        latest_at = self._looked_at + self._idle
        return (min(self._due_at or latest_at, latest_at) - now).total_seconds()

    def begin(self, now: datetime) -> None:
        """A look begins. Said before the store is asked: whoever wakes us meanwhile is heard."""
        self._at_once = self.woken = False
        self._looked_at = now

    def found(self, due_at: datetime | None) -> None:
        """Nothing else is due before that, as the store says; None if nothing waits."""
        self._due_at = due_at

    def expect(self, times: Iterable[datetime | None]) -> None:
        """Something will be due at each of these; None is never."""
        known = [at for at in (self._due_at, *times) if at is not None]
        self._due_at = min(known, default=None)
