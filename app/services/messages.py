"""Messages seen from outside delivery: pulled and acknowledged by a partner, replayed by us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.deadlines import deadline_at
from app.domain.errors import Contested
from app.ports import SaveMessage, SaveNotice
from app.services.house import House
from partners.errors import UnknownPartner
from partners.events import EventType
from partners.model import Attempt, Message, MessageId, MessageState, Partner, PartnerId
from partners.outbox import acknowledged, replayed, to_replay

WAITING = (MessageState.PENDING, MessageState.FAILED)
_PAGE = 500


@dataclass(frozen=True, slots=True)
class PullMessages:
    """The fallback for a partner that takes no webhooks, or missed some."""

    house: House

    def page(
        self,
        partner: Partner,
        after: str,
        limit: int,
        states: Sequence[MessageState] = WAITING,
    ) -> tuple[list[Message], str | None]:
        """Messages in those states, oldest first, and the next cursor (None at the end).

        By default what is not yet received or acknowledged.
        """
        return self.house.store.messages(
            partner_id=partner.id, states=states, after=after, limit=limit
        )

    def attempts(self, partner: Partner, message_id: MessageId) -> list[Attempt]:
        """The posts of one message, first to last. Raises UnknownPartner for another's."""
        return self.house.store.attempts(self._own(partner, message_id).id)

    def acknowledge(self, partner: Partner, ids: Sequence[MessageId]) -> int:
        """Mark messages as received. Raises UnknownPartner for one that is not this partner's."""
        messages = [self._own(partner, message_id) for message_id in dict.fromkeys(ids)]
        waiting = [message for message in messages if message.state in WAITING]
        for message in waiting:
            self.house.store.commit(SaveMessage(acknowledged(message)), *self._clock(message))
        return len(waiting)

    def _own(self, partner: Partner, message_id: MessageId) -> Message:
        message = self.house.store.message(message_id)
        if message is None or message.partner_id != partner.id:
            raise UnknownPartner
        return message

    def _clock(self, message: Message) -> list[SaveNotice]:
        """Having pulled a request counts as its delivery: the deadline starts."""
        notice = message.notice_id and self.house.store.notice(message.notice_id)
        asks = message.event_type == EventType.REMOVAL_REQUESTED
        if not notice or not asks or notice.delivered_at is not None:
            return []
        now = self.house.clock.now()
        due = deadline_at(now, message.deadline)
        delivered = replace(notice, delivered_at=now, deadline_at=due, version=notice.version + 1)
        return [SaveNotice(delivered)]


@dataclass(frozen=True, slots=True)
class ReplayMessages:
    """Send again what was given up or lost at the partner, under the same webhook-id."""

    house: House

    def one(self, message_id: MessageId) -> bool:
        """Make one message due now. Raises UnknownPartner, TransitionRefused."""
        message = self.house.store.message(message_id)
        if message is None:
            raise UnknownPartner("there is no such message")
        return self._again(message)

    def rows(
        self, partner_id: str | None, states: Sequence[str], limit: int
    ) -> list[dict[str, object]]:
        """Messages for an operator's eyes, oldest first: ids and counts, nothing of the items."""
        page, _ = self.house.store.messages(
            partner_id=PartnerId(partner_id) if partner_id else None,
            states=[MessageState(state) for state in states],
            limit=limit,
        )
        return [_row(message) for message in page]

    def show(self, message_id: MessageId) -> dict[str, object]:
        """One message and its posts for an operator's eyes. Raises UnknownPartner."""
        message = self.house.store.message(message_id)
        if message is None:
            raise UnknownPartner("there is no such message")
        return {
            **_row(message),
            "endpoint": message.endpoint_id,
            "created_at": message.created_at,
            "posts": [attempt_row(attempt) for attempt in self.house.store.attempts(message_id)],
        }

    def all_failed(self, partner_id: PartnerId | None = None) -> int:
        """Make every failed message due now. Returns how many."""
        return self.range(partner_id)

    def range(
        self,
        partner_id: PartnerId | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        states: Sequence[MessageState] = (MessageState.FAILED,),
    ) -> int:
        """Make the messages made in [since, until) due now. Returns how many."""
        count, after = 0, ""
        while True:
            page, cursor = self.house.store.messages(
                partner_id=partner_id,
                states=states,
                made_since=since,
                after=after,
                limit=_PAGE,
            )
            chosen = to_replay(page, states=states, since=since, until=until)
            count += sum(self._again(message) for message in chosen)
            if cursor is None or (until is not None and page and page[-1].created_at >= until):
                return count
            after = cursor

    def _again(self, message: Message) -> bool:
        due = replayed(message, self.house.clock.now())
        try:
            self.house.store.commit(SaveMessage(due))
        except Contested:
            return False  # delivery has it in hand at this moment
        return True


def attempt_row(attempt: Attempt) -> dict[str, object]:
    """One post: when, how long, and what came of it. Bodies are not kept."""
    return {
        "number": attempt.number,
        "started_at": attempt.started_at.isoformat(),
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "error": attempt.error,
        "response_bytes": attempt.response_bytes,
        "breaker": attempt.breaker,
    }


def _row(message: Message) -> dict[str, object]:
    return {
        "id": message.id,
        "type": message.event_type,
        "partner": message.partner_id,
        "state": message.state,
        "attempts": message.attempts,
        "due_at": message.due_at,
    }
