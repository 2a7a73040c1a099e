"""What the use cases need from the outside. Adapters give it; `tests/contract/` proves each one.

All changes go through `UnitOfWork.commit`: a handful of changes, all or none, at most 100 rows and
no joins, so that SQLite and DynamoDB can both keep the promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from app.domain.age import AgeClaim, Presentation
from app.domain.audit import AuditEntry
from app.domain.case import Case, Item
from partners.events import Event
from partners.model import Attempt, CaseId, EventId, Message, Notice, Partner
from partners.ports import MessageStore, NoticeStore, PartnerStore


@dataclass(frozen=True, slots=True)
class AddCase:
    """A new case. Refused with CaseKeyTaken if its key tag is in use."""

    case: Case


@dataclass(frozen=True, slots=True)
class SaveCase:
    """A changed case. Refused with Contested unless the stored version is `version - 1`."""

    case: Case


@dataclass(frozen=True, slots=True)
class PutItem:
    """An item, new or changed. Always goes with its case, whose version guards it."""

    item: Item


@dataclass(frozen=True, slots=True)
class SpendToken:
    """An age token's use. Refused with AgeTokenSpent if it was used. Dropped after `expires_at`."""

    tag: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Remembered:
    """An answer kept for its Idempotency-Key. `fingerprint` is the keyed digest of the body."""

    tag: bytes
    fingerprint: bytes
    answer: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep an answer. Refused with Contested if the key has one already."""

    remembered: Remembered


@dataclass(frozen=True, slots=True)
class AddAudit:
    """The audit entry of this change."""

    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class AddEvent:
    """An outbox event of this change."""

    event: Event


@dataclass(frozen=True, slots=True)
class CloseEvent:
    """Every message of that event is stored: it leaves the outbox."""

    event_id: EventId


@dataclass(frozen=True, slots=True)
class AddNotice:
    """An item at a partner. A repeat of the same id changes nothing."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class SaveNotice:
    """A changed notice. Refused with Contested unless the stored version is `version - 1`."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class AddMessage:
    """A message for an endpoint. A repeat of the same id changes nothing."""

    message: Message


@dataclass(frozen=True, slots=True)
class SaveMessage:
    """A message moved outside delivery (replay, pull, cancel).

    Refused with Contested unless the stored claim is `claim - 1`.
    """

    message: Message


@dataclass(frozen=True, slots=True)
class SavePartner:
    """A partner, new (version 1) or changed. Refused with Contested on the wrong version."""

    partner: Partner


Change = (
    AddCase
    | SaveCase
    | PutItem
    | SpendToken
    | Remember
    | AddAudit
    | AddEvent
    | CloseEvent
    | AddNotice
    | SaveNotice
    | AddMessage
    | SaveMessage
    | SavePartner
)

MOST_CHANGES: Final = 100
"""In one unit: what a DynamoDB transaction holds."""


def require_few(changes: Sequence[Change]) -> None:
    """ValueError for more than `MOST_CHANGES`: what `UnitOfWork.commit` checks first."""
    if len(changes) > MOST_CHANGES:
        raise ValueError(f"a unit of {len(changes)} changes, at most {MOST_CHANGES}")


class News(StrEnum):
    """What a commit left for a worker to do."""

    EVENTS = "events"
    MESSAGES = "messages"


class UnitOfWork(Protocol):
    """The only way in for changes."""

    def commit(self, *changes: Change) -> None:
        """Store all or none, durably, before returning; at most 100 changes.

        Raises ValueError for more, and CaseKeyTaken, AgeTokenSpent or Contested for the first
        change that is refused.
        """


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case, its items by number, and its notices by item and partner."""

    case: Case
    items: list[Item]
    notices: list[Notice]


