"""What a partner sends and receives."""

from __future__ import annotations

from marshmallow import fields, validate

from app.web.shapes import Shape, Strict, Whole, text
from partners.model import MessageState, SigningScheme, Word

ITEM_ID = "itm_[0-9a-f]{32}"
MESSAGE_ID = "msg_[0-9a-f]{32}"

SAYABLE = [str(word) for word in Word if word is not Word.SENT]


class FeedbackShape(Shape):
    """What the partner did with an item."""

    feedback = fields.String(required=True, validate=validate.OneOf(SAYABLE))
    reason_code = text("[a-z0-9_.-]{1,64}", allow_none=True, load_default=None)
    automated = Strict(
        allow_none=True,
        load_default=None,
        metadata={"description": "Whether no person took the decision (EU DSA art. 16.6)."},
    )
    redress_url = text(
        r"https://[A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]{1,300}",
        allow_none=True,
        load_default=None,
        metadata={"description": "Where the decision can be contested (EU DSA art. 16.5)."},
    )


class FeedbackStoredShape(Shape):
    """What we now show for the item."""

    item_id = fields.String(required=True)
    feedback = fields.String(required=True, validate=validate.OneOf([str(w) for w in Word]))


class HashOutShape(Shape):
    """One hash of an item."""

    type = fields.String(required=True)
    value = fields.String(required=True)
    quality = fields.Integer(required=True, allow_none=True)
    variant = fields.String(required=True)


class PartnerItemShape(Shape):
    """An item as its partner may read it."""

    item_id = fields.String(required=True)
    item_url = fields.String(required=True)
    media_kind = fields.String(required=True)
    hashes = fields.List(fields.Nested(HashOutShape), required=True)
    recommended_distance = fields.Integer(required=True)
    age_basis = fields.String(required=True)
    assurance = fields.String(required=True)
    review_required = fields.Boolean(required=True)
    unusual_hashes = fields.Boolean(required=True)
    other_reports = fields.Integer(required=True)
    preserve_evidence = fields.Boolean(required=True)
    deadline = fields.String(required=True, allow_none=True)
    deadline_hours = fields.Integer(required=True, allow_none=True)
    deadline_policy = fields.String(required=True)
    jurisdiction = fields.String(required=True)
    where_seen = fields.String(required=True, allow_none=True)


class PageShape(Shape):
    """Where a listing goes on."""

    after = text(
        "[0-9]{0,18}",
        load_default="",
        metadata={"description": "`next` of the page before; absent for the first."},
    )
    limit = fields.Integer(load_default=100, validate=validate.Range(1, 500))
    state = fields.String(
        load_default=None,
        validate=validate.OneOf([str(state) for state in MessageState]),
        metadata={"description": "Only these; what you have yet to receive if absent."},
    )


class MessageShape(Shape):
    """A message to its partner. `attempts` counts posts since it was made or replayed."""

    id = fields.String(required=True)
    type = fields.String(required=True)
    item_id = fields.String(required=True, allow_none=True)
    timestamp = fields.String(required=True)
    state = fields.String(required=True)
    attempts = fields.Integer(required=True)
    next_attempt_at = fields.String(required=True, allow_none=True)


class MessagesShape(Shape):
    """A page of messages, oldest first."""

    messages = fields.List(fields.Nested(MessageShape), required=True)
    next = fields.String(required=True, allow_none=True)


class AttemptShape(Shape):
    """One post of a message. `error` says why no answer came; bodies are not kept."""

    number = fields.Integer(required=True)
    started_at = fields.String(required=True)
    duration_ms = fields.Integer(required=True)
    status = fields.Integer(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    response_bytes = fields.Integer(required=True)
    breaker = fields.String(required=True, allow_none=True)


class AttemptsShape(Shape):
    """Every post of one message that is still kept, first to last."""

    attempts = fields.List(fields.Nested(AttemptShape), required=True)


class AcknowledgeShape(Shape):
    """Messages that the partner has taken in."""

    ids = fields.List(text(MESSAGE_ID), required=True, validate=validate.Length(1, 500))


class AcknowledgedShape(Shape):
    """How many of them were still waiting."""

    acknowledged = fields.Integer(required=True)


class RotateShape(Shape):
    """Which secret to replace, and for how long the old one still works."""

    secret = fields.String(required=True, validate=validate.OneOf(["api_key", "signing_key"]))
    overlap_hours = Whole(load_default=24, validate=validate.Range(0, 168))


class NewSecretShape(Shape):
    """The new secret, shown this once. For v1a it is a public key: ours stays with us."""

    secret = fields.String(required=True)
    scheme = fields.String(allow_none=True, validate=validate.OneOf([*map(str, SigningScheme)]))
    endpoint_id = fields.String(allow_none=True)


class NewSecretsShape(Shape):
    """One for each endpoint, or the one API key."""

    secrets = fields.List(fields.Nested(NewSecretShape), required=True)
