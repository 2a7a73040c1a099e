"""Profile `jwt-age-v1`: an issuer signs 'under 18' for one key, and that key signs the request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from app.adapters.age import dpop
from app.adapters.age.issuers import Issuer, IssuerFile
from app.adapters.age.jose import ALGORITHMS, Compact, Unreadable, encode, read_compact
from app.adapters.age.reasons import Reason
from app.adapters.age.windows import DayWindow
from app.domain.age import AgeBand, AgeClaim, Presentation, Spend
from app.domain.errors import AgeRefused
from partners.ports import Clock

PROFILE = "jwt-age-v1"
TYPE = "age-proof+jwt"
MOST_CHARACTERS = 4096
LONGEST_LIFE = timedelta(minutes=15)
# What the token may say, and for whom: today's child, or an adult who was one in the image.
PREDICATES = {
    "age_under_18": {AgeBand.UNDER_13, AgeBand.FROM_13_TO_15, AgeBand.FROM_16_TO_17},
    "was_under_18_at": {AgeBand.WAS_UNDER_18},
}
_CLAIMS = {"iss", "aud", "iat", "exp", "jti", "nonce", "cnf"}
_JTI = re.compile(r"[\x21-\x7e]{8,128}")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far clocks may be apart: the issuer's from ours, and the device's from ours."""

    issuer: timedelta = timedelta(seconds=60)
    device: timedelta = timedelta(minutes=5)


_USUAL = Tolerance()


@dataclass(frozen=True, slots=True)
class _Claims:
    """The claims of a token, of the right types and not yet judged."""

    iss: str
    aud: str
    iat: int
    exp: int
    jti: str
    nonce: str
    thumbprint: str
    predicate: str


class JwtAge:
    """Verifies `Authorization: DPoP` tokens of pinned issuers with their DPoP proof (RFC 9449)."""

    profile: str = PROFILE

    def __init__(
        self,
        issuers: IssuerFile,
        secret: bytes,
        clock: Clock,
        tolerance: Tolerance = _USUAL,
    ) -> None:
        """`secret` is at least 32 bytes, the same on every machine of the service."""
        self._issuers = issuers
        self._nonces = DayWindow(secret, PROFILE)
        self._clock = clock
        self._tolerance = tolerance

    def challenge(self) -> dict[str, object]:
        """The same for everybody: the nonce to ask a token for, who may sign one, and our time.

        A device whose clock is wrong dates its proof by `now` (seconds since 1970).
        """
        now = self._clock.now()
        issuers = self._issuers.current().jwt.values()
        return {
            "profile": self.profile,
            "nonce": encode(self._nonces.current(now)),
            "now": int(now.timestamp()),
            "proof_algs": list(ALGORITHMS),
            "issuers": [
                {"issuer": issuer.id, "audience": issuer.audience, "basis": str(issuer.trust.basis)}
                for issuer in issuers
                if issuer.trust.holds(now)
            ],
        }

    def verify(self, presentation: Presentation, now: datetime) -> AgeClaim:
        """What the token asserts, once everything of docs/AGE.md holds. Raises AgeRefused."""
        text = _token_text(presentation.token)
        issuer, claims = self._authentic(text, now)
        self._check(claims, issuer, now)
        if presentation.band not in PREDICATES[claims.predicate]:
            raise AgeRefused(Reason.BAND)
        binding = dpop.Binding(presentation, text, claims.thumbprint)
        dpop.check(binding, now, self._tolerance.device)
        return AgeClaim(issuer.trust.basis, self._spend(claims))

    def _authentic(self, text: str, now: datetime) -> tuple[Issuer, _Claims]:
        token = _read(text)
        issuer = self._issuer(token.payload.get("iss"), now)
        _check_signature(token, issuer)
        return issuer, _claims(token.payload)

    def _issuer(self, iss: object, now: datetime) -> Issuer:
        issuer = self._issuers.current().jwt.get(iss) if isinstance(iss, str) else None
        if issuer is None:
            raise AgeRefused(Reason.ISSUER_UNKNOWN)
        if not issuer.trust.holds(now):
            raise AgeRefused(Reason.ISSUER_WINDOW)
        return issuer

    def _check(self, claims: _Claims, issuer: Issuer, now: datetime) -> None:
        if claims.aud != issuer.audience:
            raise AgeRefused(Reason.AUDIENCE)
        self._check_times(claims, int(now.timestamp()))
        if claims.nonce not in map(encode, self._nonces.accepted(now)):
            raise AgeRefused(Reason.CHALLENGE)

    def _check_times(self, claims: _Claims, now: int) -> None:
        if not 0 < claims.exp - claims.iat <= LONGEST_LIFE.total_seconds():
            raise AgeRefused(Reason.LIFETIME)
        if claims.iat > now + self._tolerance.issuer.total_seconds():
            raise AgeRefused(Reason.NOT_YET_VALID)
        if claims.exp <= now - self._tolerance.issuer.total_seconds():
            raise AgeRefused(Reason.EXPIRED)

    def _spend(self, claims: _Claims) -> Spend:
        name = claims.iss.encode() + b"\0" + claims.jti.encode()
        expires_at = datetime.fromtimestamp(claims.exp, UTC) + self._tolerance.issuer
        return Spend(sha256(name).digest(), expires_at)


