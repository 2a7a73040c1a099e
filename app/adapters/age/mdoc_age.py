"""Profile `mdoc-age-v1`: a wallet shows an ISO/IEC 18013-5 mdoc that says 'not yet 18'.

Needs `openvc-core` (docs/decisions/0017-mdoc.md), which checks chain, validity, digests and device
signature; here is what it leaves to us: that nothing else is said, freshness, and the one use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from openvc import cbor
from openvc.mdoc import (
    MdocDeviceAuthError,
    MdocDigestMismatch,
    MdocDocTypeMismatch,
    MdocSignatureInvalid,
    MdocTrustError,
    MdocValidityError,
    VerifiedMdoc,
    verify_device_response,
)
from openvc.openid4vp import dcapi_session_transcript

from app.adapters.age import claims
from app.adapters.age.claims import USUAL, Tolerance
from app.adapters.age.issuers import IssuerFile
from app.adapters.age.jose import Unreadable, decode, encode
from app.adapters.age.reasons import Reason
from app.adapters.age.trust import DocumentIssuer
from app.adapters.age.windows import DayWindow, days, kept_until, nonce_for
from app.domain.age import AgeBand, AgeClaim, Presentation, Spend
from app.domain.errors import AgeRefused
from partners.ports import Clock

PROFILE = "mdoc-age-v1"
MOST_CHARACTERS = 8192
_ELEMENT = re.compile(r"age_over_([0-9]{2})")
_REASONS: dict[type[Exception], Reason] = {
    MdocTrustError: Reason.CHAIN,
    MdocSignatureInvalid: Reason.TOKEN_SIGNATURE,
    MdocDigestMismatch: Reason.DISCLOSURE_UNREFERENCED,
    MdocDocTypeMismatch: Reason.CREDENTIAL_TYPE,
    MdocValidityError: Reason.EXPIRED,
    MdocDeviceAuthError: Reason.PROOF_SIGNATURE,
}


@dataclass(frozen=True, slots=True)
class _Shown:
    """A response in the shape that we take: one document, and the object its issuer signed."""

    raw: bytes
    doc_type: str
    signed: bytes
    items: int


class MdocAge:
    """Verifies `Authorization: MDOC-VP` device responses of pinned issuers' documents."""

    profile: str = PROFILE
    scheme: str = "MDOC-VP"

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
        """The same for everybody: what a device makes its nonce of, and asks a wallet for."""
        now = self._clock.now()
        issuers = self._issuers.current().documents.values()
        return {
            "profile": self.profile,
            "window": encode(self._windows.current(now)),
            "issuers": [_asked_of(issuer) for issuer in issuers if issuer.trust.holds(now)],
        }

    def verify(self, presentation: Presentation, now: datetime) -> AgeClaim:
        """What the document asserts, once everything of docs/AGE.md holds. Raises AgeRefused."""
        if presentation.proof is not None:
            raise AgeRefused(Reason.PROOF_UNEXPECTED)
        shown = _read(claims.bounded(presentation.token, MOST_CHARACTERS))
        issuer = claims.trusted(self._issuers.current().documents.get(shown.doc_type), now)
        verified, nonce, day = self._authentic(shown, issuer, presentation, now)
        _check_said(verified, shown, issuer)
        self._check_fresh(verified, issuer, now)
        if presentation.band is AgeBand.WAS_UNDER_18:
            raise AgeRefused(Reason.BAND)
        return AgeClaim(issuer.trust.basis, _spend(issuer, shown, nonce, day))

    def _authentic(
        self, shown: _Shown, issuer: DocumentIssuer, presentation: Presentation, now: datetime
    ) -> tuple[VerifiedMdoc, str, int]:
        """The document, if its device signed for this body today or yesterday."""
        refused = Reason.TOKEN_MALFORMED
        for day in days(now):
            nonce = nonce_for(self._windows.of(day), presentation.body_digest)
            try:
                (verified,) = self._verified(shown, issuer, nonce, now)
            except Exception as fault:  # noqa: BLE001 - of strange certificates, cryptography's own
                refused = _REASONS.get(type(fault), Reason.TOKEN_MALFORMED)
                if refused is not Reason.PROOF_SIGNATURE:
                    break
            else:
                return verified, nonce, day
        raise AgeRefused(refused)

    def _verified(
        self, shown: _Shown, issuer: DocumentIssuer, nonce: str, now: datetime
    ) -> list[VerifiedMdoc]:
        return verify_device_response(
            shown.raw,
            trust_anchors=issuer.anchors,
            session_transcript=dcapi_session_transcript(issuer.audience, nonce),
            now=now,
            leeway_s=int(self._tolerance.issuer.total_seconds()),
            expected_doc_type=issuer.id,
        )

    def _check_fresh(self, verified: VerifiedMdoc, issuer: DocumentIssuer, now: datetime) -> None:
        signed = verified.validity.signed
        if signed is None or now - signed > issuer.fresh:
            raise AgeRefused(Reason.CREDENTIAL_STALE)
        if signed - now > self._tolerance.issuer:
            raise AgeRefused(Reason.NOT_YET_VALID)


