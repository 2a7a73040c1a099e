"""Records as rows and back, for every store: the columns of docs/DATA-MODEL.md and their values."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from app.domain.age import AgeBand, AgeBasis
from app.domain.audit import Action, Actor, AuditEntry
from app.domain.case import Case, CaseState, Item, MediaKind
from app.ports import Remembered, SpendToken, Unreadable
from partners.events import Event, EventType
from partners.model import (
    ApiKey,
    Attempt,
    Endpoint,
    EndpointStatus,
    Feedback,
    Message,
    MessageState,
    Notice,
    Partner,
    PartnerId,
    PartnerStatus,
    SealedKey,
    SigningScheme,
    Word,
)

Row = tuple[str | int | bytes | None, ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC. TypeError for a time without a zone."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def micros_if(at: datetime | None) -> int | None:
    """As `micros`, None for None."""
    return None if at is None else micros(at)


def moment(stored: int) -> datetime:
    """The time of a stored number of microseconds."""
    return _EPOCH + timedelta(microseconds=stored)


def moment_if(stored: int | None) -> datetime | None:
    """As `moment`, None for None."""
    return None if stored is None else _EPOCH + timedelta(microseconds=stored)


CASE: Final = (
    "id", "key_tag", "basis", "band", "profile", "created_at", "sweep_at", "item_count", "state",
    "withdrawn_at", "scrubbed_at", "audit_head", "version",
)  # fmt: skip


def case_row(case: Case) -> Row:
    """One row of `cases`."""
    return (
        case.id,
        case.key_tag,
        str(case.basis),
        str(case.band),
        case.profile,
        micros(case.created_at),
        micros(case.sweep_at),
        case.item_count,
        str(case.state),
        micros_if(case.withdrawn_at),
        micros_if(case.scrubbed_at),
        case.audit_head,
        case.version,
    )


def case_of(row: Any) -> Case:
    """The case of a row."""
    id_, tag, basis, band, profile, created, sweep, count, state, withdrawn, scrubbed, *rest = row
    return Case(
        id=id_,
        key_tag=tag,
        basis=AgeBasis(basis),
        band=AgeBand(band),
        profile=profile,
        created_at=moment(created),
        sweep_at=moment(sweep),
        item_count=count,
        state=CaseState(state),
        withdrawn_at=moment_if(withdrawn),
        scrubbed_at=moment_if(scrubbed),
        audit_head=rest[0],
        version=rest[1],
    )


ITEM: Final = (
    "case_id", "number", "kind", "platforms", "added_at", "duplicate_tag", "sealed_hashes",
    "sealed_locations", "withdrawn_at",
)  # fmt: skip


def item_row(item: Item) -> Row:
    """One row of `items`. The platforms stand with blanks between (an id holds none)."""
    return (
        item.case_id,
        item.number,
        str(item.kind),
        " ".join(item.platforms),
        micros(item.added_at),
        item.duplicate_tag,
        item.sealed_hashes,
        item.sealed_locations,
        micros_if(item.withdrawn_at),
    )


def item_of(row: Any) -> Item:
    """The item of a row."""
    case_id, number, kind, platforms, added, tag, hashes, locations, withdrawn = row
    return Item(
        case_id=case_id,
        number=number,
        kind=MediaKind(kind),
        platforms=tuple(PartnerId(platform) for platform in platforms.split()),
        added_at=moment(added),
        duplicate_tag=tag,
        sealed_hashes=hashes,
        sealed_locations=locations,
        withdrawn_at=moment_if(withdrawn),
    )


ANSWER: Final = ("tag", "fingerprint", "answer", "expires_at")


def remembered_row(kept: Remembered) -> Row:
    """One row of `answers`."""
    return (kept.tag, kept.fingerprint, kept.answer, micros(kept.expires_at))


def remembered_of(row: Any) -> Remembered:
    """The answer of a row."""
    tag, fingerprint, answer, expires = row
    return Remembered(tag, fingerprint, answer, moment(expires))


TOKEN: Final = ("tag", "expires_at")


def token_row(token: SpendToken) -> Row:
    """One row of `spent_tokens`."""
    return (token.tag, micros(token.expires_at))


def token_of(row: Any) -> SpendToken:
    """The spent token of a row."""
    tag, expires = row
    return SpendToken(tag, moment(expires))


AUDIT: Final = ("case_id", "number", "at", "actor", "action", "reason", "digest")


def audit_row(entry: AuditEntry) -> Row:
    """One row of `audit`."""
    return (
        entry.case_id,
        entry.number,
        micros(entry.at),
        str(entry.actor),
        str(entry.action),
        entry.reason,
        entry.digest,
    )


def audit_of(row: Any) -> AuditEntry:
    """The audit entry of a row."""
    case_id, number, at, actor, action, reason, digest = row
    return AuditEntry(case_id, number, moment(at), Actor(actor), Action(action), reason, digest)


EVENT: Final = ("id", "type", "case_id", "items", "at", "partner_id")


def event_row(event: Event) -> Row:
    """One row of `events`, without its `seq`."""
    items = " ".join(map(str, event.items))
    return (event.id, str(event.type), event.case_id, items, micros(event.at), event.partner_id)


def event_of(row: Any) -> Event:
    """The event of a row, without its `seq`."""
    id_, type_, case_id, items, at, partner_id = row
    numbers = tuple(int(number) for number in items.split())
    return Event(id_, EventType(type_), case_id, numbers, moment(at), partner_id)


def event_if_readable(row: Any) -> Event | Unreadable:
    """The event of a row, or which row it is that none can be made of."""
    try:
        return event_of(row)
    except (ValueError, TypeError, AttributeError, OverflowError) as fault:
        return Unreadable(row[0], type(fault).__name__)


NOTICE: Final = (
    "id", "partner_id", "case_id", "item_number", "created_at", "word", "word_at", "reason_code",
    "automated", "redress_url", "delivered_at", "deadline_at", "late_at", "withdrawn_at", "version",
)  # fmt: skip


def notice_row(notice: Notice) -> Row:
    """One row of `notices`."""
    said = notice.feedback
    return (
        notice.id,
        notice.partner_id,
        notice.case_id,
        notice.item_number,
        micros(notice.created_at),
        str(said.word),
        micros(said.at),
        said.reason_code,
        None if said.automated is None else int(said.automated),
        said.redress_url,
        micros_if(notice.delivered_at),
        micros_if(notice.deadline_at),
        micros_if(notice.late_at),
        micros_if(notice.withdrawn_at),
        notice.version,
    )


def notice_of(row: Any) -> Notice:
    """The notice of a row."""
    id_, partner_id, case_id, item_number, created, *feedback = row[:10]
    delivered, deadline, late, withdrawn, version = row[10:]
    return Notice(
        id=id_,
        partner_id=partner_id,
        case_id=case_id,
        item_number=item_number,
        created_at=moment(created),
        feedback=_feedback_of(feedback),
        delivered_at=moment_if(delivered),
        deadline_at=moment_if(deadline),
        late_at=moment_if(late),
        withdrawn_at=moment_if(withdrawn),
        version=version,
    )


def _feedback_of(columns: Any) -> Feedback:
    word, at, reason_code, automated, redress_url = columns
    said = None if automated is None else bool(automated)
    return Feedback(Word(word), moment(at), reason_code, said, redress_url)


MESSAGE: Final = (
    "id", "event_type", "event_at", "partner_id", "endpoint_id", "notice_id", "created_at", "state",
    "due_at", "attempts", "claim", "deadline",
)  # fmt: skip


def message_row(message: Message) -> Row:
    """One row of `messages`, without its `seq`."""
    return (
        message.id,
        message.event_type,
        micros(message.event_at),
        message.partner_id,
        message.endpoint_id,
        message.notice_id,
        micros(message.created_at),
        str(message.state),
        micros_if(message.due_at),
        message.attempts,
        message.claim,
        None if message.deadline is None else message.deadline // _MICROSECOND,
    )


def message_of(row: Any) -> Message:
    """The message of a row, without its `seq`."""
    id_, type_, at, partner_id, endpoint_id, notice_id, created, state, due, *rest = row
    attempts, claim, deadline = rest
    return Message(
        id=id_,
        event_type=type_,
        event_at=moment(at),
        partner_id=partner_id,
        endpoint_id=endpoint_id,
        notice_id=notice_id,
        created_at=moment(created),
        state=MessageState(state),
        due_at=moment_if(due),
        attempts=attempts,
        claim=claim,
        deadline=None if deadline is None else timedelta(microseconds=deadline),
    )


ATTEMPT: Final = (
    "message_id", "number", "started_at", "duration_ms", "status", "error", "response_bytes",
    "breaker",
)  # fmt: skip


def attempt_row(attempt: Attempt) -> Row:
    """One row of `attempts`."""
    return (
        attempt.message_id,
        attempt.number,
        micros(attempt.started_at),
        attempt.duration_ms,
        attempt.status,
        attempt.error,
        attempt.response_bytes,
        attempt.breaker,
    )


def attempt_of(row: Any) -> Attempt:
    """The attempt of a row."""
    message_id, number, started, *rest = row
    return Attempt(message_id, number, moment(started), *rest)


PARTNER: Final = ("id", "version", "created_at", "document")


def partner_row(partner: Partner) -> Row:
    """One row of `partners`; all but id and version is one JSON document."""
    document = {
        "name": partner.name,
        "deadline_policy": partner.deadline_policy,
        "endpoints": [_endpoint_document(endpoint) for endpoint in partner.endpoints],
        "api_keys": [_api_key_document(key) for key in partner.api_keys],
        "status": partner.status,
        "jwks": partner.jwks,
        "takes_location": partner.takes_location,
    }
    text = json.dumps(document)
    return (partner.id, partner.version, micros(partner.created_at), text)


def partner_of(row: Any) -> Partner:
    """The partner of a row."""
    id_, version, created, text = row
    document = json.loads(text)
    return Partner(
        id=id_,
        name=document["name"],
        deadline_policy=document["deadline_policy"],
        endpoints=tuple(_endpoint_of(endpoint) for endpoint in document["endpoints"]),
        api_keys=tuple(_api_key_of(key) for key in document["api_keys"]),
        created_at=moment(created),
        status=PartnerStatus(document["status"]),
        jwks=document["jwks"],
        takes_location=document["takes_location"],
        version=version,
    )


def _endpoint_document(endpoint: Endpoint) -> dict[str, object]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "scheme": endpoint.scheme,
        "keys": [_sealed_key_document(key) for key in endpoint.keys],
        "status": endpoint.status,
        "event_types": endpoint.event_types,
        "rate_per_minute": endpoint.rate_per_minute,
    }


def _endpoint_of(document: Any) -> Endpoint:
    return Endpoint(
        id=document["id"],
        url=document["url"],
        scheme=SigningScheme(document["scheme"]),
        keys=tuple(_sealed_key_of(key) for key in document["keys"]),
        status=EndpointStatus(document["status"]),
        event_types=tuple(document["event_types"]),
        rate_per_minute=document["rate_per_minute"],
    )


def _sealed_key_document(key: SealedKey) -> dict[str, object]:
    return {
        "id": key.id,
        "sealed": b64encode(key.sealed).decode(),
        "created_at": micros(key.created_at),
        "retired_at": micros_if(key.retired_at),
    }


def _sealed_key_of(document: Any) -> SealedKey:
    return SealedKey(
        id=document["id"],
        sealed=b64decode(document["sealed"]),
        created_at=moment(document["created_at"]),
        retired_at=moment_if(document["retired_at"]),
    )


def _api_key_document(key: ApiKey) -> dict[str, object]:
    return {
        "digest": b64encode(key.digest).decode(),
        "created_at": micros(key.created_at),
        "retired_at": micros_if(key.retired_at),
    }


def _api_key_of(document: Any) -> ApiKey:
    return ApiKey(
        digest=b64decode(document["digest"]),
        created_at=moment(document["created_at"]),
        retired_at=moment_if(document["retired_at"]),
    )
