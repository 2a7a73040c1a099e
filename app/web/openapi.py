"""The OpenAPI 3.1 document, the webhooks in it, and a page that shows it without any script."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Blueprint, Flask, Response, current_app, json, render_template
from flask_smorest import Api

from app.web.access import Access, access, rule_of
from app.web.problems import KINDS, MEDIA_TYPE
from partners.events import EventType
from partners.feedback import FEEDBACK_FOLLOWS

VERSION = "1.0.0"

blueprint = Blueprint("openapi", __name__)

_PROBLEM = {
    "type": "object",
    "description": "A problem detail, RFC 9457. `code` is stable.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(KINDS)},
        "reason": {"type": "string", "description": "Which check of an age proof failed."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

_WEBHOOK_ABOUT = {
    EventType.REMOVAL_REQUESTED: "Find this item and take it down. A person should look first.",
    EventType.REMOVAL_UPDATED: "More hashes for an item that you have: read it again.",
    EventType.REMOVAL_WITHDRAWN: "Forget this item and its hashes, then say withdrawn_done.",
    EventType.REMOVAL_REMINDER: "The deadline of this item has passed without a decision.",
    EventType.ENDPOINT_VERIFICATION: "Echo the challenge, to show that this endpoint is yours.",
}

SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PARTNER: [{"partner_key": []}],
    Access.CASE_KEY: [],
    Access.PUBLIC: [],
}


def install(app: Flask) -> Api:
    """The API whose blueprints are documented; register them on what this returns."""
    app.config.update(
        API_TITLE="Report Remove",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_JSON_PATH=None,
        API_SPEC_OPTIONS={
            "info": {
                "description": "Hash-only removal requests. No route takes a picture or a video.",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
        },
    )
    api = Api(app)
    api.DEFAULT_ERROR_RESPONSE_NAME = None
    app.register_blueprint(blueprint)
    return api


def complete(app: Flask, api: Api) -> None:
    """Add what the route map knows: access rules, problems, webhooks."""
    spec = api.spec
    assert spec is not None  # noqa: S101
    spec.components.security_scheme(
        "partner_key", {"type": "http", "scheme": "bearer", "description": "A partner's API key."}
    )
    spec.components.schema("Problem", _PROBLEM)
    spec.options["webhooks"] = {kind: _webhook(kind) for kind in EventType}
    for rule in app.url_map.iter_rules():
        path = _openapi_path(str(rule))
        for method, operation in spec._paths.get(path, {}).items():  # noqa: SLF001
            if isinstance(operation, dict):
                _complete_operation(operation, method, rule_of(app.view_functions[rule.endpoint]))
    app.extensions["report_remove_openapi"] = spec


def _openapi_path(rule: str) -> str:
    return rule.replace("<", "{").replace(">", "}")


def _complete_operation(operation: dict[str, Any], method: str, rule: Access | None) -> None:
    operation["security"] = SECURITY[rule or Access.PUBLIC]
    statuses = {400, 405, 406, 429, 500, 503}
    if method == "post":
        statuses |= {408, 409, 413, 415, 422}
    if rule is not Access.PUBLIC:
        statuses |= {404}
    if rule is Access.PARTNER:
        statuses |= {401, 403, 409}
    if "AgeShape" in json.dumps(operation, default=str) or _takes_age(operation):
        statuses |= {401}
    for status in statuses:
        operation["responses"].setdefault(str(status), _problem(status))


def _takes_age(operation: dict[str, Any]) -> bool:
    return str(operation.get("summary", "")).startswith("Report photos")


def _problem(status: int) -> dict[str, Any]:
    codes = sorted(code for code, kind in KINDS.items() if kind.status == status)
    return {
        "description": "Refused: " + ", ".join(codes),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _webhook(kind: EventType) -> dict[str, Any]:
    return {
        "post": {
            "summary": _WEBHOOK_ABOUT[kind],
            "description": "Signed as Standard Webhooks 1.0.0. `webhook-id` is the same on every "
            "repeat. `data.sealed` is a nested JWS in JWE for your key; without one, GET "
            "`data.item_url` with your API key.",
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["type", "timestamp", "data"],
                            "properties": {
                                "type": {"const": str(kind)},
                                "timestamp": {"type": "string", "format": "date-time"},
                                "data": {"type": "object"},
                            },
                        }
                    }
                }
            },
            "responses": {
                "2XX": {"description": "Received. What you did with it goes to the feedback route."}
            },
        }
    }


@blueprint.route("/openapi.json")
@access(Access.PUBLIC)
def document() -> Response:
    """The API as a document for machines."""
    return current_app.response_class(
        _text(current_app.extensions["report_remove_openapi"]), 200, content_type="application/json"
    )


@blueprint.route("/docs")
@access(Access.PUBLIC)
def page() -> Response:
    """The API as a page for people."""
    spec = json.loads(_text(current_app.extensions["report_remove_openapi"]))
    html = render_template("docs.html", spec=spec, follows=FEEDBACK_FOLLOWS, kinds=KINDS)
    response = current_app.response_class(html, 200, mimetype="text/html")
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    return response


@lru_cache(maxsize=4)
def _text(spec: Any) -> str:
    return json.dumps(spec.to_dict(), indent=1)
