"""The nouns of this package: a partner, its endpoints, what it is told and what it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NewType

from partners.errors import UnknownPartner

PartnerId = NewType("PartnerId", str)  # ptn_…
EndpointId = NewType("EndpointId", str)  # end_…
NoticeId = NewType("NoticeId", str)  # itm_…: the only name by which a partner knows an item
MessageId = NewType("MessageId", str)  # msg_…: the webhook-id, the same on every retry
EventId = NewType("EventId", str)  # evt_…
CaseId = NewType("CaseId", str)  # case_…: never told to a partner


class PartnerStatus(StrEnum):
    """Whether a partner is told anything."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class EndpointStatus(StrEnum):
    """Whether an endpoint is posted to."""

    UNVERIFIED = "unverified"  # it has not echoed its challenge: it is told nothing else
    ACTIVE = "active"
    PAUSED = "paused"  # its messages wait
    DISABLED = "disabled"  # it answered 410, or an operator closed it


class SigningScheme(StrEnum):
    """Standard Webhooks 1.0.0 signature versions."""

    V1A = "v1a"  # Ed25519: a secret leaked at the partner cannot forge
    V1 = "v1"  # HMAC-SHA256, for receivers whose library knows no other


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A secret at rest. `retired_at` is when it stops being used; None while it is the newest."""

    id: str
    sealed: bytes
    created_at: datetime
    retired_at: datetime | None = None

    def live(self, now: datetime) -> bool:
        """Whether it still signs at `now` (both keys do during a rotation's overlap)."""
        return self.retired_at is None or now < self.retired_at


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The keyed digest of a secret with which a partner calls us; the secret is not kept."""

    digest: bytes
    created_at: datetime
    retired_at: datetime | None = None

    def live(self, now: datetime) -> bool:
        """Whether it still opens the partner API at `now`."""
        return self.retired_at is None or now < self.retired_at


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place of a partner's that messages go to; without a URL they wait to be pulled.

    `event_types` empty means every type. `rate_per_minute` is what it granted at enrolment
    (WebHook-Allowed-Rate); None means it set no limit.
    """

    id: EndpointId
    url: str | None
    scheme: SigningScheme
    keys: tuple[SealedKey, ...]
    status: EndpointStatus = EndpointStatus.ACTIVE
    event_types: tuple[str, ...] = ()
    rate_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Partner:
    """A participating platform. `jwks` is its public JWK Set (RFC 7517) for sealed messages."""

    id: PartnerId
    name: str
    deadline_policy: str
    endpoints: tuple[Endpoint, ...]
    api_keys: tuple[ApiKey, ...]
    created_at: datetime
    status: PartnerStatus = PartnerStatus.ACTIVE
    jwks: str | None = None
    takes_location: bool = False  # its law needs a link or username to act
    version: int = 1

    def endpoint(self, endpoint_id: EndpointId) -> Endpoint | None:
        """The endpoint of that id, if it is one of this partner's."""
        return next((e for e in self.endpoints if e.id == endpoint_id), None)

    def own_endpoint(self, endpoint_id: EndpointId) -> Endpoint:
        """The endpoint of that id. Raises UnknownPartner if it is not one of this partner's."""
        endpoint = self.endpoint(endpoint_id)
        if endpoint is None:
            raise UnknownPartner("no such endpoint of this partner's")
        return endpoint

    def with_changed(self, endpoint: Endpoint) -> Partner:
        """The partner with that endpoint in the place of its former self, one version on."""
        endpoints = tuple(endpoint if e.id == endpoint.id else e for e in self.endpoints)
        return replace(self, endpoints=endpoints, version=self.version + 1)


class Word(StrEnum):
    """What a partner says of an item. `SENT` is ours: it has said nothing yet."""

    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    PENDING_REVIEW = "pending_review"
    REMOVED = "removed"
    NOT_FOUND = "not_found"
    NOT_VIOLATING = "not_violating"
    WITHDRAWN_DONE = "withdrawn_done"


DECISIONS: Final = (Word.REMOVED, Word.NOT_FOUND, Word.NOT_VIOLATING, Word.WITHDRAWN_DONE)
"""What a partner did, rather than that it will. After these a deadline means nothing any more."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """One answer of a partner's (EU DSA art. 16 and 17 name the parts of a decision)."""

    word: Word
    at: datetime
    reason_code: str | None = None
    automated: bool | None = None
    redress_url: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One item at one partner: its name there, when the partner had it, and what it said.

    `delivered_at` is the first time the partner received the request; its deadline starts there.
    """

    id: NoticeId
    partner_id: PartnerId
    case_id: CaseId
    item_number: int
    created_at: datetime
    feedback: Feedback
    delivered_at: datetime | None = None
    deadline_at: datetime | None = None
    late_at: datetime | None = None  # when a person was told: a deadline missed or a final failure
    withdrawn_at: datetime | None = None
    version: int = 1


class MessageState(StrEnum):
    """Where a message is. Which may follow which: `partners.outbox.MESSAGE_FOLLOWS`."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Message:
    """An event for one endpoint. Holds ids only; the payload is built when it is sent.

    `due_at` is None where nothing is to be posted (delivered, failed, or waiting to be pulled).
    `claim` counts how often it was taken up; a result of an older claim is not recorded.
    """

    id: MessageId
    event_type: str
    event_at: datetime
    partner_id: PartnerId
    endpoint_id: EndpointId
    notice_id: NoticeId | None
    created_at: datetime
    state: MessageState = MessageState.PENDING
    due_at: datetime | None = None
    attempts: int = 0
    claim: int = 0
    deadline: timedelta | None = None  # starts when the request itself is first delivered


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at posting. `status` is None when no answer came; `error` then names why.

    `number` is the claim it was made under: it only grows, even when a message is replayed.
    `breaker` is the state of the endpoint's circuit breaker when the answer came.
    """

    message_id: MessageId
    number: int
    started_at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    response_bytes: int
    breaker: str | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """A notice reached its partner. Kept only if it is the first time."""

    notice_id: NoticeId
    at: datetime
    deadline_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What one claim changes, in one commit: the message, its attempt, the notice's clock.

    `attempt` is None where nothing was posted: the message was given back or cancelled.
    """

    message: Message
    attempt: Attempt | None
    delivered: Delivered | None = None
