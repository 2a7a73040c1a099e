"""Near-duplicate index: every hash within a radius, exactly, by comparing all of them."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hashing.distance import MATCH_DISTANCE
from hashing.values import Pdq

K = TypeVar("K", bound=Hashable)

_WORDS: Final = 4  # a hash is four 64-bit words, each in a column of its own
_FIRST_ROWS: Final = 1024


@dataclass(frozen=True, slots=True)
class Match(Generic[K]):
    """A hash in the index, by its key, and how many bits away it is."""

    key: K
    distance: int


class RadiusIndex(Generic[K]):
    """Hashes by key, 32 bytes each and what the keys take; room doubles when it runs out.

    Safe for threads: searches run side by side (numpy lets go of the interpreter lock while it
    compares), a change waits for the searches under way and holds back those that come after it.
    So a search sees every change whole or not at all.
    """

    def __init__(self) -> None:
        self._columns: NDArray[np.uint64] = np.empty((_WORDS, _FIRST_ROWS), np.uint64)
        self._keys: list[K] = []
        self._rows: dict[K, int] = {}
        self._gate = _Gate()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def add(self, key: K, value: Pdq) -> None:
        """Keep the hash under this key, in place of the one it had. Amortised O(1)."""
        with self._gate.alone():
            row = self._rows.get(key)
            if row is None:
                row = self._new_row(key)
            self._columns[:, row] = _words(value)

    def _new_row(self, key: K) -> int:
        row = len(self._keys)
        if row == self._columns.shape[1]:
            self._columns = np.concatenate((self._columns, np.empty_like(self._columns)), axis=1)
        self._keys.append(key)
        self._rows[key] = row
        return row

    def discard(self, key: K) -> None:
        """Forget this key, if it is there. O(1): the last row takes its place."""
        with self._gate.alone():
            row = self._rows.pop(key, None)
            if row is None:
                return
            last, moved = len(self._keys) - 1, self._keys.pop()
            self._columns[:, row] = self._columns[:, last]
            self._columns[:, last] = 0  # what is forgotten does not linger behind the last row
            if row != last:
                self._keys[row] = moved
                self._rows[moved] = row

    def within(self, value: Pdq, radius: int = MATCH_DISTANCE) -> list[Match[K]]:
        """Every hash at most `radius` bits away, nearest first. O(n): some 3 ms a million."""
        with self._gate.shared():
            rows, distances = self._near(_words(value), radius)
            found = [
                Match(self._keys[row], bits)
                for row, bits in zip(rows.tolist(), distances.tolist(), strict=True)
            ]
        return sorted(found, key=lambda match: match.distance)

    def nearest(self, value: Pdq) -> Match[K] | None:
        """The hash with the fewest bits away, however many; None if the index is empty."""
        with self._gate.shared():
            if not self._keys:
                return None
            distances = _count(self._columns[:, : len(self._keys)], _words(value))
            row = int(distances.argmin())
            return Match(self._keys[row], int(distances[row]))

    def _near(
        self, words: NDArray[np.uint64], radius: int
    ) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
        filled = self._columns[:, : len(self._keys)]
        half = _WORDS // 2
        # Two words alone rule out nearly every stranger, so the other two are rarely looked at.
        rows = np.flatnonzero(_count(filled[:half], words[:half]) <= radius)
        distances = _count(filled[:, rows], words)
        near = distances <= radius
        return rows[near], distances[near]


def _words(value: Pdq) -> NDArray[np.uint64]:
    return np.frombuffer(value.raw, np.uint64)


def _count(columns: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Differing bits per row."""
    total = np.zeros(columns.shape[1], np.uint16)
    for column, word in zip(columns, words, strict=True):
        total += np.bitwise_count(column ^ word)
    return total


class _Gate:
    """Many may be inside `shared`, one inside `alone`; who wants to be alone goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._waiting = 0
        self._alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not (self._alone or self._waiting))
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not (self._alone or self._sharing))
            self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
