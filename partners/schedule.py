"""When a message is tried again, and when no more: decided from one answer, with no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from partners.ports import Answer

DELAYS: Final[tuple[timedelta, ...]] = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""The longest wait before each try; the first is made at once. Standard Webhooks 1.0.0."""

RETRY_AFTER_LIMIT: Final = DELAYS[-1]
"""The longest Retry-After that is honoured: a partner cannot put a request off for a year."""

GONE: Final = 410
"""A partner wants no more at this endpoint. Standard Webhooks 1.0.0."""

_THROTTLED = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Accepted:
    """A 2xx: the partner has it."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at `at`, not earlier."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The schedule is used up: the message failed and an operator is told."""


@dataclass(frozen=True, slots=True)
class Disable:
    """410 Gone: the partner wants no more of these at this endpoint."""


Decision = Accepted | RetryAt | GiveUp | Disable


def next_attempt(attempts: int, answer: Answer, now: datetime, jitter: float) -> Decision:
    """What follows the `attempts`-th try (1 for the first), which ended in `answer` at `now`.

    `jitter` is a random number from 0 up to 1 that the caller draws.
    """
    if answer.status is not None and 200 <= answer.status < 300:
        return Accepted()
    if answer.status == GONE:
        return Disable()
    if attempts >= len(DELAYS):
        return GiveUp()
    return RetryAt(now + max(_spread(attempts, jitter), bounded_retry_after(answer)))


def bounded_retry_after(answer: Answer, limit: timedelta = RETRY_AFTER_LIMIT) -> timedelta:
    """The wait that the partner asked for: none to `limit`."""
    if answer.retry_after is None or not answer.retry_after > 0:
        return timedelta(0)
    return timedelta(seconds=min(answer.retry_after, limit.total_seconds()))


def throttles(answer: Answer) -> bool:
    """Whether the partner says that it, or what stands before it, has too much to do."""
    return answer.status in _THROTTLED


def _spread(attempts: int, jitter: float) -> timedelta:
    """Anywhere between the last wait and the next one.

    All of the step is random, so that what failed together does not come back together; the last
    wait is its floor, because from nought up the ten tries could be over within hours.
    """
    shortest, longest = DELAYS[attempts - 1], DELAYS[attempts]
    return shortest + (longest - shortest) * jitter
