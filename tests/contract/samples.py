"""Records with every field filled in, for any store. `NOW` is the present of these tests."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from app.adapters.system import RandomIds
from app.domain.age import AgeBand, AgeBasis
from app.domain.audit import Action, Actor, AuditEntry
from app.domain.case import Case, Item, MediaKind
from app.ports import AddAudit, AddCase, AddEvent, Change, PutItem, Remembered
from partners.events import Event, EventType
from partners.model import (
    ApiKey,
    Attempt,
    CaseId,
    Endpoint,
    EndpointId,
    EventId,
    Feedback,
    Message,
    MessageId,
    Notice,
    NoticeId,
    Partner,
    PartnerId,
    SealedKey,
    SigningScheme,
    Word,
)

NOW = datetime(2026, 5, 17, 12, 30, 15, 123457, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

_ids = RandomIds()


def a_case(**fields: Any) -> Case:
    return Case(
        **{
            "id": CaseId(_ids.ordered("case")),
            "key_tag": os.urandom(32),
            "basis": AgeBasis.VERIFIED_ESTIMATE,
            "band": AgeBand.FROM_13_TO_15,
            "profile": "jwt-age-v1",
            "created_at": NOW,
            "sweep_at": NOW + 30 * DAY,
            "item_count": 1,
            "audit_head": os.urandom(32),
            **fields,
        }
    )


def an_item(case: Case, number: int = 1, **fields: Any) -> Item:
    return Item(
        **{
            "case_id": case.id,
            "number": number,
            "kind": MediaKind.PHOTO,
            "platforms": (PartnerId("ptn_photos"), PartnerId("ptn_chat")),
            "added_at": NOW,
            "duplicate_tag": os.urandom(32),
            "sealed_hashes": os.urandom(300),
            **fields,
        }
    )


def an_entry(case: Case, number: int = 1, **fields: Any) -> AuditEntry:
    return AuditEntry(
        **{
            "case_id": case.id,
            "number": number,
            "at": NOW,
            "actor": Actor.YOUNG_PERSON,
            "action": Action.REPORTED,
            "reason": "asked",
            "digest": os.urandom(32),
            **fields,
        }
    )


def an_event(case: Case, *items: int) -> Event:
    return Event(
        EventId(_ids.ordered("evt")), EventType.REMOVAL_REQUESTED, case.id, items or (1,), NOW
    )


def a_report() -> tuple[Case, list[Change]]:
    """A case and the changes with which it is reported."""
    case = a_case()
    changes: list[Change] = [
        AddCase(case),
        PutItem(an_item(case)),
        AddAudit(an_entry(case)),
        AddEvent(an_event(case)),
    ]
    return case, changes


def an_answer(**fields: Any) -> Remembered:
    return Remembered(
        **{
            "tag": os.urandom(32),
            "fingerprint": os.urandom(32),
            "answer": b'{"status": 201}',
            "expires_at": NOW + DAY,
            **fields,
        }
    )


def a_notice(case: Case, **fields: Any) -> Notice:
    return Notice(
        **{
            "id": NoticeId(_ids.new("itm")),
            "partner_id": PartnerId("ptn_photos"),
            "case_id": case.id,
            "item_number": 1,
            "created_at": NOW,
            "feedback": Feedback(Word.SENT, NOW),
            **fields,
        }
    )


def a_message(**fields: Any) -> Message:
    return Message(
        **{
            "id": MessageId(_ids.new("msg")),
            "event_type": "removal.requested",
            "event_at": NOW - MINUTE,
            "partner_id": PartnerId("ptn_photos"),
            "endpoint_id": EndpointId("end_first"),
            "notice_id": NoticeId("itm_some"),
            "created_at": NOW,
            "due_at": NOW,
            "deadline": timedelta(hours=48),
            **fields,
        }
    )


def an_attempt(message: Message, **fields: Any) -> Attempt:
    return Attempt(
        **{
            "message_id": message.id,
            "number": message.attempts + 1,
            "started_at": NOW,
            "duration_ms": 87,
            "status": 204,
            "error": None,
            "response_bytes": 0,
            "breaker": "closed",
            **fields,
        }
    )


def a_partner(**fields: Any) -> Partner:
    old = SealedKey("key_old", os.urandom(80), NOW - DAY, retired_at=NOW + DAY)
    new = SealedKey("key_new", os.urandom(80), NOW)
    url = "https://photos.example/hooks?tenant=ä"
    return Partner(
        **{
            "id": PartnerId(_ids.new("ptn")),
            "name": "Photos – „Bilder“",
            "deadline_policy": "take-it-down-48h",
            "endpoints": (
                Endpoint(EndpointId("end_first"), url, SigningScheme.V1A, (old, new)),
                Endpoint(EndpointId("end_pull"), None, SigningScheme.V1, ()),
            ),
            "api_keys": (ApiKey(os.urandom(32), NOW), ApiKey(os.urandom(32), NOW, NOW + DAY)),
            "created_at": NOW,
            "jwks": '{"keys": []}',
            "takes_location": True,
            **fields,
        }
    )
