"""What the operating system gives: time, names that nobody can guess, processors."""

from __future__ import annotations

import os
import random
import string
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

_ALPHABET = (string.digits + string.ascii_letters).encode()
_FAIR = 256 - 256 % len(_ALPHABET)  # bytes from here on would favour the first letters
_LETTER_OF = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
_UNFAIR = bytes(range(_FAIR, 256))
_LENGTH = 21  # of 62 letters: 125 bits
_AT_ONCE = 4096  # random bytes fetched together


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, aware, UTC, to the microsecond."""
        return datetime.now(UTC)


class RandomIds:
    """Names out of the kernel's random numbers. Safe from any thread, not across a fork.

    Letters are kept ready: each call to the kernel gives up the interpreter lock, and under load a
    request waits its turn to have it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._letters = ""

    def new(self, prefix: str) -> str:
        """`prefix_` and 125 random bits in base 62 (21 letters), never given twice."""
        return f"{prefix}_{self._name()}"

    def ordered(self, prefix: str) -> str:
        """`prefix_`, twelve hexadecimal digits of the time in milliseconds, and 125 random bits."""
        return f"{prefix}_{time.time_ns() // 1_000_000:012x}{self._name()}"

    def _name(self) -> str:
        with self._lock:
            while len(self._letters) < _LENGTH:
                self._letters += os.urandom(_AT_ONCE).translate(_LETTER_OF, _UNFAIR).decode()
            name, self._letters = self._letters[:_LENGTH], self._letters[_LENGTH:]
        return name


@dataclass(frozen=True, slots=True)
class OneProcessor:
    """One of the processors that this process may use, for all its threads, and the others.

    The interpreter runs one thread at a time. Where there are two processors, threads that take
    turns wake each other across them, which took more time than the second one gave
    (docs/decisions/0019). A system that does not permit this leaves everything as it was. Linux.
    """

    mine: frozenset[int]
    others: frozenset[int]

    @classmethod
    def drawn(cls) -> Self:
        """By lot, so that several services do not all take the first one."""
        all_of_them = os.sched_getaffinity(0)
        mine = random.choice(sorted(all_of_them))  # noqa: S311 - not a secret
        return cls(frozenset({mine}), frozenset(all_of_them - {mine}))

    def keep(self) -> None:
        """Have all threads of this process, and those they start, run on mine."""
        with suppress(OSError):
            for thread in Path("/proc/self/task").iterdir():
                with suppress(ProcessLookupError):  # it has ended
                    os.sched_setaffinity(int(thread.name), self.mine)

    def send_away(self, process: int) -> None:
        """Have a process that we started run on the others, unless somebody else has moved us."""
        if self.others and os.sched_getaffinity(0) == self.mine:
            with suppress(OSError):
                os.sched_setaffinity(process, self.others)
