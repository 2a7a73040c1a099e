"""What only the partner may read: signed by us (JWS, Ed25519), then encrypted to its key (JWE).

A proxy, a queue or a log on the way sees neither a hash nor where it was seen. The signed part
names its reader and its message, so that a partner cannot pass it on as if we had sent it there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe, jwk
from joserfc.errors import JoseError

from partners.errors import KeySetRefused, SealRefused
from partners.model import MessageId, PartnerId
from partners.signing import PrivateKey, PublicKey

BODY_LIMIT: Final = 20_000
"""The longest request body in bytes; what is longer is sent thin, to be fetched."""

KEY_SET_LIMIT: Final = 8_192
"""The longest JWK Set in characters."""

KEYS_LIMIT: Final = 8

_ALGORITHMS: Final = ["ECDH-ES+A256KW", "A256GCM", "DEF"]
# Few JOSE libraries inflate, so only what would not fit otherwise is deflated. What is deflated is
# wholly ours: nobody can learn from the length by putting text of their own beside the hashes.
_DEFLATE_FROM: Final = 9_500
_CURVES: Final = frozenset({("EC", "P-256"), ("OKP", "X25519")})
_KEPT: Final[tuple[str, ...]] = ("kty", "crv", "x", "y", "kid")
_X25519: Final = "X25519"
# RFC 7518 section 4.6.2 for a 256-bit key: the algorithm, no PartyUInfo, no PartyVInfo, 256 bits.
_OTHER_INFO: Final = b"\0\0\0\x0eECDH-ES+A256KW" + bytes(8) + (256).to_bytes(4, "big")
_PRIVATE_PARTS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})


@dataclass(frozen=True, slots=True)
class Signer:
    """Our key for the signed part. `kid` is its RFC 7638 thumbprint."""

    key: PrivateKey = field(repr=False)
    kid: str = field(init=False)
    _header: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kid = _public_jwk(self.key.public).thumbprint()
        header = {"alg": "EdDSA", "kid": kid, "typ": "JWT"}
        object.__setattr__(self, "kid", kid)
        object.__setattr__(self, "_header", _b64(_compact(header)) + b".")

    def jwk(self) -> dict[str, str]:
        """The public half as a JWK, to hand to partners."""
        public = _b64(self.key.public.raw).decode()
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": self.kid,
            "x": public,
        }

    def jws(self, payload: bytes) -> bytes:
        """The compact JWS (RFC 7515) of these bytes.

        Written out here because the library takes as long again as the signature.
        """
        signed = self._header + _b64(payload)
        return signed + b"." + _b64(self.key.signs(signed))


class Addressed(NamedTuple):
    """Who seals what to whom: becomes the claims iss, aud, jti and iat (RFC 7519)."""

    issuer: str
    partner_id: PartnerId
    message_id: MessageId
    issued_at: int

    def claims(self) -> dict[str, object]:
        """The four claims."""
        return {
            "iss": self.issuer,
            "aud": self.partner_id,
            "jti": self.message_id,
            "iat": self.issued_at,
        }


def check_key_set(text: str) -> str:
    """The JWK Set in its stored form, once it is seen to be one that we can seal to.

    It is at most 8 kB with 1 to 8 public keys, each P-256 or X25519 and for encryption; the first
    is the one used, so a partner changes keys by putting the new one first and keeping the old one
    for what is under way. Raises KeySetRefused.
    """
    if len(text) > KEY_SET_LIMIT:
        raise KeySetRefused(f"a key set has at most {KEY_SET_LIMIT} characters")
    keys = _keys_in(text)
    checked = json.dumps({"keys": [_checked(n, key) for n, key in enumerate(keys)]})
    for place, key in enumerate(keys):
        _try_out(place, key)
    return checked


def seal(payload: Mapping[str, object], address: Addressed, signer: Signer, key_set: str) -> str:
    """The compact JWE (RFC 7516) of our JWS of `payload` and its claims, to the set's first key.

    Raises KeySetRefused if the set holds no key that can be sealed to.
    """
    claims = _compact({**payload, **address.claims()})
    deflate = len(claims) > _DEFLATE_FROM
    return _encrypted(signer.jws(claims), _recipient(key_set), {"cty": "JWT"}, deflate=deflate)


def unseal(
    sealed: str,
    private_key_set: Mapping[str, Any],
    sender: PublicKey,
    partner_id: PartnerId,
    message_id: MessageId,
) -> dict[str, Any]:
    """What a partner does: open, verify, and check that it is meant for it and for this message.

    The claims come back with the payload. Raises SealRefused.
    """
    token = _opened(sealed, private_key_set)
    try:
        payload = json.loads(_verified(token, sender))
    except ValueError:
        raise SealRefused("the signed part is not a JWS of JSON") from None
    if payload.get("aud") != partner_id or payload.get("jti") != message_id:
        raise SealRefused("the sealed part is for another reader or message")
    return cast(dict[str, Any], payload)


def fits(body: bytes) -> bool:
    """Whether a body may be posted whole; otherwise the message is sent thin."""
    return len(body) <= BODY_LIMIT


@dataclass(frozen=True, slots=True)
class _Recipient:
    """A key that is sealed to."""

    key: ec.EllipticCurvePublicKey | X25519PublicKey
    kid: str | None

    def agree(self) -> tuple[dict[str, str], bytes]:
        """A fresh key of ours as the header's `epk`, and the secret shared with the recipient."""
        if isinstance(self.key, X25519PublicKey):
            fresh = X25519PrivateKey.generate()
            x = _b64(fresh.public_key().public_bytes_raw()).decode()
            return {"kty": "OKP", "crv": _X25519, "x": x}, fresh.exchange(self.key)
        ours = ec.generate_private_key(self.key.curve)
        point = ours.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        x, y = _b64(point[1:33]).decode(), _b64(point[33:]).decode()
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}, ours.exchange(ec.ECDH(), self.key)


