"""Profile `sdjwt-age-v1`: a wallet shows that its holder is not yet 18, and nothing else.

An SD-JWT VC presented by OpenID for Verifiable Presentations 1.0, with key binding (RFC 9901).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from app.adapters.age import claims
from app.adapters.age.claims import USUAL, Life, Tolerance
from app.adapters.age.issuers import IssuerFile
from app.adapters.age.jose import (
    ALGORITHMS,
    Compact,
    PublicKey,
    Unreadable,
    encode,
    read_compact,
    read_public_key,
)
from app.adapters.age.reasons import Reason
from app.adapters.age.sdjwt import Disclosed, Presented, split
from app.adapters.age.trust import CredentialIssuer
from app.adapters.age.windows import DayWindow, days, kept_until, nonce_for
from app.domain.age import AgeBand, AgeClaim, Presentation, Spend
from app.domain.errors import AgeRefused
from partners.ports import Clock

PROFILE = "sdjwt-age-v1"
TYPE = "dc+sd-jwt"
PROOF_TYPE = "kb+jwt"
MOST_CHARACTERS = 8192
AGE = "age_equal_or_over"
_LIMIT = "18"
_NEEDED = {"iss", "vct", "iat", "exp", "cnf", AGE}
_KNOWN = _NEEDED | {"nbf", "status", "_sd_alg"}
# SD-JWT VC lets no other of these be disclosed: an `exp` or `nbf` could be kept back.
_DISCLOSABLE = {AGE, "iat"}
_PROOF_CLAIMS = {"iat", "aud", "nonce", "sd_hash"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A nonce that we accept, and the day of the window it was made from."""

    nonce: str
    day: int


class SdJwtAge:
    """Verifies `Authorization: SDJWT-VP` presentations of pinned issuers' credentials."""

    profile: str = PROFILE
    scheme: str = "SDJWT-VP"

    def __init__(
        self,
        issuers: IssuerFile,
        secret: bytes,
        clock: Clock,
        tolerance: Tolerance = USUAL,
    ) -> None:
        """`secret` is at least 32 bytes, the same on every machine of the service."""
        self._issuers = issuers
        self._windows = DayWindow(secret, PROFILE)
        self._clock = clock
        self._tolerance = tolerance

    def asks(self) -> list[str]:
        return [self.scheme]

    def challenge(self) -> dict[str, object]:
        """The same for everybody: of what a device makes its nonce, and what to ask a wallet for.

        `dcql_query` and `vp_formats_supported` are those of OpenID4VP 1.0.
        """
        now = self._clock.now()
        issuers = self._issuers.current().credentials.values()
        algorithms = {"sd-jwt_alg_values": [*ALGORITHMS], "kb-jwt_alg_values": [*ALGORITHMS]}
        return {
            "profile": self.profile,
            "window": encode(self._windows.current(now)),
            "now": int(now.timestamp()),
            "vp_formats_supported": {TYPE: algorithms},
            "issuers": [_asked_of(issuer) for issuer in issuers if issuer.trust.holds(now)],
        }

    def verify(self, presentation: Presentation, now: datetime) -> AgeClaim:
        """What the credential asserts, once everything of docs/AGE.md holds. Raises AgeRefused."""
        if presentation.proof is not None:
            raise AgeRefused(Reason.PROOF_UNEXPECTED)
        shown = split(claims.bounded(presentation.token, MOST_CHARACTERS))
        issuer, payload = self._authentic(shown.credential, now)
        said = _reveal(payload, Disclosed.read(shown.disclosures))
        _check_credential(said, issuer, now, self._tolerance.issuer)
        key = _holder(said["cnf"])
        asked = self._check_proof(shown, key, issuer, presentation, now)
        if presentation.band is AgeBand.WAS_UNDER_18:
            raise AgeRefused(Reason.BAND)
        return AgeClaim(issuer.trust.basis, _spend(issuer, key, asked))

    def _authentic(self, text: str, now: datetime) -> tuple[CredentialIssuer, dict[str, object]]:
        token = claims.read(text, TYPE)
        iss = token.payload.get("iss")
        known = self._issuers.current().credentials
        issuer = claims.trusted(known.get(iss) if isinstance(iss, str) else None, now)
        claims.check_signature(token, issuer)
        return issuer, token.payload

    def _check_proof(
        self,
        shown: Presented,
        key: PublicKey,
        issuer: CredentialIssuer,
        presentation: Presentation,
        now: datetime,
    ) -> _Asked:
        proof = _read_proof(shown.proof, key)
        if proof.payload["sd_hash"] != shown.sd_hash:
            raise AgeRefused(Reason.PROOF_TOKEN)
        if proof.payload["aud"] != issuer.audience:
            raise AgeRefused(Reason.AUDIENCE)
        claims.check_fresh(proof.payload["iat"], now, self._tolerance.device)
        for asked in self._accepted(presentation, now):
            if proof.payload["nonce"] == asked.nonce:
                return asked
        raise AgeRefused(Reason.CHALLENGE)

    def _accepted(self, presentation: Presentation, now: datetime) -> list[_Asked]:
        return [
            _Asked(nonce_for(self._windows.of(day), presentation.body_digest), day)
            for day in days(now)
        ]


