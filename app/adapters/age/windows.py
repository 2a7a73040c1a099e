"""The value a challenge asks for: one for everybody and for a whole day, so it points at nobody."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

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
        return self.of(day_of(now)), self.of(day_of(now) - 1)


def day_of(now: datetime) -> int:
    """UTC days since 1970."""
    return int(now.timestamp()) // _DAY
