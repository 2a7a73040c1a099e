"""Credentials, disclosures and presentations, right and wrong, made without the code under test."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.adapters.age.issuers import IssuerFile
from app.adapters.age.sdjwt_age import SdJwtAge
from app.client.age import Device
from app.domain.age import AgeBand, AgeClaim, Presentation
from infra.sandbox.issuer import Issuer, b64
from tests.adapters.age.minting import (
    BODY,
    ISSUER,
    NOON,
    URL,
    FixedClock,
    changed,
    ed25519,
    never,
)

CLIENT = "x509_san_dns:young.example"
VCT = "https://age.example/credentials/age/1"
DAY = int(timedelta(days=1).total_seconds())


def disclosure(*parts: object) -> str:
    """One disclosure, from its parts: salt, name and value."""
    return b64(json.dumps(parts).encode("utf-8", "surrogatepass"))


def digest_of(text: str) -> str:
    return b64(sha256(text.encode()).digest())


NOT_YET: object = False
UNDER_18 = disclosure("a salt of 16 oct", "18", NOT_YET)
DECOY = digest_of("nobody has the disclosure of this")


@dataclass
class Wallet:
    """A verifier that trusts one issuer of credentials, and a wallet with a key."""

    folder: Path
    issuer: Issuer = field(default_factory=lambda: Issuer(ISSUER, Ed25519PrivateKey.generate()))
    device: Device = field(default_factory=Device)
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.path = self.folder / "issuers.toml"
        self.path.write_text(self.issuers_file(), "utf-8")
        self.verifier = SdJwtAge(IssuerFile(self.path, never, look_every=0), b"s" * 32, self.clock)
        self.window = str(self.verifier.challenge()["window"])

    def issuers_file(self) -> str:
        text = self.issuer.issuers_file(CLIENT).replace('"jwt-age-v1"', '"sdjwt-age-v1"')
        return text.replace('alg = "Ed', f'vct = "{VCT}"\nfresh_days = 7\nalg = "Ed', 1)

    def nonce(self, body: bytes = BODY) -> str:

        window = base64.urlsafe_b64decode(self.window + "=")
        return b64(sha256(window + sha256(body).digest()).digest())

    def claims(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        claims = {
            "iss": ISSUER,
            "vct": VCT,
            "iat": NOON - DAY,
            "exp": NOON + 30 * DAY,
            "cnf": {"jwk": self.device.jwk()},
            "_sd_alg": "sha-256",
            "_sd": [DECOY],
            "age_equal_or_over": {"_sd": [digest_of(UNDER_18), digest_of("another decoy")]},
        }
        return changed(claims, changes or {})

    def credential(
        self, claims: Mapping[str, Any] | None = None, header: Mapping[str, Any] | None = None
    ) -> str:
        own = {"typ": "dc+sd-jwt", "alg": "Ed25519", "kid": self.issuer.jwk()["kid"]}
        return ed25519(self.issuer.key, changed(own, header or {}), self.claims(claims))

    def binding(
        self,
        hashed: str,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> str:
        own_claims = {
            "iat": NOON,
            "aud": CLIENT,
            "nonce": self.nonce(),
            "sd_hash": digest_of(hashed),
        }
        own_header = {"typ": "kb+jwt", "alg": "ES256"}
        return self.device.sign(
            changed(own_header, header or {}), changed(own_claims, claims or {})
        )

    def present(
        self,
        credential: str | None = None,
        disclosures: Sequence[str] = (UNDER_18,),
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """A whole presentation; `claims` and `header` change its key-binding JWT."""
        hashed = "~".join((credential or self.credential(), *disclosures)) + "~"
        return hashed + self.binding(hashed, claims, header)

    def verify(
        self,
        token: str | None,
        band: AgeBand = AgeBand.FROM_13_TO_15,
        proof: str | None = None,
        body: bytes = BODY,
    ) -> AgeClaim:
        digest = sha256(body).digest()
        shown = Presentation("sdjwt-age-v1", band, digest, "POST", URL, token, proof)
        return self.verifier.verify(shown, self.clock.at)
