"""What a device does for profile `pp-under18-v1`: blinds a token, and makes it whole once signed.

Privacy Pass, token type 2 (RFC 9577, RFC 9578, RFC 9474), in Python and `cryptography`. `broker.py`
has tokens signed, `pass_file.py` keeps them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA384

PROFILE = "pp-under18-v1"
_TYPE = (0x0002).to_bytes(2, "big")
_MODULUS_BYTES = 256
_SIGNED_BYTES = 98
TOKEN_BYTES = _SIGNED_BYTES + _MODULUS_BYTES
_EXPONENT = 65537
_HASH_BYTES = _SALT_BYTES = 48
_PADDING = PSS(mgf=MGF1(SHA384()), salt_length=_SALT_BYTES)
# RFC 9578 section 6.5; DER has one spelling, and the key's name is the digest of these very bytes.
_SPKI_HEAD = bytes.fromhex(
    "30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202a11a301806092a864886f70d"
    "010108300b0609608648016503040202a2030201300382010f003082010a0282010100"
)
_SPKI_TAIL = bytes.fromhex("0203010001")
_SMALL_PRIMES = [n for n in range(2, 2000) if all(n % d for d in range(2, int(n**0.5) + 1))]


class Why(StrEnum):
    """Every reason for which there is no pass."""

    CHALLENGE_SHAPE = "challenge-shape"
    KEY_SHAPE = "key-shape"
    KEY_WEAK = "key-weak"
    KEY_UNKNOWN = "key-unknown"
    SIGNATURE_LENGTH = "signature-length"
    SIGNATURE_RANGE = "signature-range"
    SIGNATURE_WRONG = "signature-wrong"
    NOT_OFFERED = "not-offered"
    REFUSED = "refused"
    LIMIT = "limit"
    UNAVAILABLE = "unavailable"
    FILE = "file"
    NONE_LEFT = "none-left"


_SENTENCES = {
    Why.CHALLENGE_SHAPE: "what the service asks to have signed is no challenge of type 2",
    Why.KEY_SHAPE: "the service's token key is no key of type 2",
    Why.KEY_WEAK: "the service's token key is weak",
    Why.KEY_UNKNOWN: "the broker does not have the key that the service trusts",
    Why.SIGNATURE_LENGTH: "the broker's answer has the wrong length",
    Why.SIGNATURE_RANGE: "the broker's answer is no number below the modulus",
    Why.SIGNATURE_WRONG: "the broker's signature does not hold",
    Why.NOT_OFFERED: "the service takes no passes of that kind",
    Why.REFUSED: "the broker does not say that this person is under 18",
    Why.LIMIT: "the broker gives this person no more passes today",
    Why.UNAVAILABLE: "the broker gave no usable answer",
    Why.FILE: "the pass file cannot be read or written, or is not one",
    Why.NONE_LEFT: "the pass file holds no pass that still counts",
}


class NoPass(Exception):
    """There is no pass. `why` is the reason; the message says it, with no value in it."""

    def __init__(self, why: Why) -> None:
        self.why = why
        super().__init__(_SENTENCES[why])


@dataclass(frozen=True, slots=True)
class Asked:
    """What one service asks for: a challenge (RFC 9577) and the SPKI of the key to sign it."""

    challenge: bytes
    spki: bytes

    @classmethod
    def of(cls, challenge: Mapping[str, Any]) -> Asked:
        """From the answer of `GET /v1/age/challenge`. Raises NoPass."""
        try:
            profiles = {str(entry["profile"]): entry for entry in challenge["profiles"]}
            issuer = profiles[PROFILE]["issuers"][0]
            return cls(from_b64(issuer["challenge"]), from_b64(issuer["token_key"]))
        except (KeyError, IndexError, TypeError, ValueError):
            raise NoPass(Why.NOT_OFFERED) from None

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the published bytes."""
        return hashlib.sha256(self.spki).digest()


@dataclass(frozen=True, slots=True)
class Blinded:
    """A token before it is signed. `request` is all that the broker sees of it."""

    request: bytes
    _message: bytes = field(repr=False)
    _back: int = field(repr=False)
    _modulus: int = field(repr=False)

    def finalize(self, signature: bytes) -> bytes:
        """The token, 354 bytes, verified. Raises NoPass."""
        if len(signature) != _MODULUS_BYTES:
            raise NoPass(Why.SIGNATURE_LENGTH)
        blindly = int.from_bytes(signature, "big")
        if blindly >= self._modulus:
            raise NoPass(Why.SIGNATURE_RANGE)
        plain = (blindly * self._back % self._modulus).to_bytes(_MODULUS_BYTES, "big")
        key = RSAPublicNumbers(_EXPONENT, self._modulus).public_key()
        try:
            key.verify(plain, self._message, _PADDING, SHA384())
        except InvalidSignature:
            raise NoPass(Why.SIGNATURE_WRONG) from None
        return self._message + plain


