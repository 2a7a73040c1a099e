"""A deadline passed without a decision: a person is told, and the outcome says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.domain.errors import Contested
from app.ports import AddEvent, SaveNotice
from app.services.house import House
from partners.events import EventType
from partners.model import Notice, NoticeId, PartnerId

BATCH = 100
TRIES = 10  # nobody asks again for a message that was given up


@dataclass(frozen=True, slots=True)
class MarkLate:
    """Marks notices late, reminds their partner, and `tell`s the operator of a missed deadline."""

    house: House
    tell: Callable[[PartnerId], None]

    def __call__(self) -> int:
        """One round over the deadlines that passed. Returns how many notices became late."""
        overdue = self.house.store.notices_overdue(self.house.clock.now(), BATCH)
        return sum(self._mark(notice, remind=True) for notice in overdue)

    def undeliverable(self, notice_id: NoticeId) -> bool:
        """A message was given up: its item is late too, deadline or not, and so is its end."""
        for _ in range(TRIES):
            notice = self.house.store.notice(notice_id)
            if notice is None or _known_late(notice):
                return False
            if self._mark(notice, remind=False):
                return True
        return False

    def _mark(self, notice: Notice, *, remind: bool) -> bool:
        late = replace(notice, late_at=self.house.clock.now(), version=notice.version + 1)
        try:
            self.house.store.commit(SaveNotice(late), *self._reminder(late, remind))
        except Contested:
            return False  # the partner answered at this very moment: the next round looks again
        if remind:
            self.tell(notice.partner_id)
        return True

    def _reminder(self, notice: Notice, remind: bool) -> list[AddEvent]:
        if not remind:
            return []
        kind = EventType.REMOVAL_REMINDER
        return [self.house.event(kind, notice.case_id, [notice.item_number], notice.partner_id)]


def _known_late(notice: Notice) -> bool:
    """Whether it was marked since it was withdrawn, or at all if it was not."""
    if notice.late_at is None:
        return False
    return notice.withdrawn_at is None or notice.late_at >= notice.withdrawn_at
