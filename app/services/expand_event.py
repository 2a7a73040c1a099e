"""An outbox event becomes one message per item and endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from app.domain.case import Case, CaseState, Item
from app.domain.deadlines import DeadlinePolicy
from app.domain.errors import Contested, StoreUnavailable
from app.domain.report import takes_part
from app.ports import (
    MOST_CHANGES,
    AddMessage,
    AddNotice,
    CaseStore,
    Change,
    CloseEvent,
    SaveNotice,
    Unreadable,
)
from app.services.house import House, insist
from app.services.scrub_case import ScrubCase
from partners.events import Event, EventType
from partners.model import CaseId, EventId, Feedback, Notice, NoticeId, Partner, Word
from partners.outbox import fan_out
from partners.ports import Purpose

Items = Mapping[tuple[CaseId, int], tuple[Case, Item]]


@dataclass(frozen=True, slots=True)
class Known:
    """What events are expanded from."""

    partners: Sequence[Partner]
    items: Items


@dataclass(frozen=True, slots=True)
class ExpandEvent:
    """The relay's use case. Names are deterministic, so doing it twice makes the same rows."""

    house: House
    policies: Mapping[str, DeadlinePolicy]

    def read(self, events: Sequence[Event]) -> Known:
        """What these events are expanded from, all together."""
        requests = [event for event in events if event.type is EventType.REMOVAL_REQUESTED]
        return Known(self.house.store.partners(), _items_of(requests, self.house.store))

    def __call__(self, event: Event, known: Known | None = None) -> list[Change]:
        """The notices and messages of the event, and then its end."""
        known = known or self.read([event])
        notices = self._notices(event, known)
        messages = fan_out(
            event,
            [notice for notice, _ in notices],
            known.partners,
            self.house.clock.now(),
            lambda partner: self.policies[partner.deadline_policy].allowed,
            self._message_id,
        )
        changes: list[Change] = [change for _, change in notices if change is not None]
        return [*changes, *map(AddMessage, messages), CloseEvent(event.id)]

    def _notices(
        self, event: Event, known: Known
    ) -> list[tuple[Notice, AddNotice | SaveNotice | None]]:
        """The notices that the event is about, each with the change that it needs, if any."""
        if event.type is EventType.REMOVAL_REQUESTED:
            return [(notice, AddNotice(notice)) for notice in self._new_notices(event, known)]
        told = [n for n in self.house.store.notices_of(event.case_id) if _concerns(event, n)]
        if event.type is not EventType.REMOVAL_WITHDRAWN:
            return [(notice, None) for notice in told]
        return [self._withdrawn(notice, event) for notice in told]

    def _withdrawn(self, notice: Notice, event: Event) -> tuple[Notice, SaveNotice | None]:
        if notice.withdrawn_at is not None:
            return notice, None
        changed = replace(notice, withdrawn_at=event.at, version=notice.version + 1)
        return changed, SaveNotice(changed)

    def _new_notices(self, event: Event, known: Known) -> list[Notice]:
        """One for each item and partner; none of what was withdrawn: nobody else is told."""
        return [
            self._notice(event, item, partner)
            for case, item in (known.items[n] for n in _names(event) if n in known.items)
            if _stands(case, item)
            for partner in known.partners
            if takes_part(partner) and (not item.platforms or partner.id in item.platforms)
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


def _names(event: Event) -> list[tuple[CaseId, int]]:
    """The names of the event's items."""
    return [(event.case_id, number) for number in event.items]


def _items_of(events: Sequence[Event], store: CaseStore) -> Items:
    """The items of these events as they are now, each with its case."""
    return store.items_named(name for event in events for name in _names(event))


def _stands(case: Case, item: Item) -> bool:
    """Whether neither the item nor its case was taken back."""
    return case.state is CaseState.ACTIVE and item.withdrawn_at is None


def _asks(changes: Sequence[Change]) -> bool:
    """Whether some platform is asked for the first time."""
    return any(isinstance(change, AddNotice) for change in changes)


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
            if changes and len(changes) + len(more) > MOST_CHANGES:
                self._commit(changes, together)
                together, changes = [], []
            together.append(event)
            changes += more
        if changes:
            self._commit(changes, together)
        for event, _ in events:
            if event.type is EventType.REMOVAL_WITHDRAWN:
                self.scrub.once_forgotten(event.case_id)
        self._take_back_late([event for event, more in events if _asks(more)])
        return events

    def _take_back_late(self, events: Sequence[Event]) -> None:
        """What was withdrawn while its request was expanded is withdrawn at those partners too.

        Another relay may have expanded the withdrawal meanwhile, and found no notices yet.
        """
        found = _items_of(events, self.house.store).values()
        late = [item for case, item in found if not _stands(case, item)]
        for case_id in dict.fromkeys(item.case_id for item in late):
            self._take_back(case_id, [item.number for item in late if item.case_id == case_id])

    def _take_back(self, case_id: CaseId, numbers: list[int]) -> None:
        store = self.house.store
        told = [n for n in store.notices_of(case_id) if n.item_number in numbers]
        if any(notice.withdrawn_at is None for notice in told):
            store.commit(self.house.event(EventType.REMOVAL_WITHDRAWN, case_id, numbers))

    def _readable(self, found: Sequence[Event | Unreadable]) -> list[tuple[Event, list[Change]]]:
        """Those that can be expanded, with their changes; the others are stuck."""
        self.stuck.clear()
        self.stuck.update({row.id: row.error for row in found if isinstance(row, Unreadable)})
        events = [event for event in found if isinstance(event, Event)]
        known = self._known(events) if events else None
        return [(event, changes) for event in events if (changes := self._changes(event, known))]

    def _known(self, events: Sequence[Event]) -> Known | None:
        """What these are expanded from; None if some of it is bad: then each reads its own."""
        try:
            return self.expand.read(events)
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - one bad event must not hold up the relay
            return None

    def _changes(self, event: Event, known: Known | None) -> list[Change]:
        """The changes of the event, its own end at least; none if it is stuck."""
        try:
            return self.expand(event, known)
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
        for start in range(0, len(changes), MOST_CHANGES):
            self.house.store.commit(*changes[start : start + MOST_CHANGES])
