"""What this package needs from storage, keys and time. An adapter of `app` gives each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from partners.model import (
    Attempt,
    DeliveryResult,
    Endpoint,
    EndpointId,
    Message,
    MessageId,
    MessageState,
    Notice,
    NoticeId,
    Partner,
    PartnerId,
)


class Clock(Protocol):
    """Time as a thing you are given."""

    def now(self) -> datetime:
        """The present, aware, UTC."""


class Ids(Protocol):
    """Names nobody can guess."""

    def new(self, prefix: str) -> str:
        """`prefix_` and at least 120 random bits in base 62."""

    def ordered(self, prefix: str) -> str:
        """The same behind the time of its making: later ids sort after earlier ones.

        For rows that nobody outside is told of: what is made together is then stored together.
        """


class Purpose(StrEnum):
    """What a tag is for. Each has a key of its own, so that tags of two purposes never meet."""

    CASE_KEY = "case-key"
    CASE_SALT = "case-salt"
    DUPLICATE = "duplicate"
    IDEMPOTENCY = "idempotency"
    SPENT_TOKEN = "spent-token"  # noqa: S105 - a name
    API_KEY = "api-key"
    NOTICE_ID = "notice-id"
    MESSAGE_ID = "message-id"
    SEALING_SIGNER = "sealing-signer"
    AGE_WINDOW = "age-window"
    AUDIT = "audit"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value lives. Bound into the seal: moved to another row it does not open."""

    table: str
    column: str
    row: str


class KeyRing(Protocol):
    """Secrets at rest: AES-256-GCM bound to a place, and keyed tags."""

    def seal(self, place: Place, plaintext: bytes) -> bytes:
        """Encrypt for that place under the newest key."""

    def open(self, place: Place, sealed: bytes) -> bytes:
        """Decrypt. Raises an error of the implementation if moved, cut or altered."""

    def tag(self, purpose: Purpose, value: bytes) -> bytes:
        """HMAC-SHA256 of `value` under the key of that purpose, 32 bytes."""


class PartnerStore(Protocol):
    """The partners, read often and changed seldom."""

    def partner(self, partner_id: PartnerId) -> Partner | None:
        """One partner, or None."""

    def partners_named(self, ids: Iterable[PartnerId]) -> dict[PartnerId, Partner]:
        """The partners with these ids; unknown ids are left out."""

    def partners(self) -> tuple[Partner, ...]:
        """All of them, oldest first."""


class NoticeStore(Protocol):
    """Items as partners know them."""

    def notice(self, notice_id: NoticeId) -> Notice | None:
        """One notice, or None."""

    def notices_named(self, ids: Iterable[NoticeId]) -> dict[NoticeId, Notice]:
        """The notices with these ids; unknown ids are left out."""


