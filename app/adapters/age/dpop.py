"""A DPoP proof (RFC 9449): who sends this request holds the key that the age token names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from app.adapters.age.claims import check_fresh
from app.adapters.age.jose import (
    Compact,
    PublicKey,
    Unreadable,
    encode,
    read_compact,
    read_public_key,
)
from app.adapters.age.reasons import Reason
from app.domain.age import Presentation
from app.domain.errors import AgeRefused

TYPE = "dpop+jwt"
MOST_CHARACTERS = 4096
# RFC 9449's own, and our binding to the raw body.
_CLAIMS = {"jti", "htm", "htu", "iat", "ath", "body_sha256"}
_JTI = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Binding:
    """What a proof must fit: the request, the token sent with it, and the token's `cnf.jkt`."""

    presentation: Presentation
    token: str
    thumbprint: str


def check(binding: Binding, now: datetime, tolerance: timedelta) -> None:
    """Refuse a proof that another key made, or for another request, token, body or time.

    `iat` may be `tolerance` before or after `now`. Its `jti` is not remembered: the proof names
    one token by `ath`, and that token can be spent once.
    """
    proof = _read(binding.presentation.proof)
    key = _key(proof)
    if key.thumbprint != binding.thumbprint:
        raise AgeRefused(Reason.PROOF_KEY)
    if not key.verifies(proof):
        raise AgeRefused(Reason.PROOF_SIGNATURE)
    _check_claims(proof.payload, binding)
    check_fresh(proof.payload["iat"], now, tolerance)


def _read(text: str | None) -> Compact:
    if not text:
        raise AgeRefused(Reason.PROOF_MISSING)
    if len(text) > MOST_CHARACTERS:
        raise AgeRefused(Reason.PROOF_TOO_LARGE)
    try:
        return read_compact(text)
    except Unreadable:
        raise AgeRefused(Reason.PROOF_MALFORMED) from None


def _key(proof: Compact) -> PublicKey:
    if proof.header.keys() != {"typ", "alg", "jwk"}:
        raise AgeRefused(Reason.PROOF_HEADER)
    if proof.header["typ"] != TYPE:
        raise AgeRefused(Reason.PROOF_TYPE)
    try:
        key = read_public_key(proof.header["jwk"])
    except Unreadable:
        raise AgeRefused(Reason.PROOF_KEY) from None
    if proof.header["alg"] != key.alg:
        raise AgeRefused(Reason.PROOF_ALG)
    return key


def _check_claims(claims: dict[str, object], binding: Binding) -> None:
    if claims.keys() != _CLAIMS:
        raise AgeRefused(Reason.PROOF_CLAIMS)
    if not isinstance(claims["jti"], str) or not _JTI.fullmatch(claims["jti"]):
        raise AgeRefused(Reason.PROOF_CLAIMS)
    wanted = {
        "htm": (binding.presentation.method, Reason.PROOF_METHOD),
        "htu": (binding.presentation.url, Reason.PROOF_URL),
        "ath": (encode(sha256(binding.token.encode("ascii")).digest()), Reason.PROOF_TOKEN),
        "body_sha256": (encode(binding.presentation.body_digest), Reason.PROOF_BODY),
    }
    for name, (value, reason) in wanted.items():
        if claims[name] != value:
            raise AgeRefused(reason)