def _encrypted(
    plaintext: bytes, recipient: _Recipient, header: Mapping[str, str], *, deflate: bool = False
) -> str:
    """The compact JWE: ECDH-ES+A256KW (RFC 7518 section 4.6) and A256GCM (section 5.3).

    Written out here because the library takes longer than the cryptography; what opens it in the
    tests are two libraries.
    """
    epk, shared = recipient.agree()
    whole = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", **header, "epk": epk}
    if recipient.kid:
        whole["kid"] = recipient.kid
    if deflate:
        whole["zip"] = "DEF"
        plaintext = _deflated(plaintext)
    bound = _b64(_compact(whole))
    wrapping = hashlib.sha256(b"\0\0\0\1" + shared + _OTHER_INFO).digest()
    content, nonce = AESGCM.generate_key(256), secrets.token_bytes(12)
    sealed = AESGCM(content).encrypt(nonce, plaintext, bound)
    wrapped = aes_key_wrap(wrapping, content)
    parts = bound, _b64(wrapped), _b64(nonce), _b64(sealed[:-16]), _b64(sealed[-16:])
    return b".".join(parts).decode()


def _deflated(raw: bytes) -> bytes:
    """RFC 1951, with neither header nor checksum."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(raw) + packer.flush()


def _opened(sealed: str, private_key_set: Mapping[str, Any]) -> bytes:
    try:
        keys = jwk.KeySet.import_key_set(cast(Any, private_key_set))
        return jwe.decrypt_compact(sealed, keys, algorithms=_ALGORITHMS).plaintext or b""
    except Exception as problem:  # noqa: BLE001 - libraries meet a stranger's bytes in many ways
        raise SealRefused(f"the sealed part does not open: {type(problem).__name__}") from None


def _verified(token: bytes, sender: PublicKey) -> bytes:
    """The payload of our JWS, by RFC 7515 section 5.2 with the one key and algorithm we use."""
    signed, _, signature = token.rpartition(b".")
    header, _, payload = signed.partition(b".")
    if json.loads(_unb64(header)).get("alg") != "EdDSA":
        raise SealRefused("the signed part is not EdDSA")
    if not sender.verifies(_unb64(signature), signed):
        raise SealRefused("the signed part is not from this sender")
    return _unb64(payload)


def _keys_in(text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise KeySetRefused("the key set is not JSON") from None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise KeySetRefused('a key set is an object with a list "keys" (RFC 7517)')
    if not 1 <= len(keys) <= KEYS_LIMIT:
        raise KeySetRefused(f"a key set has 1 to {KEYS_LIMIT} keys")
    return keys


def _checked(place: int, key: dict[str, Any]) -> dict[str, str]:
    """The members of a public key that we need, and no others."""
    if _PRIVATE_PARTS & key.keys():
        raise KeySetRefused(f"key {place} is private: make a new one and send its public half")
    kept = {name: _short_text(place, key[name]) for name in _KEPT if name in key}
    if (kept.get("kty"), kept.get("crv")) not in _CURVES:
        raise KeySetRefused(f"key {place} is neither EC P-256 nor OKP X25519")
    if key.get("use", "enc") != "enc":
        raise KeySetRefused(f'key {place} is not for encryption ("use")')
    if key.get("alg", "ECDH-ES+A256KW") not in ("ECDH-ES", "ECDH-ES+A256KW"):
        raise KeySetRefused(f'key {place} is for another algorithm ("alg")')
    return kept


def _short_text(place: int, value: object) -> str:
    if not isinstance(value, str) or len(value) > 128:
        raise KeySetRefused(f"key {place} has a member that is not a short text")
    return value


def _try_out(place: int, key: dict[str, Any]) -> None:
    """Seal once: finds points off the curve and of low order, and whatever a library minds."""
    try:
        _encrypted(b"", _imported(key), {})
    except (JoseError, ValueError, TypeError, KeyError):
        raise KeySetRefused(f"key {place} is not a usable public key") from None


@lru_cache(maxsize=1024)
def _recipient(key_set: str) -> _Recipient:
    """The key that is sealed to. Kept, because parsing costs as much as sealing."""
    try:
        return _imported(_checked(0, _keys_in(key_set)[0]))
    except (JoseError, ValueError, TypeError, KeyError):
        raise KeySetRefused("the first key is not a usable public key") from None


def _imported(key: dict[str, Any]) -> _Recipient:
    kept = _checked(0, key)
    if kept["kty"] == "EC":
        return _Recipient(jwk.ECKey.import_key(cast(Any, kept)).public_key, kept.get("kid"))
    public = jwk.OKPKey.import_key(cast(Any, kept)).public_key
    return _Recipient(cast(X25519PublicKey, public), kept.get("kid"))


def _public_jwk(key: PublicKey) -> jwk.OKPKey:
    return jwk.OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": _b64(key.raw).decode()})


def _compact(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _unb64(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
