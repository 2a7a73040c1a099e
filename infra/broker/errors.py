"""What can go wrong at the broker. No message holds a value, only what was wrong and where.

BrokerError
├── StartRefused          the configuration, a key or the database cannot be used
├── SignerUnavailable     the key's device failed, or its answer did not verify
├── NotSigned(code)       a token request that is refused
│   └── LimitReached      this person's tokens of a day are signed
└── NoPass(word)          a person who is given no pass
    └── NotYet            the provider is still checking
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Why a request is refused: the `code` of its problem (RFC 9457)."""

    REQUEST_LENGTH = "request-length"
    TOKEN_TYPE = "token-type"  # noqa: S105 - the word of RFC 9578
    KEY_UNKNOWN = "key-unknown"
    BLINDED_RANGE = "blinded-range"
    GRANT_MISSING = "grant-missing"
    GRANT_USED_UP = "grant-used-up"
    PREDICATE = "predicate"
    DAILY_LIMIT = "daily-limit"
    SIGNER_UNAVAILABLE = "signer-unavailable"
    CROSS_SITE = "cross-site"
    MEDIA_TYPE = "media-type"
    TOO_LARGE = "too-large"
    NOT_FOUND = "not-found"
    METHOD = "method"
    MALFORMED = "malformed"
    INTERNAL = "internal"


class Word(StrEnum):
    """Why somebody gets no pass, as `/pass?problem=` says it."""

    REFUSED = "refused"
    CANCELLED = "cancelled"
    UNAVAILABLE = "unavailable"
    ENDED = "ended"
    LIMIT = "limit"


class BrokerError(Exception):
    """The root of what the broker raises itself."""


class StartRefused(BrokerError):
    """The broker does not start; `problems` names each fault, never a value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SignerUnavailable(BrokerError):
    """The private key could not be used, or what it answered is no signature."""


class NotSigned(BrokerError):
    """A token request that is refused."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


class LimitReached(NotSigned):
    """A person's tokens of a day are signed; it is of use to come again after `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(Code.DAILY_LIMIT)
        self.seconds = seconds


class NoPass(BrokerError):
    """Somebody who is given no pass."""

    def __init__(self, word: Word) -> None:
        super().__init__(word)
        self.word = word


class NotYet(NoPass):
    """The provider is still checking: the same question may be asked again."""

    def __init__(self) -> None:
        super().__init__(Word.UNAVAILABLE)
