"""A deadline passed without a decision: a person is told, and the outcome says so."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from app.domain.errors import Contested
from app.ports import AddEvent, SaveNotice
from app.services.house import House, insist
from partners.events import EventType
from partners.model import Message, MessageState, Notice, PartnerId

BATCH = 100
_PAGE = 500


@dataclass(frozen=True, slots=True)
class MarkLate:
    """Marks notices late, reminds their partner, and `tell`s the operator of a missed deadline.

    What delivery gave up is late too, deadline or not. Delivery only notes it here, and whoever
    calls this marks it: a platform that refuses everything must not cost the others a commit each
    time. What was noted and not marked when the process ended is found again in the store.
    """

    house: House
    tell: Callable[[PartnerId], None]
    _given_up: deque[Message] = field(default_factory=deque)
    _rung: threading.Event = field(default_factory=threading.Event)
    _looked_back: threading.Event = field(default_factory=threading.Event)

    def given_up(self, message: Message) -> None:
        """Note a message for which no further try is made. Safe from any thread."""
        self._given_up.append(message)
        self.ring()

    def ring(self) -> None:
        """End a `rest`."""
        self._rung.set()

    def rest(self, seconds: float) -> None:
        """Wait that long, or until the next message is given up."""
        self._rung.wait(seconds)
        self._rung.clear()

    def __call__(self) -> int:
        """One round over what was given up and the deadlines that passed.

        Returns how many notices became late.
        """
        return self.look_back() + self.settle() + self.overdue()

    def overdue(self) -> int:
        """Mark those whose deadline passed. Returns how many notices became late."""
        overdue = self.house.store.notices_overdue(self.house.clock.now(), BATCH)
        return sum(self._mark(notice) for notice in overdue)

    def look_back(self) -> int:
        """Once in a process: what an earlier one gave up and was killed before it marked it."""
        marked, after = 0, "" if not self._looked_back.is_set() else None
        while after is not None:
            page, after = self.house.store.messages(
                states=(MessageState.FAILED,), after=after, limit=_PAGE
            )
            marked += sum(self._undeliverable(message) for message in page)
        self._looked_back.set()
        return marked

    def settle(self) -> int:
        """Mark what was given up since. Returns how many notices became late."""
        marked = 0
        while self._given_up:
            marked += self._undeliverable(self._given_up[0])
            self._given_up.popleft()  # not before it is stored: a store that is down comes back
        return marked

    def _undeliverable(self, message: Message) -> bool:
        return insist(lambda: self._give_up(message))

    def _give_up(self, message: Message) -> bool:
        notice = message.notice_id and self.house.store.notice(message.notice_id)
        if not notice or not _is_news(message, notice):
            return False
        self.house.store.commit(SaveNotice(self._late(notice)))
        return True

    def _mark(self, notice: Notice) -> bool:
        kind, house = EventType.REMOVAL_REMINDER, self.house
        reminder: AddEvent = house.event(
            kind, notice.case_id, [notice.item_number], notice.partner_id
        )
        try:
            house.store.commit(SaveNotice(self._late(notice)), reminder)
        except Contested:
            return False  # the partner answered at this very moment: the next round looks again
        self.tell(notice.partner_id)
        return True

    def _late(self, notice: Notice) -> Notice:
        return replace(notice, late_at=self.house.clock.now(), version=notice.version + 1)


def _is_news(message: Message, notice: Notice) -> bool:
    """Whether nobody was told yet. What a withdrawal made pointless need not be told any more."""
    if message.event_type != EventType.REMOVAL_WITHDRAWN:
        return notice.late_at is None and notice.withdrawn_at is None
    taken_back_at = notice.withdrawn_at
    return notice.late_at is None or (taken_back_at is not None and notice.late_at < taken_back_at)
