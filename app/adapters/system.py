"""Time and names as the operating system gives them."""

from __future__ import annotations

import os
import string
from datetime import UTC, datetime

_ALPHABET = (string.digits + string.ascii_letters).encode()
_FAIR = 256 - 256 % len(_ALPHABET)  # bytes from here on would favour the first letters
_LETTER_OF = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
_UNFAIR = bytes(range(_FAIR, 256))
_LENGTH = 21  # of 62 letters: 125 bits


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, aware, UTC, to the microsecond."""
        return datetime.now(UTC)


class RandomIds:
    """Names out of the kernel's random numbers."""

    def new(self, prefix: str) -> str:
        """`prefix_` and 125 random bits in base 62 (21 letters)."""
        name = b""
        while len(name) < _LENGTH:
            name = os.urandom(32).translate(_LETTER_OF, _UNFAIR)
        return f"{prefix}_{name[:_LENGTH].decode()}"
