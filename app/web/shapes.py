"""The small JSON shapes that are taken, each refused unless it is exactly right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from flask import Request, request
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, ValidationError, fields, validate
from webargs import core
from webargs.flaskparser import FlaskParser

from app.web.problems import Problem, from_messages


class Shape(Schema):
    """A body. A field that is not named is refused, so that nothing unforeseen rides along."""

    class Meta:
        unknown = RAISE


class StrictParser(FlaskParser):
    """webargs, reading bodies through the application's strict JSON and refusing in problems."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {  # noqa: RUF012
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": RAISE,
        "query_string": RAISE,
    }

    def _raw_load_json(self, req: Request) -> Any:
        body = req.get_json()
        if not isinstance(body, dict):
            raise Problem("body-invalid", [{"pointer": "", "detail": "Not a JSON object."}])
        return body

    def handle_error(
        self,
        error: ValidationError,
        req: Request,
        schema: Schema,
        **_: Any,
    ) -> NoReturn:
        """Refuse with pointers to what is wrong and never with the value itself."""
        tree: dict[str, Any] = error.normalized_messages()
        where, messages = next(iter(tree.items()))
        codes = {"json": "body-invalid", "headers": "header-invalid", "query": "query-invalid"}
        raise Problem(codes[where], from_messages(messages))


class StrictBlueprint(Blueprint):
    """A blueprint whose arguments are read by StrictParser."""

    ARGUMENTS_PARSER = StrictParser()


missing = core.missing


class Hex(fields.String):
    """Exactly `digits` lowercase hexadecimal digits, as bytes."""

    def __init__(self, digits: int, **kwargs: Any) -> None:
        kwargs.setdefault("metadata", {})["pattern"] = f"^[0-9a-f]{{{digits}}}$"
        super().__init__(**kwargs)
        self._matches = re.compile(f"[0-9a-f]{{{digits}}}").fullmatch
        self._digits = digits

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if not isinstance(value, str) or not self._matches(value):
            raise ValidationError(f"Must be {self._digits} lowercase hexadecimal digits.")
        return bytes.fromhex(value)


class Strict(fields.Boolean):
    """true or false and nothing that reads like them."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if value is not True and value is not False:
            raise ValidationError("Must be true or false.")
        return value


class Whole(fields.Integer):
    """A JSON number without a fraction (89.0 is one, RFC 8259 knows no integers); no text."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            raise ValidationError("Must be a whole number.")
        return int(value)


KEY_HEADER = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{16,64}$"},
    "description": "16 to 64 of A-Z a-z 0-9 _ -, new for every new request. A repeat with the same "
    "key and body gets the first answer.",
}
_KEY = re.compile(r"[A-Za-z0-9_-]{16,64}").fullmatch


def idempotency_key() -> str:
    """The Idempotency-Key of this request. Raises Problem."""
    key = request.headers.get("Idempotency-Key", "")
    if not _KEY(key):
        fault = {"pointer": "/Idempotency-Key", "detail": "Does not have the documented form."}
        raise Problem("header-invalid", [fault])
    return key


def text(pattern: str, **kwargs: Any) -> fields.String:
    """A string field that matches the whole pattern."""
    metadata = {"pattern": f"^{pattern}$", **kwargs.pop("metadata", {})}
    check: Callable[[str], str] = validate.Regexp(
        f"^(?:{pattern})\\Z", error="Does not have the documented form."
    )
    return fields.String(validate=check, metadata=metadata, **kwargs)


def body_bytes() -> bytes:
    """The raw body of this request, already read and bounded."""
    return request.get_data(cache=True)
