"""What is kept only for a while goes when its time is over; what a killed sender gave up is marked.

The sender marks what it gives up itself. Looking for what it could not is here and not with the
sweeper, because it reads many failed messages.

No guard against a clock that is ahead, as the worker of one machine has one: the clock that decides
here signs each request too, and AWS refuses what is more than five minutes off (decision 0018).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from app.bootstrap import foundation
from app.functions.failing import silently
from app.services.catalogue import Services
from app.settings import Settings
from partners.events import EventType
from partners.model import Message, MessageState, PartnerId

RESERVE: Final = timedelta(seconds=30)  # for the round that is under way to end
# A schedule lasts three days; what waited longer for a paused endpoint and was then given up by a
# sender that was killed just then is not found.
LOOKS_BACK: Final = timedelta(days=8)
_PAGE: Final = 500

Left = Callable[[], timedelta]


@dataclass(slots=True)
class Purge:
    """Rounds of erasure, then one look back in the life of a sandbox."""

    services: Services
    has_looked_back: bool = False

    def __call__(self, left: Left) -> None:
        """Until nothing is left to do or the time is; the next run goes on."""
        while self.services.purge_expired() and left() > RESERVE:
            pass
        if not self.has_looked_back:
            self.has_looked_back = self._look_back(left)

    def _look_back(self, left: Left) -> bool:
        """Mark what was given up and is not marked; whether all was looked at.

        Partners come in another order each time, so that one with very many keeps no other from
        its turn for ever.
        """
        partners = [partner.id for partner in self.services.house.store.partners()]
        for partner_id in random.sample(partners, len(partners)):
            for page in self._failed(partner_id):
                for message in self._unmarked(page):
                    self.services.mark_late.given_up(message)
                self.services.mark_late.settle()
                if left() <= RESERVE:
                    return False
        return True

    def _failed(self, partner_id: PartnerId) -> Iterator[Sequence[Message]]:
        house = self.services.house
        after: str | None = _made_since(house.clock.now().timestamp() - LOOKS_BACK.total_seconds())
        while after is not None:
            page, after = house.store.messages(
                partner_id=partner_id, states=(MessageState.FAILED,), after=after, limit=_PAGE
            )
            yield page

    def _unmarked(self, page: Sequence[Message]) -> list[Message]:
        """Those that may have to be marked: most are, and are read a hundred at a time."""
        named = {message.notice_id for message in page if message.notice_id}
        notices = self.services.house.store.notices_named(named)
        late = {name for name, notice in notices.items() if notice.late_at is not None}
        taken_back = EventType.REMOVAL_WITHDRAWN
        return [m for m in page if m.notice_id not in late or m.event_type == taken_back]


def _made_since(seconds: float) -> str:
    """A cursor: those of messages begin with the time of making (adapters/dynamodb/keys.md)."""
    return f"{int(seconds * 1_000_000):014x}{0:06x}"


@silently("purge")
def handler(_event: dict[str, Any], context: Any) -> None:
    """What is over goes."""
    _purge()(lambda: timedelta(milliseconds=context.get_remaining_time_in_millis()))


@cache
def _purge() -> Purge:
    return Purge(foundation(Settings.from_env(os.environ), takes_reports=False).services)
