"""What is read of a request body: small JSON objects, and nothing that could be a picture.

Runs before any view. A refused body is neither stored nor logged.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from flask import Flask, Request, request
from flask.json.provider import DefaultJSONProvider

from app.web.problems import Problem

# The first bytes of JPEG, PNG, GIF, RIFF (WebP, AVI), BMP, TIFF, ZIP, Matroska, PDF and ISO media
# (MP4, HEIC, AVIF); and the same as base64 would begin, for one that hides in a JSON string.
_MEDIA = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF|BM.{4}\0\0|II\*\0|MM\0\*|PK\x03\x04|\x1aE\xdf\xa3|%PDF"
    rb"|.{4}ftyp",
    re.DOTALL,
)
_MEDIA_BASE64 = re.compile(
    rb'"(?:data:[a-z]+/|/9j/|iVBORw0KGgo|R0lGOD|UklGR|AAAA[A-Za-z0-9+/]{2,4}Z0eX|UEsDB|GkXfo'
    rb"|Qk[A-Za-z0-9+/]{6}AA|SUkqA|TU0AK|JVBER)"
)


JSON = "application/json"


class OneRequest(Request):
    """A request whose body is JSON or nothing."""

    def _load_form_data(self) -> None:
        """Forms and files are never parsed: no route takes one."""
        raise Problem("content-type-unsupported")


class StrictJson(DefaultJSONProvider):
    """JSON as RFC 8259 means it: no duplicate keys, no NaN, no endless nesting."""

    sort_keys = False

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Parse. Raises ValueError for whatever is not strict JSON."""
        try:
            return _DECODER.decode(s if isinstance(s, str) else s.decode("utf-8"))
        except RecursionError:
            raise ValueError("nested too deeply") from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


def _no_constant(_: str) -> NoReturn:
    raise ValueError("not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)


def install(app: Flask) -> None:
    """Look at every body before its view does."""
    app.request_class = OneRequest
    app.json = StrictJson(app)
    app.before_request(_look)


def _look() -> None:
    if request.url_rule is None:
        return  # 404 and 405 answer for themselves
    length = request.content_length
    if request.method in ("GET", "HEAD", "OPTIONS", "DELETE"):
        if length:
            raise Problem("body-unexpected")
        return
    body = request.get_data(cache=True)
    if _MEDIA.match(body):
        raise Problem("media-refused")
    if request.environ.get("CONTENT_TYPE") != JSON and request.mimetype != JSON:
        raise Problem("content-type-unsupported")
    if _MEDIA_BASE64.search(body):
        raise Problem("media-refused")
