"""An outbox event becomes one message per item and endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.domain.case import Case, CaseState, Item
from app.domain.deadlines import DeadlinePolicy
from app.domain.errors import Contested
from app.domain.report import takes_part
from app.ports import AddMessage, AddNotice, Change, CloseEvent, SaveNotice
from app.services.house import House
from app.services.scrub_case import ScrubCase
from partners.events import Event, EventType
from partners.model import Feedback, Notice, NoticeId, Partner, Word
from partners.outbox import fan_out
from partners.ports import Purpose

CHUNK = 90  # changes in one commit; a DynamoDB transaction holds at most 100


@dataclass(frozen=True, slots=True)
class ExpandEvent:
    """The relay's use case. Names are deterministic, so doing it twice makes the same rows."""

    house: House
    policies: Mapping[str, DeadlinePolicy]
    scrub: ScrubCase

    def __call__(self, event: Event) -> int:
        """Store the notices and messages of the event, then close it. Returns the messages made."""
        case = self.house.store.case(event.case_id)
        notices = self._notices(event, case)
        messages = fan_out(
            event,
            [notice for notice, _ in notices],
            self.house.store.partners(),
            self.house.clock.now(),
            lambda partner: self.policies[partner.deadline_policy].allowed,
            self._message_id,
        )
        changes: list[Change] = [change for _, change in notices if change is not None]
        changes += [AddMessage(message) for message in messages]
        self._commit(changes, event)
        if event.type is EventType.REMOVAL_WITHDRAWN:
            self.scrub.once_forgotten(event.case_id)
        return len(messages)

    def _commit(self, changes: list[Change], event: Event) -> None:
        """In chunks, the event closed in the last: whoever dies in between starts over."""
        while len(changes) >= CHUNK:
            self.house.store.commit(*changes[:CHUNK])
            del changes[:CHUNK]
        self.house.store.commit(*changes, CloseEvent(event.id))

    def _notices(
        self, event: Event, case: Case | None
    ) -> list[tuple[Notice, AddNotice | SaveNotice | None]]:
        """The notices that the event is about, each with the change that it needs, if any."""
        if case is None:
            return []
        if event.type is EventType.REMOVAL_REQUESTED:
            return [(notice, AddNotice(notice)) for notice in self._new_notices(event, case)]
        told = [n for n in self.house.store.notices_of(case.id) if _concerns(event, n)]
        if event.type is not EventType.REMOVAL_WITHDRAWN:
            return [(notice, None) for notice in told]
        return [self._withdrawn(notice, event) for notice in told]

    def _withdrawn(self, notice: Notice, event: Event) -> tuple[Notice, SaveNotice | None]:
        if notice.withdrawn_at is not None:
            return notice, None
        changed = replace(notice, withdrawn_at=event.at, version=notice.version + 1)
        return changed, SaveNotice(changed)

    def _new_notices(self, event: Event, case: Case) -> list[Notice]:
        """One for each item and partner; none once the case was withdrawn: nobody else is told."""
        if case.state is not CaseState.ACTIVE:
            return []
        partners = [partner for partner in self.house.store.partners() if takes_part(partner)]
        items = [item for item in self.house.store.items(case.id) if item.number in event.items]
        return [
            self._notice(event, item, partner)
            for item in items
            for partner in partners
            if not item.platforms or partner.id in item.platforms
        ]

    def _notice(self, event: Event, item: Item, partner: Partner) -> Notice:
        text = f"{item.case_id}|{item.number}|{partner.id}".encode()
        name = self.house.keys.tag(Purpose.NOTICE_ID, text)[:16].hex()
        return Notice(
            id=NoticeId(f"itm_{name}"),
            partner_id=partner.id,
            case_id=item.case_id,
            item_number=item.number,
            created_at=event.at,
            feedback=Feedback(Word.SENT, event.at),
        )

    def _message_id(self, text: str) -> str:
        return self.house.keys.tag(Purpose.MESSAGE_ID, text.encode())[:16].hex()


def _concerns(event: Event, notice: Notice) -> bool:
    everybody = event.partner_id is None
    return notice.item_number in event.items and (
        everybody or event.partner_id == notice.partner_id
    )


@dataclass(frozen=True, slots=True)
class ExpandEvents:
    """Every event that waits, oldest first."""

    house: House
    expand: ExpandEvent

    def __call__(self, limit: int = 100) -> int:
        """Expand what waits, at most `limit` events; returns how many were dealt with."""
        events = self.house.store.open_events(limit)
        for event in events:
            self._one(event)
        return len(events)

    def _one(self, event: Event) -> None:
        """A partner's answer may change a notice meanwhile: load again and do it again."""
        for _ in range(10):
            try:
                self.expand(event)
                return
            except Contested:
                continue
