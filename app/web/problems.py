"""Every error as a problem detail (RFC 9457): one table from domain words to HTTP.

`type` is the code's row on our own documentation page; docs/PROBLEMS.md is the same table. A body
never quotes what was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.domain.errors import AgeRefused, BadReport, ReportRemoveError, StoreUnavailable
from app.observability import LogEvent
from app.web.context import Context, context
from hashing.errors import HashError
from partners.errors import PartnerError

View = TypeVar("View", bound=Callable[..., Any])

MEDIA_TYPE = "application/problem+json"
SOON = "2"  # seconds: what locks a database, or throttles a table, is mostly over by then
UNKNOWN = "Unknown field."


@dataclass(frozen=True, slots=True)
class Kind:
    """One code: its HTTP status, the sentence that goes with it, and what the caller can do."""

    status: int
    title: str
    advice: str


_SEND_HASHES = "Hash on the device and send the hashes."
_SAME_AGAIN = "Send the same request again, with the same Idempotency-Key if it had one."

KINDS: dict[str, Kind] = {
    # the shape of the request
    "not-json": Kind(
        400,
        "The body is not JSON.",
        "Send one JSON object in UTF-8: no key twice, no NaN, not nested without end.",
    ),
    "body-unexpected": Kind(400, "This request takes no body.", "Leave the body out."),
    "header-invalid": Kind(
        400, "A header is missing or malformed.", "`errors` names the header: see the route."
    ),
    "query-invalid": Kind(
        400, "A query parameter is malformed.", "`errors` names the parameter: see the route."
    ),
    "request-malformed": Kind(
        400, "The request is malformed.", "Repair the client: this is not HTTP as we read it."
    ),
    "not-found": Kind(404, "There is nothing here.", "Compare the address with the routes."),
    "method-not-allowed": Kind(
        405, "This address does not take that method.", "Use a method that `Allow` names."
    ),
    "body-too-large": Kind(
        413,
        "The body is too large: send hashes, not the picture.",
        f"{_SEND_HASHES} `limits` of /v1/age/challenge says how much is read.",
    ),
    "content-type-unsupported": Kind(
        415, "Only application/json is taken.", "Send JSON, and say so in Content-Type."
    ),
    "media-refused": Kind(
        415,
        "This looks like a picture or a video. It must stay on your device: send its hashes.",
        f"{_SEND_HASHES} What was sent was not kept.",
    ),
    "body-invalid": Kind(
        422,
        "The body does not have the shape that is documented.",
        "`errors` points at each part that differs from the shape.",
    ),
    "too-many-requests": Kind(
        429, "Too many requests. Please wait and try again.", "Wait as `Retry-After` says."
    ),
    "headers-too-large": Kind(431, "The headers are too large.", "Send fewer or shorter headers."),
    "internal": Kind(500, "Something broke on our side. Please try again.", _SAME_AGAIN),
    "transfer-unsupported": Kind(
        501, "That Transfer-Encoding is not taken.", "Send Content-Length, or chunks."
    ),
    "store-unavailable": Kind(
        503, "We cannot store anything right now. Please try again soon.", _SAME_AGAIN
    ),
    # what it asks for
    "report-invalid": Kind(
        422, "The report does not hold together.", "`errors` points at the part and says why."
    ),
    "too-much": Kind(
        422,
        "More photos, videos or hashes than one case can hold.",
        "Keep to `limits` of /v1/age/challenge; make another case for more.",
    ),
    "hash-unusable": Kind(
        422,
        "A hash cannot be used to find anything.",
        "`errors` says which and why: leave it out, or hash a clearer copy.",
    ),
    "platform-unknown": Kind(
        422, "A platform is named that does not take part.", "Choose from /v1/platforms."
    ),
    "location-refused": Kind(
        422,
        "No link or username is taken here.",
        "Leave `locations` out, unless /v1/platforms says that this platform takes them.",
    ),
    "idempotency-key-reused": Kind(
        422,
        "This Idempotency-Key came before with another body.",
        "Make a new Idempotency-Key for every new request.",
    ),
    "contested": Kind(
        409,
        "Something else changed this at the same moment. Please try again.",
        "Read the present state and send the request again.",
    ),
    # age
    "age-refused": Kind(
        401,
        "The age proof does not hold.",
        "`reason` names the check that failed: get a fresh token and proof (docs/AGE.md).",
    ),
    "age-token-spent": Kind(
        401, "This age proof was used before.", "Get a new token: one is good for one report."
    ),
    # cases
    "case-not-found": Kind(
        404,
        "No case opens with this key.",
        "Check the case code. A case that was purged answers the same.",
    ),
    "case-key-taken": Kind(
        409, "Please make another case code and try again.", "Make a new code on the device."
    ),
    "case-withdrawn": Kind(
        409,
        "This case is closed. Nothing can be added to it.",
        "Make a new report for a new case.",
    ),
    # partners
    "partner-key-wrong": Kind(
        401,
        "The API key is missing or not valid.",
        "Send `Authorization: Bearer` and your newest API key.",
    ),
    "partner-suspended": Kind(403, "This partner is suspended.", "Ask whoever runs this service."),
    "partner-unknown": Kind(
        404,
        "Nothing of that id is yours.",
        "Use an id that we sent you. A withdrawn item is gone: forget it.",
    ),
    "feedback-out-of-order": Kind(
        409,
        "That cannot follow what you said before.",
        "See which word may follow which on the documentation page.",
    ),
}

_BY_STATUS = {
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "content-type-unsupported",
    422: "body-invalid",
    429: "too-many-requests",
    431: "headers-too-large",
    501: "transfer-unsupported",
    503: "store-unavailable",
}


def code_of(status: int) -> str:
    """The code for a status that a framework chose, where it said no more."""
    return _BY_STATUS.get(status, "request-malformed" if status < 500 else "internal")


def refuses(*codes: str) -> Callable[[View], View]:
    """Name what a view may refuse for reasons of its own, for the API's document."""

    def mark(view: View) -> View:
        view.__dict__["refuses"] = codes
        return view

    return mark


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def method() -> str:
    """The request's method for logs and metrics; one that the sender made up is not repeated."""
    return request.method if request.method in _METHODS else "other"


