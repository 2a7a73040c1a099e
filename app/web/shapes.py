"""The small JSON shapes that are taken, each refused unless it is exactly right."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NoReturn, TypeVar, cast

from flask import Request, current_app, request
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, ValidationError, fields, validate
from webargs.flaskparser import FlaskParser

from app.web.problems import Problem, from_messages

View = TypeVar("View", bound=Callable[..., Any])


class Shape(Schema):
    """A body. A field that is not named is refused, so that nothing unforeseen rides along."""

    class Meta:
        unknown = RAISE


class StrictParser(FlaskParser):
    """webargs, refusing in problems what it does not know."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {  # noqa: RUF012
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": RAISE,
        "query_string": RAISE,
    }

    def handle_error(
        self,
        error: ValidationError,
        req: Request,
        schema: Schema,
        **_: Any,
    ) -> NoReturn:
        """Refuse with pointers to what is wrong and never with the value itself."""
        tree: dict[str, Any] = error.normalized_messages()
        raise Problem("query-invalid", from_messages(next(iter(tree.values()))))


class StrictBlueprint(Blueprint):
    """A blueprint that reads its query by StrictParser and its bodies by `body`."""

    ARGUMENTS_PARSER = StrictParser()

    def body(self, schema: Schema) -> Callable[[View], View]:
        """Give the view the request's body, read by the schema, and document it.

        Straight from the application's strict JSON to the schema: webargs on the way, which looks
        in many places for many frameworks, cost a report as much as the schema itself.
        """

        def decorate(view: View) -> View:
            @wraps(view)
            def reading(*args: Any, **kwargs: Any) -> Any:
                return view(_read(schema), *args, **kwargs)

            about = {"in": "json", "required": True, "schema": schema}
            reading.__dict__["_apidoc"] = {
                **getattr(view, "_apidoc", {}),
                "arguments": {"parameters": [about], "responses": {}},
            }
            return cast(View, reading)

        return decorate

    def answers(self, status: int, schema: Schema, **about: Any) -> Callable[[View], View]:
        """Document the answer of a view that makes its response by itself."""

        def decorate(view: View) -> View:
            shown = self.doc(parameters=about.pop("parameters", []))(view)
            shown = self.response(status, schema, **about)(shown)
            view.__dict__["_apidoc"] = shown._apidoc  # noqa: SLF001
            return view

        return decorate


def _read(schema: Schema) -> Any:
    try:
        body = current_app.json.loads(request.get_data(cache=True))
    except ValueError:
        raise Problem("not-json") from None
    if not isinstance(body, dict):
        raise Problem("body-invalid", [{"pointer": "", "detail": "Not a JSON object."}])
    try:
        return schema.load(body)
    except ValidationError as error:
        tree: dict[str, Any] = error.normalized_messages()
        raise Problem("body-invalid", from_messages(tree)) from None


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
