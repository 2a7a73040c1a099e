"""Standard Webhooks 1.0.0: how a platform knows that a message is ours, unaltered and fresh.

`v1a` is Ed25519 (what leaks at a partner cannot forge), `v1` is HMAC-SHA256. Several keys may sign
one message, so that a key can be changed while both are accepted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from partners.errors import SignatureRefused
from partners.model import SigningScheme

TOLERANCE: Final = timedelta(minutes=5)
ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

_SECRET_BYTES = range(24, 65)
_SIGNATURES_READ: Final = 16  # a longer list is an attempt to make the receiver work
# A dot would let two different messages share the signed bytes `id.timestamp.body`.
_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class HmacKey:
    """A `v1` secret of 24 to 64 bytes, held by both sides; written `whsec_` and base64."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) not in _SECRET_BYTES:
            raise SignatureRefused("a v1 secret has 24 to 64 bytes")

    @classmethod
    def parse(cls, text: str) -> HmacKey:
        """Read the written form. Raises SignatureRefused."""
        return cls(_decoded(text, "whsec_"))

    @classmethod
    def generate(cls) -> HmacKey:
        """A new secret of 32 random bytes."""
        return cls(secrets.token_bytes(32))

    def __str__(self) -> str:
        return _encoded("whsec_", self.secret)

    def signature(self, signed: bytes) -> str:
        """`v1,` and the base64 HMAC-SHA256 of the signed bytes."""
        return "v1," + _base64(hmac.digest(self.secret, signed, hashlib.sha256))

    def holds(self, signed: bytes, signature: str) -> bool:
        """Whether that signature is this key's, in constant time."""
        return hmac.compare_digest(self.signature(signed).encode(), signature.encode())

    def handed_over(self) -> str:
        """What the partner needs to verify: the secret itself, once."""
        return str(self)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What verifies a `v1a` signature; written `whpk_` and the base64 of 32 bytes."""

    raw: bytes
    _key: Ed25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise SignatureRefused("a v1a public key has 32 bytes")
        object.__setattr__(self, "_key", Ed25519PublicKey.from_public_bytes(self.raw))

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read the written form. Raises SignatureRefused."""
        return cls(_decoded(text, "whpk_"))

    def __str__(self) -> str:
        return _encoded("whpk_", self.raw)

    def holds(self, signed: bytes, signature: str) -> bool:
        """Whether that signature was made by the private half."""
        version, _, value = signature.partition(",")
        if version != SigningScheme.V1A:
            return False
        try:
            return self.verifies(base64.b64decode(value, validate=True), signed)
        except ValueError:
            return False

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Whether these 64 bytes are the Ed25519 signature (RFC 8032) of the signed bytes."""
        try:
            self._key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A `v1a` signing key from a seed of 32 bytes; written `whsk_` and base64 of seed and public.

    The parsed key is kept, because parsing costs as much as signing.
    """

    seed: bytes = field(repr=False)
    _key: Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != 32:
            raise SignatureRefused("a v1a seed has 32 bytes")
        object.__setattr__(self, "_key", Ed25519PrivateKey.from_private_bytes(self.seed))

    @classmethod
    def parse(cls, text: str) -> PrivateKey:
        """Read the written form. Raises SignatureRefused, also if the two halves do not belong."""
        raw = _decoded(text, "whsk_")
        if len(raw) != 64:
            raise SignatureRefused("a v1a private key has 64 bytes")
        key = cls(raw[:32])
        # Signing with a public half that is not the seed's gives the seed away.
        if not hmac.compare_digest(key.public.raw, raw[32:]):
            raise SignatureRefused("the public half of a v1a key is not its seed's")
        return key

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new key from 32 random bytes."""
        return cls(secrets.token_bytes(32))

    def __str__(self) -> str:
        return _encoded("whsk_", self.seed + self.public.raw)

    def __reduce__(self) -> tuple[object, ...]:
        """Only the seed travels to another process; there it is parsed once."""
        return _kept_key, (self.seed,)

    @property
    def public(self) -> PublicKey:
        """The half that partners hold."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def signature(self, signed: bytes) -> str:
        """`v1a,` and the base64 Ed25519 signature (RFC 8032) of the signed bytes."""
        return "v1a," + _base64(self.signs(signed))

    def signs(self, signed: bytes) -> bytes:
        """The Ed25519 signature alone, 64 bytes."""
        return self._key.sign(signed)

    def handed_over(self) -> str:
        """What the partner needs to verify: the public half."""
        return str(self.public)


