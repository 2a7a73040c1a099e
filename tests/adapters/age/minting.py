"""Age tokens and proofs, right and wrong, made without the code under test (no joserfc)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.adapters.age.issuers import BadIssuers, IssuerFile
from app.adapters.age.jwt_age import JwtAge
from app.client.age import Device
from app.domain.age import AgeBand, AgeClaim, Presentation
from infra.sandbox.issuer import Issuer, b64

NOW = datetime(2026, 3, 5, 12, 0, 30, tzinfo=UTC)
NOON = int(NOW.timestamp())
AUDIENCE = "https://age.service.example"
ISSUER = "https://issuer.example"
URL = "https://service.example/v1/reports"
BODY = b'{"items":[]}'
ABSENT = object()


@dataclass
class FixedClock:
    """A clock that stands at `at`."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


def changed(members: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The members with some replaced, added or (ABSENT) left out."""
    merged = members | dict(changes)
    return {name: value for name, value in merged.items() if value is not ABSENT}


def segment(members: object) -> str:
    """One part of a compact JWS, from an object or from JSON text as it stands."""
    text = members if isinstance(members, str) else json.dumps(members)
    return b64(text.encode("utf-8", "surrogatepass"))


def ed25519(key: Ed25519PrivateKey, header: object, payload: object) -> str:
    """A compact JWS that this Ed25519 key signed, whatever the header says."""
    signed = f"{segment(header)}.{segment(payload)}"
    return f"{signed}.{b64(key.sign(signed.encode()))}"


def never(problem: BadIssuers) -> None:
    raise problem


@dataclass
class World:
    """A verifier that trusts one issuer by its file, and a device with a key."""

    folder: Path
    issuer: Issuer = field(default_factory=lambda: Issuer(ISSUER, Ed25519PrivateKey.generate()))
    device: Device = field(default_factory=Device)
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.path = self.folder / "issuers.toml"
        self.path.write_text(self.issuer.issuers_file(AUDIENCE), "utf-8")
        self.verifier = JwtAge(IssuerFile(self.path, never, look_every=0), b"s" * 32, self.clock)
        self.nonce = str(self.verifier.challenge()["nonce"])

    def header(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        kid = self.issuer.jwk()["kid"]
        return changed({"typ": "age-proof+jwt", "alg": "Ed25519", "kid": kid}, changes or {})

    def claims(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": NOON,
            "exp": NOON + 600,
            "jti": "jti-of-16-octets",
            "nonce": self.nonce,
            "cnf": {"jkt": self.device.thumbprint()},
            "age_under_18": True,
        }
        return changed(claims, changes or {})

    def token(
        self, claims: Mapping[str, Any] | None = None, header: Mapping[str, Any] | None = None
    ) -> str:
        return ed25519(self.issuer.key, self.header(header), self.claims(claims))

    def proof_claims(self, token: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        claims = {
            "jti": "proof-1",
            "htm": "POST",
            "htu": URL,
            "iat": NOON,
            "ath": b64(sha256(token.encode()).digest()),
            "body_sha256": b64(sha256(BODY).digest()),
        }
        return changed(claims, changes or {})

    def proof(
        self,
        token: str,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> str:
        own = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.device.jwk()}
        return self.device.sign(changed(own, header or {}), self.proof_claims(token, claims))

    def present(
        self, token: str | None, proof: str | None, band: AgeBand = AgeBand.FROM_13_TO_15
    ) -> Presentation:
        return Presentation("jwt-age-v1", band, sha256(BODY).digest(), "POST", URL, token, proof)

    def verify(self, token: str, proof: str | None = None, **other: Any) -> AgeClaim:
        """The verdict at `clock` on that token, with a proof that fits it unless one is given."""
        presentation = self.present(token, proof or self.proof(token), **other)
        return self.verifier.verify(presentation, self.clock.at)
