"""Attestations, right and wrong, made without the code under test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.adapters.age.attested import CounsellorAttested
from app.adapters.age.issuers import IssuerFile
from app.domain.age import AgeBand, AgeClaim, Presentation
from infra.sandbox.issuer import Issuer
from tests.adapters.age.minting import BODY, NOON, URL, FixedClock, changed, ed25519, never

HELPLINE = "helpline.example"
SERVICE = "young.example"
# Of BODY, worked out by hand in test_attested.py.
CODE = "X71X7VMW4W350VREYRSJ"


def seat(staff: Issuer, name: str) -> str:
    """The entry of one counsellor."""
    text = staff.issuers_file(SERVICE).split("format = 1")[1]
    text = text.replace('"jwt-age-v1"', '"counsellor-attested-v1"')
    text = text.replace('"verified_estimate"', '"counsellor_attested"')
    return text.replace('alg = "Ed', f'staff = "{name}"\nalg = "Ed', 1)


@dataclass
class Helpline:
    """A verifier that trusts two seats of one helpline."""

    folder: Path
    staff: Issuer = field(default_factory=lambda: Issuer(HELPLINE, Ed25519PrivateKey.generate()))
    other: Issuer = field(default_factory=lambda: Issuer(HELPLINE, Ed25519PrivateKey.generate()))
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.path = self.folder / "issuers.toml"
        self.path.write_text(self.issuers_file(), "utf-8")
        self.verifier = CounsellorAttested(IssuerFile(self.path, never, look_every=0), self.clock)

    def issuers_file(self) -> str:
        return "format = 1\n" + seat(self.staff, "07") + seat(self.other, "08")

    def claims(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        claims = {
            "iss": HELPLINE,
            "aud": SERVICE,
            "iat": NOON,
            "exp": NOON + 1800,
            "jti": "jti-of-16-octets",
            "request": CODE,
            "age_under_18": True,
        }
        return changed(claims, changes or {})

    def header(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        own = {"typ": "age-attestation+jwt", "alg": "Ed25519", "kid": self.staff.jwk()["kid"]}
        return changed(own, changes or {})

    def attestation(
        self, claims: Mapping[str, Any] | None = None, header: Mapping[str, Any] | None = None
    ) -> str:
        return ed25519(self.staff.key, self.header(header), self.claims(claims))

    def verify(
        self,
        token: str | None,
        band: AgeBand = AgeBand.FROM_13_TO_15,
        proof: str | None = None,
        body: bytes = BODY,
    ) -> AgeClaim:
        digest = sha256(body).digest()
        shown = Presentation("counsellor-attested-v1", band, digest, "POST", URL, token, proof)
        return self.verifier.verify(shown, self.clock.at)