@lru_cache(maxsize=4096)
def _kept_key(seed: bytes) -> PrivateKey:
    return PrivateKey(seed)


SigningKey = HmacKey | PrivateKey
VerifyingKey = HmacKey | PublicKey


def generate(scheme: SigningScheme) -> SigningKey:
    """A new signing key of that scheme."""
    return HmacKey.generate() if scheme is SigningScheme.V1 else PrivateKey.generate()


def parse_signing_key(text: str) -> SigningKey:
    """Read `whsec_…` or `whsk_…`. Raises SignatureRefused."""
    return HmacKey.parse(text) if text.startswith("whsec_") else PrivateKey.parse(text)


def parse_verifying_key(text: str) -> VerifyingKey:
    """Read `whsec_…` or `whpk_…`. Raises SignatureRefused."""
    return HmacKey.parse(text) if text.startswith("whsec_") else PublicKey.parse(text)


def sign(
    keys: Sequence[SigningKey], message_id: str, sent_at: datetime, body: bytes
) -> dict[str, str]:
    """The three headers of one attempt, signed with every key given, in their order.

    Raises SignatureRefused without a key, or for an id that is not 1 to 256 of `A-Za-z0-9_-`.
    """
    if not keys:
        raise SignatureRefused("no key to sign with")
    timestamp = str(int(sent_at.timestamp()))
    signed = _signed_bytes(message_id, timestamp, body)
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: " ".join([key.signature(signed) for key in keys]),
    }


def verify(
    keys: Iterable[VerifyingKey],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
) -> str:
    """The webhook-id of a message that one of these keys signed within `tolerance` of `now`.

    Header names are compared without case. Raises SignatureRefused for anything else.
    """
    message_id, timestamp, signatures = _read_headers(headers)
    if abs(int(timestamp) - now.timestamp()) > tolerance.total_seconds():
        raise SignatureRefused("the timestamp is too far from now")
    signed = _signed_bytes(message_id, timestamp, body)
    if not any(key.holds(signed, signature) for key in keys for signature in signatures):
        raise SignatureRefused("no signature is one of these keys'")
    return message_id


def _read_headers(headers: Mapping[str, str]) -> tuple[str, str, list[str]]:
    found = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = found[ID_HEADER], found[TIMESTAMP_HEADER]
        signatures = found[SIGNATURE_HEADER].split(" ")
    except KeyError:
        raise SignatureRefused("a signature header is missing") from None
    if not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureRefused("the timestamp is not in whole unix seconds")
    if len(signatures) > _SIGNATURES_READ:
        raise SignatureRefused("too many signatures")
    return message_id, timestamp, signatures


def _signed_bytes(message_id: str, timestamp: str, body: bytes) -> bytes:
    if not _ID.fullmatch(message_id):
        raise SignatureRefused("the message id has characters that no id of ours has")
    return b"%b.%b.%b" % (message_id.encode(), timestamp.encode(), body)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _encoded(prefix: str, raw: bytes) -> str:
    return prefix + _base64(raw)


def _decoded(text: str, prefix: str) -> bytes:
    if not text.startswith(prefix):
        raise SignatureRefused(f"a key of this kind begins with {prefix}")
    try:
        raw = base64.b64decode(text.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureRefused("the key is not base64") from None
    if _encoded(prefix, raw) != text:
        raise SignatureRefused("the key is not in its one written form")
    return raw
