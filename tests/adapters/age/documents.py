"""Mobile documents (ISO/IEC 18013-5), right and wrong, made without the code under test."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from app.adapters.age.issuers import IssuerFile
from app.adapters.age.mdoc_age import MdocAge
from app.domain.age import AgeBand, AgeClaim, Presentation
from infra.sandbox.issuer import b64
from tests.adapters.age.minting import BODY, NOW, URL, FixedClock, never

Key = ec.EllipticCurvePrivateKey
TYPE = NAMESPACE = "example.age.1"
ORIGIN = "https://young.example"
START = NOW.replace(microsecond=0)
DAY = timedelta(days=1)
NOT_YET: tuple[str, object] = ("age_over_18", False)


def a_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    name: str,
    key: Key,
    issuer: str,
    signer: Key,
    *,
    root: bool = False,
    until: datetime = START + 300 * DAY,
    purpose: bool = True,
) -> x509.Certificate:
    """A root, or a document signer's certificate as ISO/IEC 18013-5 annex B shapes it."""
    usage = x509.KeyUsage(
        digital_signature=not root,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=root,
        crl_sign=root,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START - 90 * DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(root, 0 if root else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority(signer), critical=False)
        .add_extension(usage, critical=True)
    )
    if purpose and not root:
        signing = x509.ExtendedKeyUsage([ObjectIdentifier("1.0.18013.5.1.2")])
        made = made.add_extension(signing, critical=True)
    return made.sign(signer, hashes.SHA256())


def _name(name: str) -> x509.Name:
    country = x509.NameAttribute(NameOID.COUNTRY_NAME, "UT")
    return x509.Name([country, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _authority(signer: Key) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())


def der(one: x509.Certificate) -> bytes:
    return one.public_bytes(Encoding.DER)


def signature(key: Key, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def tagged(value: object) -> cbor2.CBORTag:
    return cbor2.CBORTag(24, cbor2.dumps(value))


def sign1(key: Key, payload: bytes | None, headers: object, detached: bytes = b"") -> list[Any]:
    protected = cbor2.dumps({1: -7})
    words = ["Signature1", protected, b"", payload if payload is not None else detached]
    return [protected, headers, payload, signature(key, cbor2.dumps(words))]


@dataclass
class Papers:
    """A verifier that trusts one root, a signer under it, and a wallet's key."""

    folder: Path
    root_key: Key = field(default_factory=a_key)
    signer_key: Key = field(default_factory=a_key)
    device_key: Key = field(default_factory=a_key)
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.root = certificate("Root", self.root_key, "Root", self.root_key, root=True)
        self.chain: Sequence[x509.Certificate] = [
            certificate("Signer", self.signer_key, "Root", self.root_key)
        ]
        self.path = self.folder / "issuers.toml"
        self.path.write_text(self.issuers_file())
        self.verifier = MdocAge(IssuerFile(self.path, never, look_every=0), b"s" * 32, self.clock)
        self.window = str(self.verifier.challenge()["window"])

    def issuers_file(self) -> str:
        return f"""format = 1
[[issuer]]
profile = "mdoc-age-v1"
id = "{TYPE}"
audience = "{ORIGIN}"
namespace = "{NAMESPACE}"
fresh_days = 7
anchors = ["{base64.b64encode(der(self.root)).decode()}"]
basis = "verified_document"
valid_from_at = 2026-01-01T00:00:00Z
valid_until_at = 2100-01-01T00:00:00Z
"""

    def transcript(self, nonce: str | None = None, origin: str = ORIGIN) -> list[Any]:
        window = base64.urlsafe_b64decode(self.window + "=")
        nonce = nonce or b64(sha256(window + sha256(BODY).digest()).digest())
        info = sha256(cbor2.dumps([origin, nonce, None])).digest()
        return [None, None, ["OpenID4VPDCAPIHandover", info]]

    def response(
        self,
        *elements: tuple[str, object],
        days: tuple[float, float, float] = (-1, -1, 20),
        namespace: str = NAMESPACE,
        sealed_type: str = TYPE,
        transcript: list[Any] | None = None,
        device: object = None,
        spoil: str = "",
    ) -> dict[str, Any]:
        """A device response to be changed further; `days` are signed, from and until."""
        items = [
            tagged(
                {
                    "digestID": number,
                    "random": os.urandom(16),
                    "elementIdentifier": name,
                    "elementValue": value,
                }
            )
            for number, (name, value) in enumerate(elements or (NOT_YET,))
        ]
        digests = {n: sha256(cbor2.dumps(item)).digest() for n, item in enumerate(items)}
        if spoil == "element":
            changed = cbor2.loads(items[0].value) | {"elementValue": False}
            items[0] = tagged(changed)
        point = self.device_key.public_key().public_numbers()
        sealed = {
            "version": "1.0",
            "digestAlgorithm": "SHA-256",
            "valueDigests": {namespace: digests},
            "deviceKeyInfo": {
                "deviceKey": {
                    1: 2,
                    -1: 1,
                    -2: point.x.to_bytes(32, "big"),
                    -3: point.y.to_bytes(32, "big"),
                }
            },
            "docType": sealed_type,
            "validityInfo": dict(
                zip(("signed", "validFrom", "validUntil"), map(_date, days), strict=True)
            ),
        }
        own = tagged(device or {})
        bound = ["DeviceAuthentication", transcript or self.transcript(), TYPE, own]
        chain = [der(one) for one in self.chain]
        headers = {33: chain[0] if len(chain) == 1 else chain}
        issued = sign1(self.signer_key, cbor2.dumps(tagged(sealed)), headers)
        shown = sign1(self.device_key, None, {}, cbor2.dumps(tagged(bound)))
        document = {
            "docType": TYPE,
            "issuerSigned": {"nameSpaces": {namespace: items}, "issuerAuth": issued},
            "deviceSigned": {"nameSpaces": own, "deviceAuth": {"deviceSignature": shown}},
        }
        return {"version": "1.0", "documents": [document], "status": 0}

    def present(self, *elements: tuple[str, object], **changes: Any) -> str:
        """The token of that response."""
        return token(self.response(*elements, **changes))

    def verify(
        self,
        text: str | None,
        band: AgeBand = AgeBand.FROM_13_TO_15,
        proof: str | None = None,
        body: bytes = BODY,
    ) -> AgeClaim:
        digest = sha256(body).digest()
        shown = Presentation("mdoc-age-v1", band, digest, "POST", URL, text, proof)
        return self.verifier.verify(shown, self.clock.at)


def token(response: object) -> str:
    return b64(cbor2.dumps(response))


def _date(days: float) -> cbor2.CBORTag:
    return cbor2.CBORTag(0, (START + days * DAY).strftime("%Y-%m-%dT%H:%M:%SZ"))
