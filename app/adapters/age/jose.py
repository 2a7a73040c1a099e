"""Compact JWS and public JWK, read so strictly that each has one spelling (RFC 7515, 7517)."""

from __future__ import annotations

import json
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey
from joserfc.jws import JWSRegistry

# The members of a public key, by what it is; each one is 32 bytes.
_COORDINATES = {("OKP", "Ed25519"): ("x",), ("EC", "P-256"): ("x", "y")}
_ALGORITHM = {"Ed25519": "Ed25519", "P-256": "ES256"}
ALGORITHMS = tuple(_ALGORITHM.values())

_REGISTRY = JWSRegistry(algorithms=ALGORITHMS)
_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class Unreadable(Exception):
    """The text is no compact JWS or the object no public key that we read."""


@dataclass(frozen=True, slots=True)
class Compact:
    """A compact JWS in its parts. Nothing is verified yet."""

    header: dict[str, object]
    payload: dict[str, object]
    signing_input: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures of exactly one algorithm. `thumbprint` is RFC 7638's."""

    alg: str
    thumbprint: str
    _key: OKPKey | ECKey

    def verifies(self, jws: Compact) -> bool:
        """Whether this key signed it. The header's `alg` is the caller's to check."""
        return _REGISTRY.get_alg(self.alg).verify(jws.signing_input, jws.signature, self._key)


def read_compact(text: str) -> Compact:
    """The parts of a compact JWS. Raises Unreadable. The caller bounds the size."""
    parts = _COMPACT.fullmatch(text)
    if not parts:
        raise Unreadable
    return Compact(
        header=read_object(decode(parts[1])),
        payload=read_object(decode(parts[2])),
        signing_input=text[: parts.end(2)].encode("ascii"),
        signature=decode(parts[3]),
    )


def read_public_key(jwk: object) -> PublicKey:
    """A public key from exactly the members RFC 7638 hashes for its kind. Raises Unreadable."""
    if not isinstance(jwk, Mapping) or not all(isinstance(value, str) for value in jwk.values()):
        raise Unreadable
    members: dict[str, str] = dict(jwk)
    coordinates = _COORDINATES.get((members.get("kty", ""), members.get("crv", "")))
    if coordinates is None or members.keys() != {"kty", "crv", *coordinates}:
        raise Unreadable
    if any(len(decode(members[name])) != 32 for name in coordinates):
        raise Unreadable
    try:
        key = (OKPKey if members["kty"] == "OKP" else ECKey).import_key({**members})
    except (JoseError, ValueError):
        raise Unreadable from None
    return PublicKey(_ALGORITHM[members["crv"]], key.thumbprint(), key)


def encode(raw: bytes) -> str:
    """base64url without padding."""
    return b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The bytes of their only base64url spelling without padding. Raises Unreadable."""
    try:
        raw = a2b_base64(text.encode("ascii").translate(_FROM_URL) + b"=" * (-len(text) % 4))
    except ValueError:
        raise Unreadable from None
    # a2b_base64 skips foreign characters and ignores the unused bits of the last one.
    if encode(raw) != text:
        raise Unreadable
    return raw


def read_object(raw: bytes) -> dict[str, object]:
    """A JSON object, read as read_json does. Raises Unreadable."""
    value = read_json(raw)
    if not isinstance(value, dict):
        raise Unreadable
    return value


def read_json(raw: bytes) -> object:
    """JSON in UTF-8 without repeated keys, fractions, NaN or Infinity. Raises Unreadable."""
    try:
        value: object = _JSON.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Unreadable from None
    return value


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Unreadable
    return members


def _not_taken(_: str) -> NoReturn:
    raise Unreadable


_JSON = json.JSONDecoder(
    object_pairs_hook=_once_each, parse_float=_not_taken, parse_constant=_not_taken
)
