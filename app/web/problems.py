"""Every error as a problem detail (RFC 9457): one table from domain words to HTTP.

`type` is the address of the code's entry in docs/PROBLEMS.md; a body never quotes what was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.domain.errors import AgeRefused, BadReport, ReportRemoveError
from app.observability import LogEvent
from app.web.context import context
from hashing.errors import HashError
from partners.errors import PartnerError

TYPE = "https://report-remove.example/problems/"
MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One code: its HTTP status and the sentence that goes with it."""

    status: int
    title: str


KINDS: dict[str, Kind] = {
    # the shape of the request
    "not-json": Kind(400, "The body is not JSON."),
    "body-unexpected": Kind(400, "This request takes no body."),
    "header-invalid": Kind(400, "A header is missing or malformed."),
    "query-invalid": Kind(400, "A query parameter is malformed."),
    "request-malformed": Kind(400, "The request is malformed."),
    "not-found": Kind(404, "There is nothing here."),
    "method-not-allowed": Kind(405, "This address does not take that method."),
    "not-acceptable": Kind(406, "We answer in JSON."),
    "request-timeout": Kind(408, "The request took too long to arrive."),
    "body-too-large": Kind(413, "The body is too large: send hashes, not the picture."),
    "content-type-unsupported": Kind(415, "Only application/json is taken."),
    "media-refused": Kind(
        415, "This looks like a picture or a video. It must stay on your device: send its hashes."
    ),
    "body-invalid": Kind(422, "The body does not have the shape that is documented."),
    "too-many-requests": Kind(429, "Too many requests. Please wait and try again."),
    "internal": Kind(500, "Something broke on our side. Nothing was stored. Please try again."),
    "store-unavailable": Kind(503, "We cannot store anything right now. Please try again soon."),
    # what it asks for
    "report-invalid": Kind(422, "The report does not hold together."),
    "too-much": Kind(422, "More photos, videos or hashes than one case can hold."),
    "hash-unusable": Kind(422, "A hash cannot be used to find anything."),
    "hash-invalid": Kind(422, "A hash is malformed."),
    "platform-unknown": Kind(422, "A platform is named that does not take part."),
    "location-refused": Kind(422, "No link or username is taken here."),
    "idempotency-key-reused": Kind(422, "This Idempotency-Key came before with another body."),
    "contested": Kind(409, "Something else changed this at the same moment. Please try again."),
    # age
    "age-refused": Kind(401, "The age proof does not hold."),
    "age-token-spent": Kind(401, "This age proof was used before."),
    # cases
    "case-not-found": Kind(404, "No case opens with this key."),
    "case-key-taken": Kind(409, "Please make another case code and try again."),
    "case-withdrawn": Kind(409, "This case was withdrawn. Nothing can be added to it."),
    # partners
    "partner-key-wrong": Kind(401, "The API key is missing or not valid."),
    "partner-suspended": Kind(403, "This partner is suspended."),
    "partner-unknown": Kind(404, "Nothing of that id is yours."),
    "feedback-out-of-order": Kind(409, "That cannot follow what you said before."),
    "message-transition": Kind(409, "That message cannot move to that state."),
}

_BY_STATUS = {
    400: "request-malformed",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    408: "request-timeout",
    413: "body-too-large",
    415: "content-type-unsupported",
    422: "body-invalid",
    429: "too-many-requests",
    503: "store-unavailable",
}


class Problem(Exception):
    """A refusal that this layer makes itself, by its code in KINDS."""

    def __init__(self, code: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.errors = errors


def install(app: Flask) -> None:
    """Answer every error as a problem."""
    app.register_error_handler(Problem, _own)
    app.register_error_handler(ReportRemoveError, _domain)
    app.register_error_handler(PartnerError, _domain)
    app.register_error_handler(HashError, _domain)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def answer(code: str, **more: Any) -> Response:
    """The problem of that code as a response."""
    kind = KINDS[code]
    context().metrics.refusals.labels(code).inc()
    body = {"type": TYPE + code, "title": kind.title, "status": kind.status, "code": code, **more}
    response = Response(json.dumps(body), kind.status, content_type=MEDIA_TYPE)
    if kind.status == 401:
        response.headers["WWW-Authenticate"] = _challenge(code)
    return response


def _challenge(code: str) -> str:
    return "Bearer" if code == "partner-key-wrong" else 'DPoP algs="Ed25519 ES256"'


def _own(problem: Problem) -> Response:
    return answer(problem.code, **({"errors": problem.errors} if problem.errors else {}))


def _domain(fault: ReportRemoveError | PartnerError | HashError) -> Response:
    if isinstance(fault, AgeRefused):
        return answer(fault.code, reason=fault.reason)
    if isinstance(fault, BadReport):
        return answer(fault.code, errors=[{"pointer": fault.where, "detail": str(fault)}])
    code = fault.code if fault.code in KINDS else "internal"
    if code == "internal":
        return _unforeseen(fault)
    return answer(code)


def _http(fault: HTTPException) -> Response:
    code = _BY_STATUS.get(fault.code or 500)
    if code is None:
        return _unforeseen(fault)
    response = answer(code)
    if isinstance(fault, MethodNotAllowed) and fault.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(fault.valid_methods))
    return response


def _unforeseen(fault: Exception) -> Response:
    route = str(request.url_rule) if request.url_rule else "none"
    context().journal.failure(LogEvent.REQUEST_FAILED, fault, route=route, method=request.method)
    return answer("internal")


def from_messages(messages: dict[str, Any]) -> list[dict[str, str]]:
    """marshmallow's error tree as a flat list of JSON pointers (RFC 6901) and sentences.

    Names that the sender made up are left out of the pointers.
    """
    return [{"pointer": pointer, "detail": detail} for pointer, detail in _walk(messages, "")][:20]


def _walk(tree: Any, pointer: str) -> list[tuple[str, str]]:
    if isinstance(tree, dict):
        rows = []
        for name, branch in tree.items():
            if branch == [UNKNOWN]:
                rows.append((pointer, UNKNOWN))
            else:
                step = "" if name == "_schema" else f"/{name}"
                rows += _walk(branch, pointer + step)
        return rows
    return [(pointer, str(sentence)) for sentence in (tree if isinstance(tree, list) else [tree])]


UNKNOWN = "Unknown field."
