"""Proofs of age of every profile, as their issuers, wallets and counsellors would make them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.client.age import Device, ask_token
from app.client.attested import StaffKey, headers, request_code
from infra.sandbox.issuer import Issuer
from tests.adapters.age.blinding import DOCUMENT, entry
from tests.adapters.age.minting import ed25519
from tests.adapters.age.vouching import HELPLINE, SERVICE, seat
from tests.adapters.age.wallets import CLIENT, UNDER_18, VCT, digest_of

PROFILES = ("pp-under18-v1", "jwt-age-v1", "sdjwt-age-v1", "counsellor-attested-v1")


class Proof(Protocol):
    """A proof in the young person's hands: the headers that go with a body."""

    def __call__(self, body: bytes) -> dict[str, str]: ...


@dataclass
class Authorities:
    """Whoever vouches for an age, beside the sandbox issuer."""

    wallet_issuer: Issuer = field(
        default_factory=lambda: Issuer("https://wallets.example", Ed25519PrivateKey.generate())
    )
    counsellor: StaffKey = field(default_factory=lambda: StaffKey(HELPLINE, SERVICE))

    def entries(self) -> str:
        """What makes a service trust them, to be added to its issuer file."""
        staff = Issuer(HELPLINE, self.counsellor.key)
        text = self.wallet_issuer.issuers_file(CLIENT).split("format = 1")[1]
        text = text.replace('"jwt-age-v1"', '"sdjwt-age-v1"')
        text = text.replace('alg = "Ed', f'vct = "{VCT}"\nfresh_days = 7\nalg = "Ed', 1)
        return entry(DOCUMENT, "verified_document") + text + seat(staff, "07")

    def proof(self, profile: str, challenge: dict[str, Any], url: str, issuer: str) -> Proof:
        """A fresh one of that profile, for a challenge of the service at `url`."""
        asked = next(p for p in challenge["profiles"] if p["profile"] == profile)
        makers: dict[str, Callable[[], Proof]] = {
            "pp-under18-v1": lambda: _private_token(asked),
            "jwt-age-v1": lambda: _signed_token(asked, url, issuer),
            "sdjwt-age-v1": lambda: self._presentation(asked),
            "counsellor-attested-v1": self._attestation,
        }
        return makers[profile]()

    def _presentation(self, asked: dict[str, Any]) -> Proof:
        device = Device()
        kid = self.wallet_issuer.jwk()["kid"]
        credential = ed25519(
            self.wallet_issuer.key,
            {"typ": "dc+sd-jwt", "alg": "Ed25519", "kid": kid},
            {
                "iss": self.wallet_issuer.id,
                "vct": VCT,
                "iat": int(time.time()) - 60,
                "exp": int(time.time()) + 86_400,
                "cnf": {"jwk": device.jwk()},
                "age_equal_or_over": {"_sd": [digest_of(UNDER_18)]},
            },
        )
        window = base64.urlsafe_b64decode(asked["window"] + "=")

        def show(body: bytes) -> dict[str, str]:
            shown = f"{credential}~{UNDER_18}~"
            nonce = base64.urlsafe_b64encode(sha256(window + sha256(body).digest()).digest())
            claims = {
                "iat": int(time.time()),
                "aud": CLIENT,
                "nonce": nonce.decode().rstrip("="),
                "sd_hash": digest_of(shown),
            }
            bound = device.sign({"typ": "kb+jwt", "alg": "ES256"}, claims)
            return {"Authorization": f"SDJWT-VP {shown}{bound}"}

        return show

    def _attestation(self) -> Proof:
        words: dict[bytes, str] = {}

        def vouch(body: bytes) -> dict[str, str]:
            code = request_code(body)
            # A counsellor says it once: the same words go with the same report again.
            said = words.setdefault(
                body, self.counsellor.attest(code, "age_under_18", int(time.time()))
            )
            return headers(said)

        return vouch


def _private_token(asked: dict[str, Any]) -> Proof:
    challenge = base64.urlsafe_b64decode(asked["issuers"][0]["challenge"])
    nonce = sha256(str(time.time_ns()).encode()).digest()
    token = DOCUMENT.token(sha256(challenge).digest(), nonce=nonce)
    return lambda body: {"Authorization": f'PrivateToken token="{token}"'}


def _signed_token(asked: dict[str, Any], url: str, issuer: str) -> Proof:
    device, audience = Device(), asked["issuers"][0]["audience"]
    token = ask_token(issuer, device.thumbprint(), asked["nonce"], audience, "age_under_18")

    def bind(body: bytes) -> dict[str, str]:
        proof = device.proof(token, "POST", f"{url}/v1/reports", body, int(time.time()))
        return {"Authorization": f"DPoP {token}", "DPoP": proof}

    return bind
