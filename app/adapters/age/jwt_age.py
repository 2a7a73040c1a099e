"""Profile `jwt-age-v1`: an issuer signs 'under 18' for one key, and that key signs the request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.adapters.age import claims, dpop
from app.adapters.age.claims import USUAL, Life, Tolerance
from app.adapters.age.issuers import IssuerFile
from app.adapters.age.jose import ALGORITHMS, encode
from app.adapters.age.reasons import Reason
from app.adapters.age.trust import Issuer
from app.adapters.age.windows import DayWindow
from app.domain.age import AgeClaim, Presentation
from app.domain.errors import AgeRefused
from partners.ports import Clock

PROFILE = "jwt-age-v1"
TYPE = "age-proof+jwt"
LONGEST_LIFE = timedelta(minutes=15)
_CLAIMS = {"iss", "aud", "iat", "exp", "jti", "nonce", "cnf"}


@dataclass(frozen=True, slots=True)
class _Claims:
    """The claims of a token, of the right types and not yet judged."""

    iss: str
    aud: str
    life: Life
    jti: str
    nonce: str
    thumbprint: str
    predicate: str


class JwtAge:
    """Verifies `Authorization: DPoP` tokens of pinned issuers with their DPoP proof (RFC 9449)."""

    profile: str = PROFILE
    scheme: str = "DPoP"

    def __init__(
        self,
        issuers: IssuerFile,
        secret: bytes,
        clock: Clock,
        tolerance: Tolerance = USUAL,
    ) -> None:
        """`secret` is at least 32 bytes, the same on every machine of the service."""
        self._issuers = issuers
        self._nonces = DayWindow(secret, PROFILE)
        self._clock = clock
        self._tolerance = tolerance

    def asks(self) -> list[str]:
        """RFC 9449 section 5.1."""
        return [f'{self.scheme} algs="{" ".join(ALGORITHMS)}"']

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
        text = claims.bounded(presentation.token)
        issuer, said = self._authentic(text, now)
        self._check(said, issuer, now)
        if presentation.band not in claims.PREDICATES[said.predicate]:
            raise AgeRefused(Reason.BAND)
        binding = dpop.Binding(presentation, text, said.thumbprint)
        dpop.check(binding, now, self._tolerance.device)
        spend = claims.spend_once(said.iss, said.jti, said.life.exp, self._tolerance.issuer)
        return AgeClaim(issuer.trust.basis, spend)

    def _authentic(self, text: str, now: datetime) -> tuple[Issuer, _Claims]:
        token = claims.read(text, TYPE)
        iss = token.payload.get("iss")
        known = self._issuers.current().jwt
        issuer = claims.trusted(known.get(iss) if isinstance(iss, str) else None, now)
        claims.check_signature(token, issuer)
        return issuer, _claims(token.payload)

    def _check(self, said: _Claims, issuer: Issuer, now: datetime) -> None:
        if said.aud != issuer.audience:
            raise AgeRefused(Reason.AUDIENCE)
        said.life.check(now, LONGEST_LIFE, self._tolerance.issuer)
        if said.nonce not in map(encode, self._nonces.accepted(now)):
            raise AgeRefused(Reason.CHALLENGE)


def _claims(payload: dict[str, object]) -> _Claims:
    predicate = claims.predicate(payload, _CLAIMS)
    return _Claims(
        iss=claims.text(payload["iss"]),
        aud=claims.text(payload["aud"]),
        life=Life.of(payload),
        jti=claims.token_id(payload["jti"]),
        nonce=claims.text(payload["nonce"]),
        thumbprint=_thumbprint(payload["cnf"]),
        predicate=predicate,
    )


def _thumbprint(cnf: object) -> str:
    if not isinstance(cnf, dict) or cnf.keys() != {"jkt"}:
        raise AgeRefused(Reason.CLAIM_SHAPE)
    return claims.text(cnf["jkt"])
