"""A partner's side: read an item, say what was done, pull what was missed, change a secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from app.services.messages import WAITING, attempt_row
from app.web.access import Access, access, calling_partner
from app.web.context import services
from app.web.limits import limited
from app.web.partner.shapes import (
    ITEM_ID,
    MESSAGE_ID,
    AcknowledgedShape,
    AcknowledgeShape,
    AttemptsShape,
    FeedbackShape,
    FeedbackStoredShape,
    MessagesShape,
    NewSecretsShape,
    PageShape,
    PartnerItemShape,
    RotateShape,
)
from app.web.problems import refuses
from app.web.shapes import StrictBlueprint
from partners.model import Feedback, Message, MessageId, MessageState, NoticeId, Word

blueprint = StrictBlueprint("partner", __name__, description="For participating platforms")

ITEM = {
    "in": "path",
    "name": "item_id",
    "required": True,
    "schema": {"type": "string", "pattern": f"^{ITEM_ID}$"},
    "description": "Your name for the item, as it came with a message.",
}

MESSAGE = {
    "in": "path",
    "name": "message_id",
    "required": True,
    "schema": {"type": "string", "pattern": f"^{MESSAGE_ID}$"},
    "description": "The message's webhook-id.",
}


@blueprint.route("/v1/partner/items/<item_id>", parameters=[ITEM])
@access(Access.PARTNER)
@limited("partner")
@refuses("partner-unknown")
@blueprint.response(200, PartnerItemShape)
def item(item_id: str) -> Mapping[str, object]:
    """Read an item: its hashes and everything needed to act"""
    return services().build_payload.fetch(calling_partner(), NoticeId(item_id))


@blueprint.route("/v1/partner/items/<item_id>/feedback", methods=["POST"], parameters=[ITEM])
@access(Access.PARTNER)
@limited("partner")
@refuses("partner-unknown", "feedback-out-of-order", "contested")
@blueprint.body(FeedbackShape())
@blueprint.response(200, FeedbackStoredShape)
def feedback(body: dict[str, Any], item_id: str) -> dict[str, str]:
    """Say what you did with an item. Saying the same again changes nothing"""
    said = Feedback(
        word=Word(body["feedback"]),
        at=services().house.clock.now(),
        reason_code=body["reason_code"],
        automated=body["automated"],
        redress_url=body["redress_url"],
    )
    notice = services().record_feedback(calling_partner(), NoticeId(item_id), said)
    return {"item_id": notice.id, "feedback": notice.feedback.word}


@blueprint.route("/v1/partner/messages")
@access(Access.PARTNER)
@limited("partner")
@blueprint.arguments(PageShape(), location="query")
@blueprint.response(200, MessagesShape)
def messages(page: dict[str, Any]) -> dict[str, object]:
    """List messages, oldest first: without `state` those that you have yet to receive"""
    states = [MessageState(page["state"])] if page["state"] else WAITING
    rows, cursor = services().pull_messages.page(
        calling_partner(), page["after"], page["limit"], states
    )
    return {"messages": [_message(row) for row in rows], "next": cursor}


@blueprint.route("/v1/partner/messages/<message_id>/attempts", parameters=[MESSAGE])
@access(Access.PARTNER)
@limited("partner")
@refuses("partner-unknown")
@blueprint.response(200, AttemptsShape)
def attempts(message_id: str) -> dict[str, object]:
    """Read how often we posted a message to you, and what came of it"""
    rows = services().pull_messages.attempts(calling_partner(), MessageId(message_id))
    return {"attempts": [attempt_row(row) for row in rows]}


@blueprint.route("/v1/partner/messages/acknowledge", methods=["POST"])
@access(Access.PARTNER)
@limited("partner")
@refuses("partner-unknown", "contested")
@blueprint.body(AcknowledgeShape())
@blueprint.response(200, AcknowledgedShape)
def acknowledge(body: dict[str, Any]) -> dict[str, int]:
    """Say that you have taken messages in: they are not sent again"""
    ids = [MessageId(message_id) for message_id in body["ids"]]
    return {"acknowledged": services().pull_messages.acknowledge(calling_partner(), ids)}


@blueprint.route("/v1/partner/secret/rotate", methods=["POST"])
@access(Access.PARTNER)
@limited("partner")
@refuses("contested")
@blueprint.body(RotateShape())
@blueprint.response(200, NewSecretsShape)
def rotate(body: dict[str, Any]) -> dict[str, object]:
    """Replace your API key, or the keys your webhooks are signed with"""
    overlap = timedelta(hours=body["overlap_hours"])
    manage = services().manage_partners
    turns = {"api_key": manage.rotate_api_key, "signing_key": manage.rotate_signing_keys}
    return {"secrets": turns[body["secret"]](calling_partner().id, overlap)}


def _message(message: Message) -> dict[str, object]:
    return {
        "id": message.id,
        "type": message.event_type,
        "item_id": message.notice_id,
        "timestamp": message.event_at.isoformat(),
        "state": message.state,
        "attempts": message.attempts,
        "next_attempt_at": message.due_at.isoformat() if message.due_at else None,
    }
