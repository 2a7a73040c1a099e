"""The value a challenge asks for: one for everybody and for a whole day, so it points at nobody."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from app.adapters.age.jose import encode

_DAY = 86_400  # seconds; the Unix clock knows no leap seconds, so UTC midnight is a multiple


@dataclass(frozen=True, slots=True)
class DayWindow:
    """HMAC-SHA256(secret, label | 0x00 | day): 32 bytes that nobody can know before that UTC day.

    `label` keeps the values of two uses of one secret apart.
    """

    secret: bytes = field(repr=False)
    label: str

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            raise ValueError("the secret of a day window is at least 32 bytes")

    def of(self, day: int) -> bytes:
        """The value of that day since 1970."""
        message = self.label.encode() + b"\0" + day.to_bytes(8, "big")
        return hmac.new(self.secret, message, sha256).digest()

    def current(self, now: datetime) -> bytes:
        """The value to ask for now."""
        return self.of(day_of(now))

    def accepted(self, now: datetime) -> tuple[bytes, bytes]:
        """The values accepted now: today's, and yesterday's for who asked before midnight."""
        today, yesterday = days(now)
        return self.of(today), self.of(yesterday)


def days(now: datetime) -> tuple[int, int]:
    """The days whose values are accepted: today, and yesterday for who asked before midnight."""
    return day_of(now), day_of(now) - 1


def kept_until(day: int) -> datetime:
    """Until when a use of that day's value is remembered.

    A midnight, for a finer time could be matched with others; a day longer than the value counts,
    for machines whose clocks differ.
    """
    return datetime.fromtimestamp(0, UTC) + timedelta(days=day + 3)


def nonce_for(window: bytes, body_digest: bytes) -> str:
    """The nonce a wallet must sign for this body: only the body it was asked for fits it."""
    return encode(sha256(window + body_digest).digest())


def day_of(now: datetime) -> int:
    """UTC days since 1970."""
    return int(now.timestamp()) // _DAY
