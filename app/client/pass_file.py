"""Passes kept on this machine for later, each to be used once."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from app.client.privacy_pass import TOKEN_BYTES, NoPass, Why, b64, from_b64

_DAY = 86_400  # seconds
_DAYS = 2  # the service takes the passes of today and of yesterday
_MOST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Pass:
    """A token and the day it was asked for, in UTC days since 1970."""

    day: int
    token: bytes = field(repr=False)

    def counts(self, now: float) -> bool:
        """Whether the service may still take it: on its day and the day after."""
        return abs(int(now) // _DAY - self.day) < _DAYS


@dataclass(frozen=True, slots=True)
class PassFile:
    """Passes kept for later, each to be used once: JSON, readable by its owner alone.

    Two programs may use one file at once: each takes another pass.
    """

    path: Path

    def add(self, tokens: Sequence[bytes], now: float) -> int:
        """Keep new ones too; how many are there then. Raises NoPass."""
        return self._put([Pass(int(now) // _DAY, token) for token in tokens], now)

    def put_back(self, one: Pass, now: float) -> None:
        """Keep one that was taken and not used after all. Raises NoPass."""
        self._put([one], now)

    def take(self, now: float) -> Pass:
        """One that still counts, which is no longer in the file then. Raises NoPass."""
        with self._opened() as file:
            kept = [one for one in _read(file) if one.counts(now)]
            _write(file, kept[1:])
        if not kept:
            raise NoPass(Why.NONE_LEFT)
        return kept[0]

    def _put(self, more: list[Pass], now: float) -> int:
        with self._opened() as file:
            kept = [one for one in [*_read(file), *more] if one.counts(now)]
            _write(file, kept)
        return len(kept)

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
        except OSError:
            raise NoPass(Why.FILE) from None


def _read(file: IO[bytes]) -> list[Pass]:
    raw = file.read(_MOST_BYTES)
    try:
        kept = json.loads(raw)["passes"] if raw else []
        passes = [Pass(one["day"], from_b64(one["token"])) for one in kept]
    except (ValueError, KeyError, TypeError):
        raise NoPass(Why.FILE) from None
    if not all(type(one.day) is int and len(one.token) == TOKEN_BYTES for one in passes):
        raise NoPass(Why.FILE)
    return passes


def _write(file: IO[bytes], passes: list[Pass]) -> None:
    """In place, for the lock is on this very file. A pass lost by a power cut is no harm."""
    rows = [{"day": one.day, "token": b64(one.token)} for one in passes]
    file.seek(0)
    file.truncate()
    file.write(json.dumps({"passes": rows}).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())
