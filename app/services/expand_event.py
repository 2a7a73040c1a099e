"""An outbox event becomes one message per item and endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from app.domain.case import Case, CaseState, Item
from app.domain.deadlines import DeadlinePolicy
from app.domain.errors import Contested, StoreUnavailable
from app.domain.report import takes_part
from app.ports import AddMessage, AddNotice, Change, CloseEvent, SaveNotice, Unreadable
from app.services.house import House, insist
from app.services.scrub_case import ScrubCase
from partners.events import Event, EventType
from partners.model import EventId, Feedback, Notice, NoticeId, Partner, Word
from partners.outbox import fan_out
from partners.ports import Purpose

CHUNK = 100  # changes in one commit, as many as a DynamoDB transaction holds


@dataclass(frozen=True, slots=True)
class ExpandEvent:
    """The relay's use case. Names are deterministic, so doing it twice makes the same rows."""

    house: House
    policies: Mapping[str, DeadlinePolicy]

    def __call__(self, event: Event) -> list[Change]:
        """The notices and messages of the event, and then its end."""
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
        return [*changes, *map(AddMessage, messages), CloseEvent(event.id)]

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
        """One for each item and partner; none of what was withdrawn: nobody else is told."""
        if case.state is not CaseState.ACTIVE:
            return []
        partners = [partner for partner in self.house.store.partners() if takes_part(partner)]
        items = [
            item
            for item in self.house.store.items(case.id)
            if item.number in event.items and item.withdrawn_at is None
        ]
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
    """Every event that waits, oldest first, as few commits as hold them."""

    house: House
    expand: ExpandEvent
    scrub: ScrubCase
    # Events that could not be expanded in the last round, and why: they stay in the outbox, are
    # tried again each time, and hold up no other.
    stuck: dict[EventId, str] = field(default_factory=dict)

    def __call__(self, limit: int = 100) -> int:
        """Expand what waits, at most `limit` events; returns how many were dealt with."""
        return len(self.these(self.house.store.open_events(limit + len(self.stuck))))

    def these(self, found: Sequence[Event | Unreadable]) -> list[tuple[Event, list[Change]]]:
        """Expand these; those that were dealt with, and what each became."""
        events = self._readable(found)
        together: list[Event] = []
        changes: list[Change] = []
        for event, more in events:
            if changes and len(changes) + len(more) > CHUNK:
                self._commit(changes, together)
                together, changes = [], []
            together.append(event)
            changes += more
        if changes:
            self._commit(changes, together)
        for event, more in events:
            if event.type is EventType.REMOVAL_WITHDRAWN:
                self.scrub.once_forgotten(event.case_id)
            elif any(isinstance(change, AddNotice) for change in more):
                self._take_back_late(event)
        return events

    def _take_back_late(self, event: Event) -> None:
        """What was withdrawn while its request was expanded is withdrawn at those partners too.

        Another relay may have expanded the withdrawal meanwhile, and found no notices yet.
        """
        case = self.house.store.case(event.case_id)
        if case is None:
            return
        late = [
            item.number
            for item in self.house.store.items(case.id)
            if item.number in event.items
            and (case.state is not CaseState.ACTIVE or item.withdrawn_at is not None)
        ]
        told = [n for n in self.house.store.notices_of(case.id) if n.item_number in late]
        if any(notice.withdrawn_at is None for notice in told):
            self.house.store.commit(self.house.event(EventType.REMOVAL_WITHDRAWN, case.id, late))

    def _readable(self, found: Sequence[Event | Unreadable]) -> list[tuple[Event, list[Change]]]:
        """Those that can be expanded, with their changes; the others are stuck."""
        self.stuck.clear()
        self.stuck.update({row.id: row.error for row in found if isinstance(row, Unreadable)})
        events = [event for event in found if isinstance(event, Event)]
        return [(event, changes) for event in events if (changes := self._changes(event))]

    def _changes(self, event: Event) -> list[Change]:
        """The changes of the event, its own end at least; none if it is stuck."""
        try:
            return self.expand(event)
        except StoreUnavailable:
            raise  # that is the matter of all of them
        except Exception as fault:  # noqa: BLE001 - one bad event must not hold up the relay
            self.stuck[event.id] = type(fault).__name__
            return []

    def _commit(self, changes: list[Change], events: list[Event]) -> None:
        try:
            self._store(changes)
        except Contested:
            # A partner answered meanwhile. Each event by itself, from what is stored now.
            for event in events:
                self._alone(event)

    def _alone(self, event: Event) -> None:
        with suppress(Contested):  # it stays in the outbox, for the next round
            insist(lambda: self._store(self.expand(event)))

    def _store(self, changes: list[Change]) -> None:
        """In chunks, an event's end in its last: whoever dies in between starts over."""
        for start in range(0, len(changes), CHUNK):
            self.house.store.commit(*changes[start : start + CHUNK])
