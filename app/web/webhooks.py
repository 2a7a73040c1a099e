"""What partners are sent, as OpenAPI describes webhooks."""

from __future__ import annotations

from typing import Any

from partners.events import EventType

_ABOUT = {
    EventType.REMOVAL_REQUESTED: "Find this item and take it down. A person should look first.",
    EventType.REMOVAL_UPDATED: "More hashes for an item that you have: read it again.",
    EventType.REMOVAL_WITHDRAWN: "Forget this item and its hashes, then say withdrawn_done.",
    EventType.REMOVAL_REMINDER: "The deadline of this item has passed without a decision.",
    EventType.ENDPOINT_VERIFICATION: "Echo the challenge, to show that this endpoint is yours.",
}

_ITEM_ID = {"item_id": {"type": "string"}}
_ITEM = {
    "type": "object",
    "required": ["item_id", "item_url", "deadline", "deadline_hours", "deadline_policy"],
    "properties": {
        **_ITEM_ID,
        "item_url": {"type": "string", "format": "uri", "description": "GET it with your key."},
        "deadline": {"type": ["string", "null"], "format": "date-time"},
        "deadline_hours": {"type": ["integer", "null"]},
        "deadline_policy": {"type": "string"},
        "sealed": {
            "type": "string",
            "description": "PartnerItemShape as a nested JWS in JWE for your key, if you gave one "
            "and the whole fits into one message.",
            "contentMediaType": "application/jose",
        },
    },
}
_DATA = {
    EventType.REMOVAL_WITHDRAWN: {
        "type": "object",
        "required": ["item_id"],
        "properties": _ITEM_ID,
    },
    EventType.ENDPOINT_VERIFICATION: {"type": "object"},
}


def described(kind: EventType) -> dict[str, Any]:
    """The entry of that event among the webhooks of OpenAPI 3.1: what a partner is sent."""
    body = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": str(kind)},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": _DATA.get(kind, _ITEM),
        },
    }
    return {
        "post": {
            "summary": _ABOUT[kind],
            "description": "Signed as Standard Webhooks 1.0.0. `webhook-id` is the same on every "
            "repeat.",
            "parameters": [_signed_header(name) for name in ("id", "timestamp", "signature")],
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {
                "2XX": {"description": "Received. What you did with it goes to the feedback route."}
            },
        }
    }


def _signed_header(name: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"in": "header", "name": f"webhook-{name}", "required": True, "schema": schema}
