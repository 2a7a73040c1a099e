"""The bytes of Privacy Pass, token type 2: challenge, token and key (RFC 9577, RFC 9578)."""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA384

from app.adapters.age.jose import Unreadable

TYPE = (0x0002).to_bytes(2, "big")
TOKEN_BYTES = 354
_CHARACTERS = TOKEN_BYTES // 3 * 4
_SIGNED_BYTES = 98
_MODULUS_BYTES = 256
# RFC 9578 section 6.5: id-RSASSA-PSS with SHA-384, MGF1-SHA-384 and salt 48; here around the only
# size the type has, a 2048-bit modulus, and the exponent 65537. DER has one spelling.
_SPKI_HEAD = bytes.fromhex(
    "30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202a11a301806092a864886f70d"
    "010108300b0609608648016503040202a2030201300382010f003082010a0282010100"
)
_SPKI_TAIL = bytes.fromhex("0203010001")
_EXPONENT = 65537
_HASH = SHA384()
_PADDING = PSS(mgf=MGF1(_HASH), salt_length=48)
_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")  # and the other alphabet's own characters to none


class Token(NamedTuple):
    """A token as redeemed. Nothing is verified yet."""

    type: bytes
    nonce: bytes
    challenge_digest: bytes
    key_id: bytes
    signed: bytes
    authenticator: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """From base64url in its only spelling: 354 bytes fill 472 characters, without padding.

        Raises Unreadable.
        """
        try:
            raw = a2b_base64(text.encode("ascii").translate(_FROM_URL), strict_mode=True)
        except ValueError:
            raise Unreadable from None
        # Even the strict mode takes "=" after a whole one, and instead of its last characters.
        if len(raw) != TOKEN_BYTES or len(text) != _CHARACTERS:
            raise Unreadable
        return cls(raw[:2], raw[2:34], raw[34:66], raw[66:98], raw[:_SIGNED_BYTES], raw[98:])


@dataclass(frozen=True, slots=True)
class TokenKey:
    """An issuer's public key. `id` is SHA-256 of the published SPKI, byte for byte.

    `cryptography` would encode the same key as another SPKI, with another id.
    """

    spki: bytes
    id: bytes
    _key: RSAPublicKey

    @classmethod
    def parse(cls, spki: bytes) -> Self:
        """From the published SPKI. Raises Unreadable for anything but a type 2 key."""
        modulus = spki[len(_SPKI_HEAD) : len(_SPKI_HEAD) + _MODULUS_BYTES]
        if spki != _SPKI_HEAD + modulus + _SPKI_TAIL or modulus[:1] < b"\x80":
            raise Unreadable
        try:
            key = RSAPublicNumbers(_EXPONENT, int.from_bytes(modulus, "big")).public_key()
        except ValueError:
            raise Unreadable from None
        return cls(spki, sha256(spki).digest(), key)

    def verifies(self, token: Token) -> bool:
        """Whether this key signed it."""
        try:
            self._key.verify(token.authenticator, token.signed, _PADDING, _HASH)
        except InvalidSignature:
            return False
        return True


def token_challenge(issuer: str, origin_info: str, redemption_context: bytes) -> bytes:
    """RFC 9577 section 2.1.1. The context is empty or 32 bytes."""
    if len(redemption_context) not in (0, 32):
        raise ValueError("a redemption context is 0 or 32 bytes")
    return b"".join(
        (
            TYPE,
            _sized(issuer.encode("ascii"), 2),
            _sized(redemption_context, 1),
            _sized(origin_info.encode("ascii"), 2),
        )
    )


def _sized(raw: bytes, prefix: int) -> bytes:
    return len(raw).to_bytes(prefix, "big") + raw