def _asked_of(issuer: DocumentIssuer) -> dict[str, object]:
    wanted = {
        "id": "age",
        "format": "mso_mdoc",
        "meta": {"doctype_value": issuer.id},
        "claims": [{"path": [issuer.namespace, "age_over_18"], "values": [False]}],
    }
    return {
        "issuer": issuer.id,
        "audience": issuer.audience,
        "basis": str(issuer.trust.basis),
        "dcql_query": {"credentials": [wanted]},
    }


def _read(text: str) -> _Shown:
    """One document with nothing of the device's own beside it. Raises AgeRefused."""
    try:
        raw = decode(text)
        response = cbor.decode(raw)
        return _shape(raw, response)
    except (Unreadable, cbor.CborError, LookupError, TypeError, AttributeError, ValueError):
        raise AgeRefused(Reason.TOKEN_MALFORMED) from None


def _shape(raw: bytes, response: Any) -> _Shown:
    if response.keys() != {"version", "documents", "status"} or response["version"] != "1.0":
        raise Unreadable
    (document,) = response["documents"]
    if document.keys() != {"docType", "issuerSigned", "deviceSigned"}:
        raise Unreadable
    issued, device = document["issuerSigned"], document["deviceSigned"]
    if issued.keys() != {"nameSpaces", "issuerAuth"} or device.keys() != {
        "nameSpaces",
        "deviceAuth",
    }:
        raise Unreadable
    # What a device says of itself is no issuer's word: it must say nothing.
    if cbor.decode(bytes(device["nameSpaces"].value)) != {}:
        raise AgeRefused(Reason.CLAIM_EXTRA)
    items = sum(len(listed) for listed in issued["nameSpaces"].values())
    return _Shown(raw, str(document["docType"]), bytes(issued["issuerAuth"][2]), items)


def _check_said(verified: VerifiedMdoc, shown: _Shown, issuer: DocumentIssuer) -> None:
    """Exactly one element: `age_over_NN` with NN up to 18, literally false."""
    if shown.items == 0:
        raise AgeRefused(Reason.CLAIM_MISSING)
    # Two items of one name would be shown as one.
    if shown.items > 1 or verified.namespaces.keys() != {issuer.namespace}:
        raise AgeRefused(Reason.CLAIM_EXTRA)
    ((name, value),) = verified.namespaces[issuer.namespace].items()
    found = _ELEMENT.fullmatch(name)
    if found is None or int(found[1]) > 18:
        raise AgeRefused(Reason.CLAIM_EXTRA)
    if value is not False:
        raise AgeRefused(Reason.CLAIM_NOT_FALSE)


def _spend(issuer: DocumentIssuer, shown: _Shown, nonce: str, day: int) -> Spend:
    """The showing's one use; of what the issuer signed, since signatures can be varied."""
    name = issuer.id.encode() + b"\0" + sha256(shown.signed).digest() + b"\0" + nonce.encode()
    return Spend(sha256(name).digest(), kept_until(day))
