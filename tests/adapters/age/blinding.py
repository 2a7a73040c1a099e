"""Privacy Pass tokens as a broker signs them, right and wrong, made without the code under test."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from app.adapters.age.issuers import IssuerFile
from app.adapters.age.privacy_pass import PrivacyPass
from app.domain.age import AgeBand, AgeClaim, Presentation
from app.domain.errors import AgeRefused
from tests.adapters.age.minting import FixedClock, never

NAME = "under18.broker.example"
ORIGIN = "report.example"
NONCE = bytes(range(32))
# As RFC 9578 section 6.5 publishes a key; spelt out here so that the code under test is not used.
HEAD = (
    "30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202a11a301806092a864886f70d"
    "010108300b0609608648016503040202a2030201300382010f003082010a0282010100"
)
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=48)


@dataclass(frozen=True)
class Signer:
    """A broker's key. Not blind: a blind signature, once unblinded, is the same kind of value."""

    key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(65537, 2048), repr=False
    )

    @property
    def spki(self) -> bytes:
        modulus = self.key.public_key().public_numbers().n.to_bytes(256, "big")
        return bytes.fromhex(HEAD) + modulus + bytes.fromhex("0203010001")

    def sign(self, signed: bytes) -> str:
        return padded(signed + self.key.sign(signed, PSS, hashes.SHA384()))

    def token(
        self, digest: bytes, kind: bytes = b"\0\2", nonce: bytes = NONCE, key_id: bytes = b""
    ) -> str:
        return self.sign(kind + nonce + digest + (key_id or sha256(self.spki).digest()))


DOCUMENT, ESTIMATE = Signer(), Signer()


def padded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def entry(signer: Signer, basis: str, name: str = NAME, until: str = "2100-01-01") -> str:
    return f"""
[[issuer]]
profile = "pp-under18-v1"
id = "{name}"
audience = "{ORIGIN}"
basis = "{basis}"
valid_from_at = 2026-01-01T00:00:00Z
valid_until_at = {until}T00:00:00Z
keys = [{{ spki = "{padded(signer.spki)}" }}]
"""


FILE = "format = 1\n" + entry(DOCUMENT, "verified_document") + entry(ESTIMATE, "verified_estimate")


@dataclass
class Broker:
    """A verifier that trusts both keys, and the tokens a device could bring to it."""

    path: Path
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.path.write_text(FILE)
        self.verifier = PrivacyPass(
            IssuerFile(self.path, never, look_every=0), b"s" * 32, self.clock
        )

    def digest(self, days: int = 0) -> bytes:
        """Of the challenge given `days` from now."""
        clock = FixedClock(self.clock.at + timedelta(days=days))
        asked: Any = PrivacyPass(
            IssuerFile(self.path, never, look_every=0), b"s" * 32, clock
        ).challenge()
        return sha256(base64.urlsafe_b64decode(asked["issuers"][0]["challenge"])).digest()

    def verify(
        self, token: str | None, band: AgeBand = AgeBand.UNDER_13, proof: str | None = None
    ) -> AgeClaim:
        body = sha256(b"").digest()
        presentation = Presentation("pp-under18-v1", band, body, "POST", "https://x", token, proof)
        return self.verifier.verify(presentation, self.clock.at)

    def reason(self, token: str | None, **other: Any) -> str:
        with pytest.raises(AgeRefused) as refused:
            self.verify(token, **other)
        return refused.value.reason
