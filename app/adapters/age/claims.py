"""Reading what a signed token says: header, key and claims of the right kind, or a refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Protocol, Self, TypeVar

from app.adapters.age.jose import Compact, Unreadable, read_compact
from app.adapters.age.reasons import Reason
from app.adapters.age.trust import Signer, Trust
from app.domain.age import AgeBand, Spend
from app.domain.errors import AgeRefused

MOST_CHARACTERS = 4096
# What a token may say, and for whom: today's child, or an adult who was one in the image.
PREDICATES = {
    "age_under_18": {AgeBand.UNDER_13, AgeBand.FROM_13_TO_15, AgeBand.FROM_16_TO_17},
    "was_under_18_at": {AgeBand.WAS_UNDER_18},
}


class Trusted(Protocol):
    """Whatever the issuer file trusts for a time."""

    @property
    def trust(self) -> Trust:
        """For what, and from when until when."""


S = TypeVar("S", bound=Trusted)
_JTI = re.compile(r"[\x21-\x7e]{8,128}")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far clocks may be apart: the issuer's from ours, and the device's from ours."""

    issuer: timedelta = timedelta(seconds=60)
    device: timedelta = timedelta(minutes=5)


USUAL = Tolerance()


@dataclass(frozen=True, slots=True)
class Life:
    """When a token was made and when it ends, in seconds since 1970."""

    iat: int
    exp: int

    @classmethod
    def of(cls, payload: dict[str, object]) -> Self:
        """From `iat` and `exp`, which are there. Raises AgeRefused."""
        return cls(seconds(payload["iat"]), seconds(payload["exp"]))

    def check(self, now: datetime, longest: timedelta, skew: timedelta) -> None:
        """Refuse a token that lives too long, or not now."""
        if not 0 < self.exp - self.iat <= longest.total_seconds():
            raise AgeRefused(Reason.LIFETIME)
        if self.iat > int(now.timestamp()) + skew.total_seconds():
            raise AgeRefused(Reason.NOT_YET_VALID)
        if self.exp <= int(now.timestamp()) - skew.total_seconds():
            raise AgeRefused(Reason.EXPIRED)


def bounded(token: str | None, most: int = MOST_CHARACTERS) -> str:
    """The token, unless it is missing or has more than `most` characters."""
    if not token:
        raise AgeRefused(Reason.TOKEN_MISSING)
    if len(token) > most:
        raise AgeRefused(Reason.TOKEN_TOO_LARGE)
    return token


def read(text: str, typ: str) -> Compact:
    """A compact JWS of that type, not yet verified. Raises AgeRefused."""
    try:
        token = read_compact(text)
    except Unreadable:
        raise AgeRefused(Reason.TOKEN_MALFORMED) from None
    # Exactly these: `jku`, `x5u`, `jwk` and `x5c` would let a token bring its own key.
    if token.header.keys() != {"typ", "alg", "kid"}:
        raise AgeRefused(Reason.TOKEN_HEADER)
    if token.header["typ"] != typ:
        raise AgeRefused(Reason.TOKEN_TYPE)
    return token


def trusted(signer: S | None, now: datetime) -> S:
    """The issuer that was found, if it counts now. Raises AgeRefused."""
    if signer is None:
        raise AgeRefused(Reason.ISSUER_UNKNOWN)
    if not signer.trust.holds(now):
        raise AgeRefused(Reason.ISSUER_WINDOW)
    return signer


def check_signature(token: Compact, signer: Signer) -> None:
    """Refuse a token that no pinned key of this issuer signed with the issuer's algorithm."""
    if token.header["alg"] != signer.alg:
        raise AgeRefused(Reason.TOKEN_ALG)
    kid = token.header["kid"]
    key = signer.keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise AgeRefused(Reason.KEY_UNKNOWN)
    if not key.verifies(token):
        raise AgeRefused(Reason.TOKEN_SIGNATURE)


def predicate(payload: dict[str, object], others: set[str]) -> str:
    """The one claim of age, after checking that beside it the payload has exactly `others`."""
    said = payload.keys() & PREDICATES.keys()
    if payload.keys() - others - said or len(said) > 1:
        raise AgeRefused(Reason.CLAIM_EXTRA)
    if others - payload.keys() or not said:
        raise AgeRefused(Reason.CLAIM_MISSING)
    (claim,) = said
    # The literal: 1, "true" and [0] are true to Python as well.
    if payload[claim] is not True:
        raise AgeRefused(Reason.CLAIM_NOT_TRUE)
    return claim


def text(value: object) -> str:
    """A text. Raises AgeRefused."""
    if not isinstance(value, str):
        raise AgeRefused(Reason.CLAIM_SHAPE)
    return value


def seconds(value: object) -> int:
    """A whole number of seconds since 1970. Raises AgeRefused."""
    # A bool is an int to Python.
    if type(value) is not int:
        raise AgeRefused(Reason.CLAIM_SHAPE)
    return value


def check_fresh(iat: object, now: datetime, tolerance: timedelta) -> None:
    """Refuse a device's proof made more than `tolerance` before or after now."""
    if type(iat) is not int:
        raise AgeRefused(Reason.PROOF_CLAIMS)
    # Whole seconds: subtracting a float from an int of 4,000 digits would overflow.
    if abs(iat - int(now.timestamp())) > tolerance.total_seconds():
        raise AgeRefused(Reason.PROOF_STALE)


def token_id(value: object) -> str:
    """A `jti`: 8 to 128 visible ASCII characters. Raises AgeRefused."""
    if not _JTI.fullmatch(text(value)):
        raise AgeRefused(Reason.CLAIM_SHAPE)
    return text(value)


def spend_once(iss: str, jti: str, exp: int, skew: timedelta) -> Spend:
    """The one use of a token that its issuer named `jti`, kept until the token ends."""
    name = iss.encode() + b"\0" + jti.encode()
    return Spend(sha256(name).digest(), datetime.fromtimestamp(exp, UTC) + skew)
