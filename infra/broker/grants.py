"""A grant: for ten minutes somebody may have a few tokens signed. It says no more than that."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NewType, Self

from infra.broker.errors import Code, NotSigned
from infra.broker.issuance import Predicate

LIFETIME = timedelta(minutes=10)
HOUR = 3600  # seconds
_DAY = 24 * HOUR  # seconds; the Unix clock knows no leap seconds, so UTC midnight is a multiple

PersonTag = NewType("PersonTag", bytes)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom a provider found under 18. `subject` makes the tag of the day, nothing else."""

    subject: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """How many tokens for which predicate; `person` is the tag that `day` knows them by."""

    predicate: Predicate
    day: int
    person: PersonTag = field(repr=False)
    left: int

    def spend(self, predicate: Predicate) -> Self:
        """With one token less, for a key of that predicate. Raises NotSigned."""
        if predicate is not self.predicate:
            raise NotSigned(Code.PREDICATE)
        if self.left < 1:
            raise NotSigned(Code.GRANT_USED_UP)
        return replace(self, left=self.left - 1)

    def unspend(self) -> Self:
        """With the token back that could not be signed."""
        return replace(self, left=self.left + 1)


def day_of(now: datetime) -> int:
    """UTC days since 1970."""
    return int(now.timestamp()) // _DAY


def lifted_in(day: int, now: datetime) -> int:
    """Seconds until the limit of that day holds nobody back: whole hours, at least one."""
    # It follows from the clock, never from when somebody had their tokens. People are told
    # 'tomorrow'; a device that kept to the second would mark who had reached yesterday's limit and
    # so join two days, which their keys keep apart. So who says this adds a random part of an hour.
    # A grant of yesterday stays refused, though its person may have a new one at once: it hears an
    # hour too, so that its age does not show.
    left = (day + 1) * _DAY - now.timestamp()
    return max(1, math.ceil(left / HOUR)) * HOUR


def person_tag(key_of_day: bytes, provider: str, subject: str) -> PersonTag:
    """HMAC-SHA256(key of the day, provider | 0x00 | subject)."""
    message = provider.encode() + b"\0" + subject.encode("utf-8", "surrogatepass")
    return PersonTag(hmac.new(key_of_day, message, sha256).digest())
