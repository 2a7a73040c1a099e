"""Whether the clock tells the truth, as far as the machine itself can say: erasure hangs on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from partners.ports import Clock

AHEAD_AT_MOST: Final = timedelta(hours=1)


def _running() -> float:
    """Seconds that this machine has been on, asleep or not: setting the clock does not move it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WatchClock:
    """Compares the clock with how long the machine has run since this began.

    A clock that was wrong already when the process started is not found out.
    """

    def __init__(self, clock: Clock, running: Callable[[], float] = _running) -> None:
        self._clock = clock
        self._running = running
        self._began_at = clock.now()
        self._ran = running()

    def ahead(self) -> timedelta:
        """How far the clock was put forward since then; below zero, back."""
        ran = timedelta(seconds=self._running() - self._ran)
        return self._clock.now() - self._began_at - ran

    def may_erase(self) -> bool:
        """Whether nothing is erased much too early. A clock that was put back only waits longer."""
        return self.ahead() <= AHEAD_AT_MOST