class Problem(Exception):
    """A refusal that this layer makes itself, by its code in KINDS."""

    def __init__(
        self,
        code: str,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.errors = errors
        self.headers = headers or {}


def install(app: Flask) -> None:
    """Answer every error as a problem."""
    app.register_error_handler(Problem, _own)
    app.register_error_handler(ReportRemoveError, _domain)
    app.register_error_handler(PartnerError, _domain)
    app.register_error_handler(HashError, _domain)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def document(context: Context, code: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """Status and members of the problem of that code; it is counted."""
    context.metrics.refusals.labels(code).inc()
    kind = KINDS[code]
    address = f"{context.settings.public_url}/docs#problem-{code}"
    head = {"type": address, "title": kind.title, "status": kind.status, "code": code}
    return kind.status, {**head, **more}


def answer(code: str, **more: Any) -> Response:
    """The problem of that code as a response."""
    status, body = document(context(), code, **more)
    response = Response(json.dumps(body), status, content_type=MEDIA_TYPE)
    if status == 401:
        response.headers["WWW-Authenticate"] = _challenge(code)
    if status == 503:
        response.headers["Retry-After"] = SOON
    return response


def _challenge(code: str) -> str:
    """RFC 9110 section 11.6.1; it wants one even where no profile takes a token."""
    if code == "partner-key-wrong":
        return "Bearer"
    verifiers = context().services.verifiers.values()
    return ", ".join(asked for one in verifiers for asked in one.asks()) or "Declared"


def _own(problem: Problem) -> Response:
    response = answer(problem.code, **({"errors": problem.errors} if problem.errors else {}))
    response.headers.update(problem.headers)
    return response


def _domain(fault: ReportRemoveError | PartnerError | HashError) -> Response:
    if isinstance(fault, AgeRefused):
        return answer(fault.code, reason=fault.reason)
    if isinstance(fault, BadReport):
        return answer(fault.code, errors=[{"pointer": fault.where, "detail": str(fault)}])
    if fault.code not in KINDS:
        return _unforeseen(fault)
    if isinstance(fault, StoreUnavailable):
        cause = type(fault.__cause__ or fault).__name__
        context().journal.note(LogEvent.STORE_UNAVAILABLE, error=cause)
    return answer(fault.code)


def _http(fault: HTTPException) -> Response:
    code = code_of(fault.code or 500)
    if code == "internal":
        return _unforeseen(fault)
    response = answer(code)
    if isinstance(fault, MethodNotAllowed) and fault.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(fault.valid_methods))
    return response


def _unforeseen(fault: Exception) -> Response:
    route = str(request.url_rule) if request.url_rule else "none"
    context().journal.failure(LogEvent.REQUEST_FAILED, fault, route=route, method=method())
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
