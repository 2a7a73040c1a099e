"""The OpenAPI 3.1 document, the webhooks in it, and a page that shows it without any script.

What flask-smorest knows of shapes is completed from the route map: who may call a route, and every
problem that it may answer with. A test compares the document with what the service does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Flask, Response, current_app, json
from flask_smorest import Api

from app.settings import Settings
from app.web.access import Access, access, rule_of
from app.web.api.shapes import VARIANT
from app.web.problems import KINDS, MEDIA_TYPE
from app.web.webhooks import described
from partners.events import EventType
from partners.feedback import FEEDBACK_FOLLOWS

VERSION = "1.0.0"
EXTENSION = "report_remove_openapi"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)

blueprint = Blueprint("openapi", __name__)


@dataclass(frozen=True, slots=True)
class _Documents:
    """The same facts for machines and for people."""

    text: str
    page: str


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


def complete(app: Flask, api: Api, settings: Settings) -> None:
    """Write the documents. To be called when every view is registered."""
    assert api.spec is not None  # noqa: S101
    spec = api.spec.to_dict()
    spec["servers"] = [{"url": settings.public_url}]
    spec["paths"] |= {path: {"get": dict(_OWN_PAGES[path])} for path in _OWN_PAGES}
    spec["webhooks"] = {kind: described(kind) for kind in EventType}
    spec["components"] = {
        "schemas": _schemas(spec["components"]["schemas"], settings),
        "securitySchemes": _SCHEMES,
    }
    for rule in app.url_map.iter_rules():
        path = str(rule).replace("<", "{").replace(">", "}")
        for method, operation in spec["paths"].get(path, {}).items():
            if method != "parameters":
                _complete(operation, method, path, rule.endpoint, app.view_functions[rule.endpoint])
    page = app.jinja_env.get_template("docs.html")
    follows = {str(word): sorted(FEEDBACK_FOLLOWS[word]) for word in FEEDBACK_FOLLOWS}
    app.extensions[EXTENSION] = _Documents(
        json.dumps(spec, indent=1), page.render(spec=spec, follows=follows, kinds=KINDS)
    )


_ANYWHERE = {"request-malformed", "too-many-requests", "headers-too-large", "internal"}
_BY_METHOD = {
    "get": {"body-unexpected"},
    "post": {
        "not-json",
        "body-too-large",
        "content-type-unsupported",
        "media-refused",
        "body-invalid",
        "transfer-unsupported",
    },
}
_BY_RULE = {
    Access.PUBLIC: set[str](),
    Access.CASE_KEY: {"case-not-found"},
    Access.PARTNER: {"partner-key-wrong", "partner-suspended"},
}
_BY_PARAMETER = {"header": {"header-invalid"}, "query": {"query-invalid"}, "path": set[str]()}

_SCHEMES = {
    "partner_key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A partner's API key.",
    },
    "age_token": {
        "type": "http",
        "scheme": "dpop",
        "description": "An age token of profile jwt-age-v1 (RFC 9449). Other profiles have schemes "
        "of their own, which a 401's WWW-Authenticate names; declared-v1 has none.",
    },
    "age_proof": {
        "type": "apiKey",
        "in": "header",
        "name": "DPoP",
        "description": "The proof that goes with the age token, bound to this body.",
    },
}

_RETRY_AFTER = {
    "Retry-After": {
        "required": True,
        "description": "Seconds.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_HEADERS_OF = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def _complete(
    operation: dict[str, Any], method: str, path: str, endpoint: str, view: Callable[..., Any]
) -> None:
    rule = rule_of(view) or Access.PUBLIC
    codes = _ANYWHERE | _BY_METHOD[method] | _BY_RULE[rule] | set(getattr(view, "refuses", ()))
    if path.startswith("/v1/"):
        codes.add("store-unavailable")
    for parameter in operation.get("parameters", []):
        codes |= _BY_PARAMETER[parameter["in"]]
    answers = {s: r for s, r in operation["responses"].items() if s.startswith("2")}
    operation["operationId"] = endpoint.rpartition(".")[2]
    operation["responses"] = answers | _refusals(codes)
    operation["security"] = _security(rule, codes)
    operation["x-access"] = rule


def _security(rule: Access, codes: Iterable[str]) -> list[dict[str, list[str]]]:
    if rule is Access.PARTNER:
        return [{"partner_key": []}]
    return [{"age_token": [], "age_proof": []}, {}] if "age-refused" in codes else []


def _refusals(codes: Iterable[str]) -> dict[str, dict[str, Any]]:
    grouped: dict[int, list[str]] = {}
    for code in sorted(codes, key=lambda code: (KINDS[code].status, code)):
        grouped.setdefault(KINDS[code].status, []).append(code)
    return {str(status): _refusal(status, names) for status, names in grouped.items()}


def _refusal(status: int, codes: list[str]) -> dict[str, Any]:
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, narrowed]}
    refusal = {
        "description": "Refused: " + ", ".join(codes),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    return refusal | ({"headers": _HEADERS_OF[status]} if status in _HEADERS_OF else {})


_PROBLEM = {
    "type": "object",
    "description": "A problem detail, RFC 9457. `code` is stable.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Where the code is explained."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(KINDS)},
        "reason": {"type": "string", "description": "Which check of an age proof failed."},
        "errors": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901, into the body."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def _schemas(known: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The shapes with what a field cannot say alone: names of copies, and the operator's limits."""
    shapes = {name: shape for name, shape in known.items() if name not in _UNUSED}
    hashes = shapes["HashesShape"]
    most = settings.max_hashes_per_item
    for name in ("pdq", "pdq-512"):
        names = {"pattern": f"^{VARIANT}$"}
        hashes["properties"][name] |= {
            "propertyNames": names,
            "minProperties": 1,
            "maxProperties": most,
        }
    hashes["properties"]["vpdq"] |= {"minItems": 1, "maxItems": most, "uniqueItems": True}
    hashes["minProperties"] = 1
    for name in ("ReportShape", "AddShape"):
        shapes[name]["properties"]["items"]["maxItems"] = settings.max_items_per_case
    return {**shapes, "Problem": _PROBLEM}


_UNUSED = ("Error", "PaginationMetadata")  # flask-smorest's own


_OWN_PAGES: dict[str, dict[str, Any]] = {
    "/openapi.json": {
        "summary": "This document",
        "tags": ["openapi"],
        "responses": {
            "200": {
                "description": "OpenAPI 3.1",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    },
    "/docs": {
        "summary": "This document as a page",
        "tags": ["openapi"],
        "responses": {
            "200": {
                "description": "A page",
                "content": {"text/html": {"schema": {"type": "string"}}},
            }
        },
    },
}


@blueprint.route("/openapi.json")
@access(Access.PUBLIC)
def document() -> Response:
    """The API as a document for machines."""
    documents: _Documents = current_app.extensions[EXTENSION]
    return current_app.response_class(documents.text, 200, content_type="application/json")


@blueprint.route("/docs")
@access(Access.PUBLIC)
def page() -> Response:
    """The API as a page for people."""
    documents: _Documents = current_app.extensions[EXTENSION]
    response = current_app.response_class(documents.page, 200, mimetype="text/html")
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response
