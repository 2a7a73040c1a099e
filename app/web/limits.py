"""How often one network, one partner and everybody together may call.

A network is an address, or the /64 of an IPv6 one. It is kept only as a keyed hash whose key is
new every day, and never logged. The storage is counted in directly: resolving Flask-Limiter's
decorators took longer than taking a report in (docs/decisions/0007).

Networks and partners may be counted in a storage that many processes share (Context.counters).
Everybody together is always counted in this process: the limit keeps one process from drowning,
and one counter for all processes would be the one item that every request writes to.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, current_app, g, request
from flask_limiter import Limiter
from limits import parse_many
from limits.storage import Storage

from app.settings import Settings
from app.web.access import app_view, calling_partner
from app.web.context import services
from app.web.problems import Problem
from partners.ports import Purpose

View = TypeVar("View", bound=Callable[..., Any])

EXTENSION = "report_remove_limits"
EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class _Rule:
    rate: Callable[[Settings], str]
    key: Callable[[], str]
    is_local: bool = False


def network() -> str:
    """Today's keyed hash of the network that a request came from, as hexadecimal."""
    if "network" not in g:
        g.network = _network()
    return str(g.network)


def _network() -> str:
    house = services().house
    today = house.clock.now().date().isoformat()
    prefix = _prefix(request.remote_addr or "")
    return house.keys.tag(Purpose.NETWORK, f"{today}|{prefix}".encode()).hex()


def _prefix(address: str) -> str:
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(int(parsed) >> 64)


RULES: dict[str, _Rule] = {
    "overall": _Rule(lambda settings: settings.limit_overall, lambda: EVERYBODY, is_local=True),
    "reports": _Rule(lambda settings: settings.limit_reports, network),
    "declared": _Rule(lambda settings: settings.limit_declared, network),
    "case": _Rule(lambda settings: settings.limit_case, network),
    "partner": _Rule(lambda settings: settings.limit_partner, lambda: calling_partner().id),
}


def limited(name: str) -> Callable[[View], View]:
    """Name the limit of a view, one of RULES."""

    def mark(view: View) -> View:
        view.__dict__["limited"] = name
        return view

    return mark


@dataclass(frozen=True, slots=True)
class _Window:
    """One rate of a rule, ready to be counted: at most `most` in `seconds`."""

    most: int
    seconds: int
    prefix: str
    storage: Storage


def install(app: Flask, settings: Settings, counters: Storage | None = None) -> None:
    """Count every request before its view runs, after it is known who calls.

    `counters` are shared with other processes; without them this one counts for itself.
    """
    limiter = Limiter(
        key_func=lambda: EVERYBODY,
        storage_uri=f"{FixedWindows.STORAGE_SCHEME[0]}://",
    )
    # It hangs hooks of its own on every request unless it finds itself here: see the docstring.
    app.extensions.setdefault("limiter", set()).add(limiter)
    limiter.init_app(app)
    shared = limiter.storage if counters is None else counters
    app.extensions[EXTENSION] = {
        name: _windows(name, rule.rate(settings), limiter.storage if rule.is_local else shared)
        for name, rule in RULES.items()
    }
    app.before_request(_count_request)


def _windows(name: str, rates: str, storage: Storage) -> list[_Window]:
    rules = parse_many(rates)
    return [_Window(r.amount, r.get_expiry(), r.key_for(name, ""), storage) for r in rules]


def _count_request() -> None:
    if request.endpoint is None:
        return
    count("overall")
    name = getattr(app_view(request.endpoint), "limited", None)
    if name is not None:
        count(name)


def count(name: str) -> None:
    """Count this request against one limit. Raises Problem (429) if it is used up."""
    windows: dict[str, list[_Window]] = current_app.extensions[EXTENSION]
    key = RULES[name].key()
    for window in windows[name]:
        if window.storage.incr(window.prefix + key, window.seconds) > window.most:
            wait = math.ceil(window.storage.get_expiry(window.prefix + key) - time.time())
            raise Problem("too-many-requests", headers={"Retry-After": str(max(1, wait))})


class FixedWindows(Storage):
    """Counters of this process. The stock memory storage starts a thread every 10 ms under load."""

    STORAGE_SCHEME = ["report-remove-windows"]  # noqa: RUF012 - the name limits finds it by
    SWEEP_AT = 10_000  # windows; ended ones are then forgotten

    def __init__(self, uri: str | None = None, **_: Any) -> None:
        super().__init__(uri)
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = time.time()
        with self._lock:
            counted, ends = self._windows.get(key, (0, 0.0))
            if ends <= now:
                self._make_room(now)
                counted, ends = 0, now + expiry
            self._windows[key] = (counted + amount, ends)
            return counted + amount

    def _make_room(self, now: float) -> None:
        if len(self._windows) >= self.SWEEP_AT:
            self._windows = {k: w for k, w in self._windows.items() if w[1] > now}

    def get(self, key: str) -> int:
        counted, ends = self._windows.get(key, (0, 0.0))
        return counted if ends > time.time() else 0

    def get_expiry(self, key: str) -> float:
        return self._windows.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        with self._lock:
            count = len(self._windows)
            self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        with self._lock:
            self._windows.pop(key, None)