class CaseStore(NoticeStore, Protocol):
    """Cases with their items and notices."""

    def case_by_key(self, key_tag: bytes) -> Case | None:
        """The case that this key tag opens, or None."""

    def file_by_key(self, key_tag: bytes) -> CaseFile | None:
        """That case with its items and notices, or None."""

    def case(self, case_id: CaseId) -> Case | None:
        """One case, or None."""

    def items(self, case_id: CaseId) -> list[Item]:
        """The items of a case, by number."""

    def items_named(
        self, names: Iterable[tuple[CaseId, int]]
    ) -> dict[tuple[CaseId, int], tuple[Case, Item]]:
        """The items of these cases and numbers, each with its case; unknown ones are left out."""

    def notices_of(self, case_id: CaseId) -> list[Notice]:
        """What each partner was told and said of the case, by item and partner."""

    def duplicates(self, duplicate_tag: bytes) -> int:
        """How many items that are not scrubbed carry this tag."""

    def cases_to_sweep(self, now: datetime, limit: int) -> list[Case]:
        """Cases whose `sweep_at` has come, longest overdue first."""

    def notices_overdue(self, now: datetime, limit: int) -> list[Notice]:
        """Notices past `deadline_at`: not decided, not withdrawn, not yet marked late."""

    def purge_case(self, case_id: CaseId) -> None:
        """Delete the case, its items, notices, messages, attempts and open events.

        Its audit chain stays. Repeating it is harmless.
        """


class AnswerStore(Protocol):
    """Answers kept for their Idempotency-Key."""

    def remembered(self, tag: bytes, now: datetime) -> Remembered | None:
        """The answer of that key, unless it has expired."""


class AuditLog(Protocol):
    """The audit chains."""

    def audit_of(self, case_id: CaseId) -> list[AuditEntry]:
        """The entries of one case, first to last."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An outbox row that no event can be made of: damaged, or of a kind this program is unaware of.

    `error` is the name of the exception's class.
    """

    id: EventId
    error: str


class EventStore(Protocol):
    """The outbox."""

    def open_events(self, limit: int) -> Sequence[Event | Unreadable]:
        """Events not yet expanded into messages, oldest first; a bad row stands among them."""

    def events_named(self, ids: Iterable[EventId]) -> list[Event | Unreadable]:
        """The events with these ids that are not yet expanded, in this order."""


class Janitor(Protocol):
    """Forgets what is kept only for a while."""

    def drop_expired(self, now: datetime, attempts_before: datetime, audit_before: datetime) -> int:
        """Delete spent tokens and answers that expired, old attempts, old audit chains.

        A chain goes whole, and only once its case is gone. Returns the number of rows deleted.
        """


Record = (
    Partner
    | Case
    | Item
    | AuditEntry
    | Event
    | Notice
    | Message
    | Attempt
    | SpendToken
    | Remembered
)
"""All that a store keeps. An export has them kind by kind, in this order."""

R = TypeVar("R", bound=Record)


class Archive(Protocol):
    """Everything there is, to be moved to another store. The service must not run meanwhile."""

    def records(self, kind: type[R], after: str, limit: int) -> tuple[list[R], str | None]:
        """A page of one kind, and the cursor of the next one; messages in their order of making."""

    def restore(self, records: Sequence[Record]) -> None:
        """Put records as they are, durably. What is there under the same name stays."""


class Store(
    UnitOfWork,
    CaseStore,
    AnswerStore,
    AuditLog,
    EventStore,
    PartnerStore,
    MessageStore,
    Janitor,
    Archive,
    Protocol,
):
    """Everything one database adapter gives. Use cases ask for the part that they need."""

    def ping(self) -> None:
        """Raise if the store cannot answer now (readiness)."""

    def close(self) -> None:
        """Finish what was accepted and stop."""


class Queue(Protocol):
    """Wakes senders in other processes. Only a hint: the store knows what is due."""

    def announce(self, messages: Sequence[Message]) -> None:
        """Tell of new messages. Raises QueueUnavailable unless every one was taken."""

    def remind(self, messages: Sequence[Message], now: datetime) -> None:
        """Tell of messages that are due or soon will be; those due later are left out.

        Raises QueueUnavailable unless every one was taken.
        """

    def reminders(self) -> int:
        """About how many reminders nobody has looked at yet. Raises QueueUnavailable."""


class AgeVerifier(Protocol):
    """Checks one profile of age proof (docs/AGE.md)."""

    profile: str
    scheme: str  # of Authorization (RFC 9110 section 11.1), "" if no token is sent

    def asks(self) -> list[str]:
        """What stands in `WWW-Authenticate` where this proof is missing or refused."""

    def challenge(self) -> dict[str, object]:
        """What a device must know to get a proof that this verifier accepts."""

    def verify(self, presentation: Presentation, now: datetime) -> AgeClaim:
        """What the proof asserts. Raises AgeRefused with the reason of the first failed check."""