def _token_text(token: str | None) -> str:
    if not token:
        raise AgeRefused(Reason.TOKEN_MISSING)
    if len(token) > MOST_CHARACTERS:
        raise AgeRefused(Reason.TOKEN_TOO_LARGE)
    return token


def _read(text: str) -> Compact:
    try:
        token = read_compact(text)
    except Unreadable:
        raise AgeRefused(Reason.TOKEN_MALFORMED) from None
    # Exactly these: `jku`, `x5u`, `jwk` and `x5c` would let a token bring its own key.
    if token.header.keys() != {"typ", "alg", "kid"}:
        raise AgeRefused(Reason.TOKEN_HEADER)
    if token.header["typ"] != TYPE:
        raise AgeRefused(Reason.TOKEN_TYPE)
    return token


def _check_signature(token: Compact, issuer: Issuer) -> None:
    if token.header["alg"] != issuer.alg:
        raise AgeRefused(Reason.TOKEN_ALG)
    kid = token.header["kid"]
    key = issuer.keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise AgeRefused(Reason.KEY_UNKNOWN)
    if not key.verifies(token):
        raise AgeRefused(Reason.TOKEN_SIGNATURE)


def _claims(payload: dict[str, object]) -> _Claims:
    predicate = _predicate(payload)
    return _Claims(
        iss=_text(payload["iss"]),
        aud=_text(payload["aud"]),
        iat=_seconds(payload["iat"]),
        exp=_seconds(payload["exp"]),
        jti=_token_id(payload["jti"]),
        nonce=_text(payload["nonce"]),
        thumbprint=_thumbprint(payload["cnf"]),
        predicate=predicate,
    )


def _predicate(payload: dict[str, object]) -> str:
    """The one claim of age, after checking that nothing else is said."""
    said = payload.keys() & PREDICATES.keys()
    if payload.keys() - _CLAIMS - said or len(said) > 1:
        raise AgeRefused(Reason.CLAIM_EXTRA)
    if _CLAIMS - payload.keys() or not said:
        raise AgeRefused(Reason.CLAIM_MISSING)
    (predicate,) = said
    # The literal: 1, "true" and [0] are true to Python as well.
    if payload[predicate] is not True:
        raise AgeRefused(Reason.CLAIM_NOT_TRUE)
    return predicate


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise AgeRefused(Reason.CLAIM_SHAPE)
    return value


def _seconds(value: object) -> int:
    # A bool is an int to Python.
    if type(value) is not int:
        raise AgeRefused(Reason.CLAIM_SHAPE)
    return value


def _token_id(value: object) -> str:
    if not _JTI.fullmatch(_text(value)):
        raise AgeRefused(Reason.CLAIM_SHAPE)
    return _text(value)


def _thumbprint(cnf: object) -> str:
    if not isinstance(cnf, dict) or cnf.keys() != {"jkt"}:
        raise AgeRefused(Reason.CLAIM_SHAPE)
    return _text(cnf["jkt"])
