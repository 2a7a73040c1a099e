"""The ports of `partners`, held in memory: for tests of what uses them."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from partners.model import (
    Attempt,
    CaseId,
    DeliveryResult,
    EndpointId,
    Feedback,
    Message,
    MessageId,
    MessageState,
    Notice,
    NoticeId,
    Partner,
    PartnerId,
    Word,
)
from partners.ports import Payload, Place, Purpose

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SystemClock:
    """Time as it passes."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class SetClock:
    """Time that passes when told to."""

    at: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        self.at += by


class CountingIds:
    """Names in order; never so in earnest."""

    def __init__(self) -> None:
        self._made = 0

    def new(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self._made:024d}"

    def ordered(self, prefix: str) -> str:
        return self.new(prefix)


class MemoryKeys:
    """A real key ring whose root key is a constant."""

    _root = hashlib.sha256(b"tests only").digest()

    def __init__(self) -> None:
        self.opened = 0
        self._nonce = 0

    def seal(self, place: Place, plaintext: bytes) -> bytes:
        self._nonce += 1
        nonce = self._nonce.to_bytes(12, "big")
        return nonce + AESGCM(self._root).encrypt(nonce, plaintext, repr(place).encode())

    def open(self, place: Place, sealed: bytes) -> bytes:
        self.opened += 1
        try:
            return AESGCM(self._root).decrypt(sealed[:12], sealed[12:], repr(place).encode())
        except InvalidTag:
            raise ValueError("the seal is broken") from None

    def tag(self, purpose: Purpose, value: bytes) -> bytes:
        return hmac.digest(self._root, purpose.encode() + b"|" + value, "sha256")


class MemoryPartners:
    """A few partners."""

    def __init__(self, *partners: Partner) -> None:
        self.by_id = {partner.id: partner for partner in partners}

    def partner(self, partner_id: PartnerId) -> Partner | None:
        return self.by_id.get(partner_id)

    def partners_named(self, ids: Iterable[PartnerId]) -> dict[PartnerId, Partner]:
        return {name: self.by_id[name] for name in ids if name in self.by_id}

    def partners(self) -> tuple[Partner, ...]:
        return tuple(self.by_id.values())

    def put(self, partner: Partner) -> None:
        self.by_id[partner.id] = partner


def a_notice(notice_id: NoticeId, partner: str = "ptn_one") -> Notice:
    said = Feedback(Word.SENT, EPOCH)
    return Notice(notice_id, PartnerId(partner), CaseId("case_one"), 1, EPOCH, said)


class MemoryMessages:
    """A MessageStore in a dictionary; also the rig of its own contract test."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._messages: dict[MessageId, Message] = {}
        self._pending: dict[MessageId, datetime] = {}
        self._attempts: dict[MessageId, list[Attempt]] = {}
        self._notices: dict[NoticeId, Notice] = {}
        self.commits = 0

    @property
    def store(self) -> MemoryMessages:
        return self

    def add(self, *messages: Message) -> None:
        with self._lock:
            for message in messages:
                if message.id not in self._messages:
                    self._put(message)
                if message.notice_id is not None:
                    self._notices.setdefault(message.notice_id, a_notice(message.notice_id))

    def save(self, message: Message) -> None:
        with self._lock:
            if self._messages[message.id].claim != message.claim - 1:
                raise ValueError("contested")
            self._put(message)

    def notice(self, notice_id: NoticeId) -> Notice | None:
        return self._notices.get(notice_id)

    def claim_due(self, now: datetime, limit: int, lease: timedelta) -> list[Message]:
        with self._lock:
            return self._take(self.due(now, limit), now + lease)

    def claim(self, ids: Sequence[MessageId], now: datetime, lease: timedelta) -> list[Message]:
        with self._lock:
            due = self.due(now, len(self._pending))
            return self._take([message for message in due if message.id in ids], now + lease)

    def due(self, now: datetime, limit: int) -> list[Message]:
        with self._lock:
            due = [(at, name) for name, at in self._pending.items() if at <= now]
            return [self._messages[name] for _, name in sorted(due)[:limit]]

    def finish(self, results: Sequence[DeliveryResult]) -> None:
        with self._lock:
            self.commits += 1
            for result in results:
                self._finish(result)

    def next_due_at(self) -> datetime | None:
        with self._lock:
            return min(self._pending.values(), default=None)

    def message(self, message_id: MessageId) -> Message | None:
        return self._messages.get(message_id)

    def messages(
        self,
        *,
        partner_id: PartnerId | None = None,
        states: Sequence[MessageState] = (),
        made_since: datetime | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[list[Message], str | None]:
        found = [
            message
            for message in self.all()
            if (partner_id is None or message.partner_id == partner_id)
            and (not states or message.state in states)
            and (made_since is None or message.created_at >= made_since)
            and _cursor(message) > after
        ]
        page = found[:limit]
        return page, _cursor(page[-1]) if len(found) > limit else None

    def attempts(self, message_id: MessageId) -> list[Attempt]:
        return list(self._attempts.get(message_id, []))

    def all(self) -> list[Message]:
        """Every message, in the order made."""
        with self._lock:
            return sorted(self._messages.values(), key=_cursor)

    def _take(self, messages: Sequence[Message], until: datetime) -> list[Message]:
        taken = [replace(one, claim=one.claim + 1, due_at=until) for one in messages]
        for message in taken:
            self._put(message)
        return taken

    def _put(self, message: Message) -> None:
        self._messages[message.id] = message
        self._pending.pop(message.id, None)
        if message.state is MessageState.PENDING and message.due_at is not None:
            self._pending[message.id] = message.due_at

    def _finish(self, result: DeliveryResult) -> None:
        if self._messages[result.message.id].claim != result.message.claim:
            return
        self._put(result.message)
        if result.attempt is not None:
            self._attempts.setdefault(result.message.id, []).append(result.attempt)
        if (told := result.delivered) is not None:
            notice = self._notices[told.notice_id]
            if notice.delivered_at is None:
                self._notices[told.notice_id] = replace(
                    notice, delivered_at=told.at, deadline_at=told.deadline_at
                )


def _cursor(message: Message) -> str:
    return f"{message.created_at.isoformat(timespec='microseconds')}|{message.id}"


@dataclass
class MadePayloads:
    """Payloads from a function; by default an outer part and two hashes."""

    make: Callable[[Message], Payload | None] | None = None

    def together(self, messages: Sequence[Message] = ()) -> MadePayloads:
        return self

    def build(self, message: Message, partner: Partner, now: datetime) -> Payload | None:
        if self.make is not None:
            return self.make(message)
        inner = {"item_id": message.notice_id, "hashes": ["ab" * 32, "cd" * 32]}
        return Payload({"item_id": message.notice_id}, inner)


@dataclass
class Watcher:
    """A DeliveryObserver that remembers."""

    attempts: list[Attempt] = field(default_factory=list)
    failed: list[tuple[MessageId, str]] = field(default_factory=list)
    disabled: list[EndpointId] = field(default_factory=list)
    stumbles: list[str] = field(default_factory=list)

    def attempted(self, message: Message, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def message_failed(self, message: Message, reason: str) -> None:
        self.failed.append((message.id, reason))

    def endpoint_disabled(self, partner_id: PartnerId, endpoint_id: EndpointId) -> None:
        self.disabled.append(endpoint_id)

    def stumbled(self, error: str) -> None:
        self.stumbles.append(error)


def states_of(messages: Iterable[Message]) -> set[MessageState]:
    return {message.state for message in messages}
