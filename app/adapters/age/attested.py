"""Profile `counsellor-attested-v1`: a counsellor vouches for one report of one young person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from app.adapters.age import claims
from app.adapters.age.claims import USUAL, Life, Tolerance
from app.adapters.age.issuers import IssuerFile
from app.adapters.age.jose import Compact
from app.adapters.age.reasons import Reason
from app.adapters.age.trust import StaffIssuer
from app.domain.age import AgeClaim, Presentation
from app.domain.errors import AgeRefused
from partners.ports import Clock

PROFILE = "counsellor-attested-v1"
TYPE = "age-attestation+jwt"
LONGEST_LIFE = timedelta(hours=1)
_CLAIMS = {"iss", "aud", "iat", "exp", "jti", "request"}
# Crockford's base32: no I, L, O or U, so that it can be read aloud.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_BITS, _CHECK_BITS = 90, 10


@dataclass(frozen=True, slots=True)
class _Claims:
    """The claims of an attestation, of the right types and not yet judged."""

    aud: str
    life: Life
    jti: str
    request: str
    predicate: str


class CounsellorAttested:
    """Verifies `Authorization: Attestation` of the pinned keys of a helpline's staff."""

    profile: str = PROFILE
    scheme: str = "Attestation"

    def __init__(self, issuers: IssuerFile, clock: Clock, tolerance: Tolerance = USUAL) -> None:
        """`tolerance.issuer` is how far the helpline's clock may be from ours."""
        self._issuers = issuers
        self._clock = clock
        self._tolerance = tolerance

    def asks(self) -> list[str]:
        return [self.scheme]

    def challenge(self) -> dict[str, object]:
        """The same for everybody: the helplines that can vouch, each once."""
        now = self._clock.now()
        staff = self._issuers.current().staff
        live = {(issuer.id, issuer.audience) for issuer in staff if issuer.trust.holds(now)}
        return {
            "profile": self.profile,
            "issuers": [
                {"issuer": name, "audience": audience, "basis": "counsellor_attested"}
                for name, audience in sorted(live)
            ],
        }

    def verify(self, presentation: Presentation, now: datetime) -> AgeClaim:
        """What the counsellor vouches for, once everything holds. Raises AgeRefused."""
        if presentation.proof is not None:
            raise AgeRefused(Reason.PROOF_UNEXPECTED)
        token = claims.read(claims.bounded(presentation.token), TYPE)
        issuer = claims.trusted(self._seat(token), now)
        claims.check_signature(token, issuer)
        said = _claims(token.payload)
        if said.aud != issuer.audience:
            raise AgeRefused(Reason.AUDIENCE)
        said.life.check(now, LONGEST_LIFE, self._tolerance.issuer)
        if said.request != request_code(presentation.body_digest):
            raise AgeRefused(Reason.PROOF_BODY)
        if presentation.band not in claims.PREDICATES[said.predicate]:
            raise AgeRefused(Reason.BAND)
        spend = claims.spend_once(issuer.id, said.jti, said.life.exp, self._tolerance.issuer)
        return AgeClaim(issuer.trust.basis, spend)

    def _seat(self, token: Compact) -> StaffIssuer | None:
        """The seat whose key it names. Raises AgeRefused if we know the helpline, not the key."""
        iss, kid = token.payload.get("iss"), token.header["kid"]
        issuers = self._issuers.current()
        if not isinstance(iss, str) or iss not in {issuer.id for issuer in issuers.staff}:
            return None
        seat = issuers.staff_by_key.get((iss, kid)) if isinstance(kid, str) else None
        if seat is None:
            raise AgeRefused(Reason.KEY_UNKNOWN)
        return seat


def request_code(body_digest: bytes) -> str:
    """What a device shows of its report: 18 characters of digest and 2 that find a slip.

    90 bits of SHA-256(profile | 0x00 | SHA-256 of the body), then 10 bits of SHA-256 of the 18
    characters. Nobody can make another report with the code of this one; who is about to report
    could make two with one code in 2^45 steps, and would still have one attestation for one case.
    """
    digest = sha256(PROFILE.encode() + b"\0" + body_digest).digest()
    code = _base32(digest, _CODE_BITS)
    return code + _base32(sha256(code.encode()).digest(), _CHECK_BITS)


def _base32(raw: bytes, bits: int) -> str:
    number = int.from_bytes(raw, "big") >> (len(raw) * 8 - bits)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(bits - 5, -1, -5))


def _claims(payload: dict[str, object]) -> _Claims:
    predicate = claims.predicate(payload, _CLAIMS)
    return _Claims(
        aud=claims.text(payload["aud"]),
        life=Life.of(payload),
        jti=claims.token_id(payload["jti"]),
        request=claims.text(payload["request"]),
        predicate=predicate,
    )