class MessageStore(Protocol):
    """Messages and their due index: the store is the scheduler."""

    def claim_due(self, now: datetime, limit: int, lease: timedelta) -> list[Message]:
        """Take up pending messages with `due_at <= now`, oldest first.

        Each comes back with `claim` raised by one and `due_at = now + lease`, already stored:
        whoever dies holding it gives it back by doing nothing.
        """

    def claim(self, ids: Sequence[MessageId], now: datetime, lease: timedelta) -> list[Message]:
        """Take up those of these that are pending and due, as `claim_due` does, oldest first.

        For a worker that a queue tells which: whatever is not due, not pending or not there is
        left out. An id named twice counts once.
        """

    def due(self, now: datetime, limit: int) -> list[Message]:
        """Pending messages with `due_at <= now`, oldest first. A look: nothing is taken up."""

    def finish(self, results: Sequence[DeliveryResult]) -> None:
        """Store results in one commit. One whose `claim` is not the stored one is dropped whole."""

    def next_due_at(self) -> datetime | None:
        """When the earliest pending message is due; None when nothing waits."""

    def message(self, message_id: MessageId) -> Message | None:
        """One message, or None."""

    def messages(
        self,
        *,
        partner_id: PartnerId | None = None,
        states: Sequence[MessageState] = (),
        made_since: datetime | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[list[Message], str | None]:
        """A page of messages in the order they were made, and the cursor of the next one.

        With `made_since`, only those whose `created_at` is not before it.
        """

    def attempts(self, message_id: MessageId) -> list[Attempt]:
        """The tries at one message, first to last."""


class Payload(NamedTuple):
    """A message's content when it is sent.

    `outer` is the JSON `data` any proxy may read (ids, type, deadline, pull URL); `inner` is what
    is sealed to the partner, or None where there is nothing to seal.
    """

    outer: Mapping[str, object]
    inner: Mapping[str, object] | None = None


class Payloads(Protocol):
    """Builds what a message says from the state of the case at this moment."""

    def together(self, messages: Sequence[Message] = ()) -> Payloads:
        """The same for the messages of one moment: what they have in common is read once.

        What is known of these is read now, all together. Raises what their store raises.
        """

    def build(self, message: Message, partner: Partner, now: datetime) -> Payload | None:
        """The payload, or None if there is nothing left to tell (the message is cancelled)."""


class Post(NamedTuple):
    """One signed request, ready for the wire."""

    key: str  # the caller's name for it, given back with the answer
    endpoint_id: EndpointId
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` is None when nothing did; `error` is then a short stable word.

    `retry_after` is the Retry-After header in seconds (RFC 9110 section 10.2.3), if it parsed;
    `dialled` that a connection was made for it or ended with it: the next post may need another.
    """

    key: str
    status: int | None
    error: str | None
    response_bytes: int
    duration: timedelta
    retry_after: float | None = None
    dialled: bool = False


CLOSED: Final = "closed"
"""The `error` of a post that was not finished when its sender was closed. It counts as no try."""


class Sender(Protocol):
    """Posts many requests at once. Used by one thread."""

    def submit(self, post: Post) -> None:
        """Begin a post. Never blocks on the network, never raises for a bad partner."""

    def collect(self, timeout: float) -> list[Answer]:
        """The posts that ended; waits up to `timeout` seconds for the first."""

    def room(self) -> int:
        """How many more posts may be submitted now."""

    def wake(self) -> None:
        """Make a waiting `collect` return. Safe from any thread."""

    def close(self) -> None:
        """Stop; what is in flight ends as error CLOSED."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole answer to one question. Header names in lower case; a status of 0 is no answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    error: str | None = None


class Caller(Protocol):
    """Asks one endpoint one thing and waits. For enrolment: delivery never reads an answer."""

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The reply, cut at the response limit. Never raises for a bad partner."""


class EndpointGate(Protocol):
    """Whether an endpoint takes a post now (concurrency, rate, breaker)."""

    def admit(self, endpoint: Endpoint, now: datetime) -> datetime | None:
        """None to go ahead, or when to try again.

        Whoever is let through calls `answered` or `released` once.
        """

    def released(self, endpoint_id: EndpointId) -> None:
        """Tell it that a post it let through was not made."""

    def answered(self, endpoint_id: EndpointId, answer: Answer, now: datetime) -> None:
        """Tell it how a post ended."""

    def state(self, endpoint_id: EndpointId) -> str:
        """The state of its breaker: closed, open, half-open or ramp."""


class DeliveryObserver(Protocol):
    """Who is told what became of messages, after it was stored."""

    def attempted(self, message: Message, attempt: Attempt) -> None:
        """A post ended, well or badly."""

    def message_failed(self, message: Message, reason: str) -> None:
        """No further try will be made: an operator must know. `reason` is a short stable word."""

    def endpoint_disabled(self, partner_id: PartnerId, endpoint_id: EndpointId) -> None:
        """The endpoint answered 410: it is to be disabled and an operator told."""

    def stumbled(self, error: str) -> None:
        """Delivery itself failed and goes on; `error` is a word like the name of an exception."""