def _asked_of(issuer: CredentialIssuer) -> dict[str, object]:
    wanted = {
        "id": "age",
        "format": TYPE,
        "meta": {"vct_values": [issuer.vct]},
        # With `values` a wallet stays silent about somebody who is 18 or over.
        "claims": [{"path": [AGE, _LIMIT], "values": [False]}],
        "require_cryptographic_holder_binding": True,
    }
    return {
        "issuer": issuer.id,
        "audience": issuer.audience,
        "basis": str(issuer.trust.basis),
        "dcql_query": {"credentials": [wanted]},
    }


def _reveal(payload: dict[str, object], disclosed: Disclosed) -> dict[str, object]:
    """What the credential says with its disclosures: the age, and nothing else."""
    if payload.get("_sd_alg", "sha-256") != "sha-256":
        raise AgeRefused(Reason.DISCLOSURE_DIGEST)
    said = disclosed.reveal(payload)
    ages = said.get(AGE)
    if isinstance(ages, dict):
        ages = said[AGE] = disclosed.reveal(ages)
    disclosed.check_all_met()
    if said.keys() - _KNOWN or said.keys() - payload.keys() - _DISCLOSABLE:
        raise AgeRefused(Reason.CLAIM_EXTRA)
    if isinstance(ages, dict) and ages.keys() - {_LIMIT}:
        raise AgeRefused(Reason.CLAIM_EXTRA)
    if _NEEDED - said.keys() or ages == {}:
        raise AgeRefused(Reason.CLAIM_MISSING)
    return said


def _check_credential(
    said: dict[str, object], issuer: CredentialIssuer, now: datetime, skew: timedelta
) -> None:
    if claims.text(said["vct"]) != issuer.vct:
        raise AgeRefused(Reason.CREDENTIAL_TYPE)
    ages = said[AGE]
    # The literal: missing is not false, and 0, null and "false" are not either.
    if not isinstance(ages, dict) or ages[_LIMIT] is not False:
        raise AgeRefused(Reason.CLAIM_NOT_FALSE)
    if "status" in said:
        _check_status(said["status"])
    _check_times(said, issuer, now, skew)


def _check_times(
    said: dict[str, object], issuer: CredentialIssuer, now: datetime, skew: timedelta
) -> None:
    life = Life.of(said)
    begins = max(life.iat, claims.seconds(said.get("nbf", life.iat)))
    if begins > int(now.timestamp()) + skew.total_seconds():
        raise AgeRefused(Reason.NOT_YET_VALID)
    if life.exp <= int(now.timestamp()) - skew.total_seconds():
        raise AgeRefused(Reason.EXPIRED)
    # A birthday may have come since: an old 'not yet 18' says little of today.
    if int(now.timestamp()) - life.iat > issuer.fresh.total_seconds():
        raise AgeRefused(Reason.CREDENTIAL_STALE)


def _check_status(status: object) -> None:
    """Its shape only: nothing is fetched, and nothing more may hide in it."""
    listed = status.get("status_list") if isinstance(status, dict) else None
    if not isinstance(listed, dict) or status != {"status_list": listed}:
        raise AgeRefused(Reason.CLAIM_SHAPE)
    if listed.keys() != {"idx", "uri"}:
        raise AgeRefused(Reason.CLAIM_SHAPE)
    claims.seconds(listed["idx"])
    claims.text(listed["uri"])


def _holder(cnf: object) -> PublicKey:
    if not isinstance(cnf, dict) or cnf.keys() != {"jwk"}:
        raise AgeRefused(Reason.CLAIM_SHAPE)
    try:
        return read_public_key(cnf["jwk"])
    except Unreadable:
        raise AgeRefused(Reason.CLAIM_SHAPE) from None


def _read_proof(text: str, key: PublicKey) -> Compact:
    """The key-binding JWT, signed by the key that the credential names."""
    try:
        proof = read_compact(text)
    except Unreadable:
        raise AgeRefused(Reason.PROOF_MALFORMED) from None
    if proof.header.keys() != {"typ", "alg"}:
        raise AgeRefused(Reason.PROOF_HEADER)
    if proof.header["typ"] != PROOF_TYPE:
        raise AgeRefused(Reason.PROOF_TYPE)
    if proof.header["alg"] != key.alg:
        raise AgeRefused(Reason.PROOF_ALG)
    if not key.verifies(proof):
        raise AgeRefused(Reason.PROOF_SIGNATURE)
    if proof.payload.keys() != _PROOF_CLAIMS:
        raise AgeRefused(Reason.PROOF_CLAIMS)
    return proof


def _spend(issuer: CredentialIssuer, key: PublicKey, asked: _Asked) -> Spend:
    """The presentation's one use. The credential may be shown again, for another report.

    Not of the signature: ECDSA lets anybody make a second one out of the first.
    """
    name = b"\0".join(part.encode() for part in (issuer.id, key.thumbprint, asked.nonce))
    return Spend(sha256(name).digest(), kept_until(asked.day))
