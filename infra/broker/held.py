"""What is remembered for some minutes, in memory alone, under an id that nobody can guess."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

Value = TypeVar("Value")
Clock = Callable[[], datetime]
_STEP = timedelta(minutes=1)  # by which a clock may be set back without an end to everything


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Value]):
    value: Value
    ends_at: datetime


class Held(Generic[Value]):
    """Values that end `lifetime` after they were put in; at most `most`, the oldest going first.

    One that would end later than that was put in while the clock was ahead, and has ended too.
    """

    def __init__(self, lifetime: timedelta, most: int, clock: Clock) -> None:
        self._lifetime = lifetime
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry[Value]] = {}  # in the order of their ends

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, value: Value) -> str:
        """Remember it; the answer is its id, 256 bits of chance in base64url."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            self._sweep()
            while len(self._entries) >= self._most:
                del self._entries[next(iter(self._entries))]
            self._entries[name] = _Entry(value, self._clock() + self._lifetime)
        return name

    def get(self, name: str) -> Value | None:
        """The value, if there is one and it has not ended."""
        with self._lock:
            return self._live(name)

    def take(self, name: str) -> Value | None:
        """The value, which is then gone: of two that ask, one gets it."""
        with self._lock:
            value = self._live(name)
            self._entries.pop(name, None)
            return value

    def change(self, name: str, new: Callable[[Value], Value]) -> Value | None:
        """Put `new(value)` in its place, with its end, and answer that. `new` may raise."""
        with self._lock:
            value = self._live(name)
            if value is None:
                return None
            changed = new(value)
            self._entries[name] = _Entry(changed, self._entries[name].ends_at)
            return changed

    def sweep(self) -> None:
        """Forget what has ended."""
        with self._lock:
            self._sweep()

    def _live(self, name: str) -> Value | None:
        entry = self._entries.get(name)
        if entry is None or self._has_ended(entry):
            return None
        return entry.value

    def _has_ended(self, entry: _Entry[Value]) -> bool:
        left = entry.ends_at - self._clock()
        return not timedelta(0) < left <= self._lifetime + _STEP

    def _sweep(self) -> None:
        for name, entry in list(self._entries.items()):
            if not self._has_ended(entry):
                return
            del self._entries[name]
