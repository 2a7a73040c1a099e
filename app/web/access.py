"""Who may call a route. Every view names its rule; a test finds one that does not."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar, cast

from flask import Flask, current_app, g, request

from app.web.context import services
from partners.model import Partner
from partners.registry import authenticate

View = TypeVar("View", bound=Callable[..., Any])


class Access(StrEnum):
    """The rules there are."""

    PUBLIC = "public"
    CASE_KEY = "case_key"  # the case key in the body opens its own case and nothing else
    PARTNER = "partner"  # an API key of an active partner


def access(rule: Access) -> Callable[[View], View]:
    """Name the rule of a view."""

    def mark(view: View) -> View:
        view.__dict__["access"] = rule
        return view

    return mark


def rule_of(view: Callable[..., Any] | None) -> Access | None:
    """The rule a view names, seen through the decorators around it."""
    while view is not None:
        rule = getattr(view, "access", None)
        if rule is not None:
            return cast(Access, rule)
        view = getattr(view, "__wrapped__", None)
    return None


def install(app: Flask) -> None:
    """Enforce the rules before any view runs."""
    app.before_request(_enforce)


def require(app: Flask) -> None:
    """Raise for a view that names no rule, where the guard looks for it.

    To be called when every view is registered: what nobody thought about is not served.
    """
    views = app.view_functions.items()
    bare = [name for name, view in views if not isinstance(getattr(view, "access", None), Access)]
    if bare:
        raise RuntimeError(f"without an access rule: {', '.join(bare)}")


def _enforce() -> None:
    if request.endpoint is None:
        return
    if getattr(app_view(request.endpoint), "access", None) is Access.PARTNER:
        house = services().house
        header = request.headers.get("Authorization", "")
        g.partner = authenticate(header, house.store, house.keys, house.clock.now())


def app_view(endpoint: str) -> Callable[..., Any] | None:
    """The view function of an endpoint."""
    return current_app.view_functions.get(endpoint)


def calling_partner() -> Partner:
    """The partner whose key came with this request."""
    return cast(Partner, g.partner)
