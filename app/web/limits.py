"""How often one network, one partner and everybody together may call.

A network is an address, or the /64 of an IPv6 one. It is kept only as a keyed hash whose key is
new every day, and never logged.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, request
from flask_limiter import Limiter, RateLimitExceeded

from app.settings import Settings
from app.web.access import calling_partner
from app.web.context import context, services
from app.web.problems import answer
from partners.ports import Purpose

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _Rule:
    rate: Callable[[Settings], str]
    key: Callable[[], str]


def limited(name: str) -> Callable[[View], View]:
    """Name the limit of a view, one of LIMITS."""

    def mark(view: View) -> View:
        view.__dict__["limited"] = name
        return view

    return mark


def network() -> str:
    """Today's keyed hash of the network that a request came from, as hexadecimal."""
    services_ = services()
    today = services_.house.clock.now().date().isoformat()
    prefix = _prefix(request.remote_addr or "")
    return services_.house.keys.tag(Purpose.NETWORK, f"{today}|{prefix}".encode()).hex()


def _prefix(address: str) -> str:
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(int(parsed) >> 64)


LIMITS: dict[str, _Rule] = {
    "reports": _Rule(lambda settings: settings.limit_reports, network),
    "declared": _Rule(lambda settings: settings.limit_declared, network),
    "case": _Rule(lambda settings: settings.limit_case, network),
    "partner": _Rule(lambda settings: settings.limit_partner, lambda: calling_partner().id),
}


def install(app: Flask, settings: Settings) -> None:
    """Put the named limits around their views. To be called when every view is registered."""
    limiter = Limiter(
        key_func=lambda: "everybody",
        application_limits=[settings.limit_overall],
        storage_uri="memory://",
        headers_enabled=False,
    )
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _exceeded)
    app.extensions["report_remove_limiter"] = limiter
    for endpoint, view in app.view_functions.items():
        name = getattr(view, "limited", None)
        if name is not None:
            rule = LIMITS[name]
            decorate = limiter.shared_limit(rule.rate(settings), scope=name, key_func=rule.key)
            app.view_functions[endpoint] = cast(Any, decorate(view))


def count(name: str) -> None:
    """Count this request against one more limit, known only once the body was read."""
    limiter = cast(Limiter, current_app.extensions["report_remove_limiter"])
    rule = LIMITS[name]
    with limiter.shared_limit(rule.rate(context().settings), scope=name, key_func=rule.key):
        pass


def _exceeded(_: RateLimitExceeded) -> Response:
    limiter = cast(Limiter, current_app.extensions["report_remove_limiter"])
    response = answer("too-many-requests")
    hit = limiter.current_limit
    now = context().services.house.clock.now().timestamp()
    wait = math.ceil(hit.reset_at - now) if hit is not None else 1
    response.headers["Retry-After"] = str(max(1, wait))
    return response