def blind(asked: Asked, draw: Callable[[int], bytes] = secrets.token_bytes) -> Blinded:
    """A new token, blinded (RFC 9474 section 4.2, RSABSSA-SHA384-PSS-Deterministic).

    `draw(n)` gives n random bytes: nonce, salt and blind, in this order. Raises NoPass.
    """
    _check_challenge(asked.challenge)
    n = _modulus(asked.spki)
    message = b"".join((_TYPE, draw(32), hashlib.sha256(asked.challenge).digest(), asked.key_id))
    encoded = int.from_bytes(_encoded_for_pss(message, draw(_SALT_BYTES)), "big")
    factor, back = _factor(n, draw)
    blinded = encoded * pow(factor, _EXPONENT, n) % n
    request = _TYPE + asked.key_id[-1:] + blinded.to_bytes(_MODULUS_BYTES, "big")
    return Blinded(request, message, back, n)


def authorization(token: bytes) -> str:
    """The header that shows a token, padded as RFC 9577 asks."""
    if len(token) != TOKEN_BYTES:
        raise ValueError("a token has 354 bytes")
    return f'PrivateToken token="{b64(token)}"'


def _check_challenge(raw: bytes) -> None:
    """u16 type, u16-sized issuer, context of 0 or 32 bytes, u16-sized origin."""
    try:
        context = 4 + int.from_bytes(raw[2:4], "big")
        origin = context + 1 + raw[context]
        end = origin + 2 + int.from_bytes(raw[origin : origin + 2], "big")
        good = raw[:2] == _TYPE and context > 4 and raw[context] in (0, 32) and end == len(raw)
    except IndexError:
        good = False
    if not good:
        raise NoPass(Why.CHALLENGE_SHAPE)


def _modulus(spki: bytes) -> int:
    raw = spki[len(_SPKI_HEAD) : len(_SPKI_HEAD) + _MODULUS_BYTES]
    if spki != _SPKI_HEAD + raw + _SPKI_TAIL or len(raw) != _MODULUS_BYTES:
        raise NoPass(Why.KEY_SHAPE)
    n = int.from_bytes(raw, "big")
    if n.bit_length() != 8 * _MODULUS_BYTES or any(n % prime == 0 for prime in _SMALL_PRIMES):
        raise NoPass(Why.KEY_WEAK)
    return n


def _encoded_for_pss(message: bytes, salt: bytes) -> bytes:
    """RFC 8017 section 9.1.1 for a modulus of 2048 bits: 256 bytes whose first bit is 0."""
    digest = hashlib.sha384(bytes(8) + hashlib.sha384(message).digest() + salt).digest()
    length = _MODULUS_BYTES - _HASH_BYTES - 1
    block = b"\x01".rjust(length - _SALT_BYTES, b"\0") + salt
    counters = range(-(-length // _HASH_BYTES))
    mask = b"".join(hashlib.sha384(digest + c.to_bytes(4, "big")).digest() for c in counters)
    masked = bytes(a ^ b for a, b in zip(block, mask, strict=False))
    return bytes([masked[0] & 0x7F]) + masked[1:] + digest + b"\xbc"


def _factor(n: int, draw: Callable[[int], bytes]) -> tuple[int, int]:
    """A number drawn evenly from 1 to n - 1 that has an inverse, and the inverse."""
    while True:
        factor = int.from_bytes(draw(_MODULUS_BYTES), "big")
        if 0 < factor < n:
            try:
                return factor, pow(factor, -1, n)
            except ValueError:
                continue


def b64(raw: bytes) -> str:
    """base64url, padded."""
    return base64.urlsafe_b64encode(raw).decode()


def from_b64(text: object) -> bytes:
    """From base64url, padded or not. Raises ValueError."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]*={0,2}", text):
        raise ValueError("not base64url")
    plain = text.rstrip("=")
    if plain != text and len(text) % 4:
        raise ValueError("not base64url")
    try:
        return base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None
