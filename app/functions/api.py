"""Answers devices and partners: the web application behind a function URL or an API Gateway.

Who calls is what AWS saw of the connection (`sourceIp`), whatever the event's shape. A header never
says it: the caller writes those, and limits would count the network that the caller chose.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from apig_wsgi import make_lambda_handler

from app.bootstrap import StartRefused, foundation, web_context
from app.functions.failing import silently
from app.observability import Journal, LogEvent, Metrics
from app.settings import Settings
from app.web.application import create_app
from app.web.problems import KINDS, MEDIA_TYPE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


RETRY_AFTER = "30"  # seconds: whatever keeps it from starting needs a person, or AWS


class UnknownEvent(Exception):
    """An event that does not say who called: none of payload format 1.0 or 2.0."""


@silently("api")
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One request (payload format 2.0, or 1.0 of a REST API) and its answer."""
    try:
        application = _application()
    except StartRefused as fault:
        return _not_now(fault)
    return application(event, context)


def seen_by_aws(application: WSGIApplication) -> WSGIApplication:
    """The same application, told the address that AWS saw and none that the caller wrote.

    It stands behind apig-wsgi, where every spelling of a header's name has become one.
    """

    def called(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = _address(environ.get("apig_wsgi.request_context"))
        environ.pop("HTTP_X_FORWARDED_FOR", None)
        # An event holds the body whole; werkzeug would read none of one that says it was in chunks.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return application(environ, start)

    return called


def _address(asked: Any) -> str:
    """Raises UnknownEvent."""
    for where in ("http", "identity"):
        if isinstance(asked, Mapping) and where in asked:
            return str(asked[where]["sourceIp"])
    raise UnknownEvent


def _not_now(fault: StartRefused) -> dict[str, Any]:
    """What a caller hears while the keys or the table are unavailable; the log says why.

    Raised instead, it would reach the caller as AWS's own 502, which no client of ours knows.
    """
    journal, code = Journal(Metrics()), "store-unavailable"
    journal.note(LogEvent.STORE_UNAVAILABLE, error=str(fault))
    kind, address = KINDS[code], Settings.from_env(os.environ).public_url
    page = f"{address}/docs#problem-{code}"
    body = {"type": page, "title": kind.title, "status": kind.status, "code": code}
    headers = {"content-type": MEDIA_TYPE, "retry-after": RETRY_AFTER, "cache-control": "no-store"}
    return {"statusCode": kind.status, "headers": headers, "body": json.dumps(body)}


@cache  # a start that is refused is tried anew with the next request
def _application() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    base = foundation(Settings.from_env(os.environ))
    made: Callable[[dict[str, Any], Any], dict[str, Any]] = make_lambda_handler(
        seen_by_aws(create_app(web_context(base))), binary_support=True
    )
    return made
