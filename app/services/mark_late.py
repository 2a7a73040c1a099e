"""A deadline passed without a decision: a person is told, and the outcome says so."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from app.domain.errors import Contested
from app.ports import AddEvent, SaveNotice
from app.services.house import House, insist
from partners.events import EventType
from partners.model import Message, MessageState, Notice, PartnerId

BATCH = 100
_PAGE = 500
# A schedule lasts three days. What waited longer for a paused endpoint and was then given up by a
# process that was killed just then is not found.
LOOKS_BACK = timedelta(days=8)


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

    def look_back(self, may_go_on: Callable[[], bool] = lambda: True) -> int:
        """Once in a process: what an earlier one gave up and was killed before it marked it.

        Ends early when it may not go on, and then begins anew the next time. Partners come in
        another order each time: one with very many keeps no other from its turn for ever.
        """
        marked = 0
        if self._looked_back.is_set():
            return marked
        partners = [partner.id for partner in self.house.store.partners()]
        for partner_id in random.sample(partners, len(partners)):
            for page in self._failed(partner_id):
                marked += sum(self._undeliverable(message) for message in self._unmarked(page))
                if not may_go_on():
                    return marked
        self._looked_back.set()
        return marked

    def _failed(self, partner_id: PartnerId) -> Iterator[Sequence[Message]]:
        since, after = self.house.clock.now() - LOOKS_BACK, ""
        more = True
        while more:
            page, cursor = self.house.store.messages(
                partner_id=partner_id,
                states=(MessageState.FAILED,),
                made_since=since,
                after=after,
                limit=_PAGE,
            )
            yield page
            after, more = cursor or "", cursor is not None

    def _unmarked(self, page: Sequence[Message]) -> list[Message]:
        """Those that may have to be marked: most are, and are read together."""
        named = {message.notice_id for message in page if message.notice_id}
        notices = self.house.store.notices_named(named)
        late = {name for name, notice in notices.items() if notice.late_at is not None}
        taken_back = EventType.REMOVAL_WITHDRAWN
        return [m for m in page if m.notice_id not in late or m.event_type == taken_back]

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
