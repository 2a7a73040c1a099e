"""Blind issuance, token type 2 (RFC 9578 section 6): its bytes, its keys, and what is signed."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Self

from infra.broker.errors import Code, NotSigned, StartRefused

TYPE = 0x0002
MODULUS_BYTES = 256
REQUEST_BYTES = 2 + 1 + MODULUS_BYTES
EXPONENT = 65537
MOST_LIVE = 2  # keys of one predicate: the one in use, and the one before or after it
# Section 6.5: SubjectPublicKeyInfo with id-RSASSA-PSS, SHA-384, MGF1-SHA-384 and salt 48, around a
# 2048-bit modulus and the exponent 65537. DER has one spelling, so nothing else varies.
_SPKI_HEAD = bytes.fromhex(
    "30820152303d06092a864886f70d01010a3030a00d300b0609608648016503040202a11a301806092a864886f70d"
    "010108300b0609608648016503040202a2030201300382010f003082010a0282010100"
)
_SPKI_TAIL = bytes.fromhex("0203010001")


class Predicate(StrEnum):
    """What a key's signature says, and how it was found out. The key is the claim."""

    DOCUMENT = "under18-document"
    ESTIMATE = "under18-estimate"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a device asks to have signed. The blinded message says nothing about the token."""

    key_byte: int
    blinded: int

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """From u16 type, u8 last byte of the key id, 256 bytes blinded_msg. Raises NotSigned."""
        if len(raw) != REQUEST_BYTES:
            raise NotSigned(Code.REQUEST_LENGTH)
        if int.from_bytes(raw[:2], "big") != TYPE:
            raise NotSigned(Code.TOKEN_TYPE)
        return cls(raw[2], int.from_bytes(raw[3:], "big"))


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key. `label` is its name at the signer; it counts from `not_before_at` on."""

    label: str
    predicate: Predicate
    modulus: int
    not_before_at: datetime | None = None

    @property
    def spki(self) -> bytes:
        """The published bytes."""
        return _SPKI_HEAD + self.modulus.to_bytes(MODULUS_BYTES, "big") + _SPKI_TAIL

    @property
    def spki_text(self) -> str:
        """The published bytes as base64url with padding."""
        return base64.urlsafe_b64encode(self.spki).decode("ascii")

    @property
    def id_byte(self) -> int:
        """The last byte of the key id, which is all of it that a token request carries."""
        return sha256(self.spki).digest()[-1]

    def holds(self, now: datetime) -> bool:
        """Whether it signs yet."""
        return self.not_before_at is None or self.not_before_at <= now

    def check(self, blinded: int) -> None:
        """Raises NotSigned for what a blinding never gives: 0, 1, n - 1, n and more."""
        if not 1 < blinded < self.modulus - 1:
            raise NotSigned(Code.BLINDED_RANGE)

    def signed(self, blinded: int, signature: int) -> bool:
        """Whether that is this key's signature of it: s^e = m (mod n)."""
        return pow(signature, EXPONENT, self.modulus) == blinded


def check_type(modulus: int, exponent: int) -> None:
    """Raises StartRefused unless it can be a public key of token type 2."""
    if modulus.bit_length() != 8 * MODULUS_BYTES or exponent != EXPONENT:
        raise StartRefused(["key: it must be RSA of 2048 bits with the exponent 65537"])


class KeyRing:
    """Every live key, found by the one byte of its id that a request carries."""

    def __init__(self, keys: Iterable[IssuerKey]) -> None:
        """Keys must have no `problems_of`."""
        self.keys = tuple(keys)
        self._by_byte: Mapping[int, IssuerKey] = {key.id_byte: key for key in self.keys}

    def find(self, key_byte: int, now: datetime) -> IssuerKey:
        """The key meant. Raises NotSigned."""
        key = self._by_byte.get(key_byte)
        if key is None or not key.holds(now):
            raise NotSigned(Code.KEY_UNKNOWN)
        return key


def problems_of(keys: Iterable[IssuerKey]) -> list[str]:
    """Why these keys cannot be live together."""
    keys = list(keys)
    problems = []
    for predicate in Predicate:
        count = sum(key.predicate is predicate for key in keys)
        if count > MOST_LIVE:
            problems.append(f"more than {MOST_LIVE} live keys for {predicate}")
    if len({key.id_byte for key in keys}) < len(keys):
        problems.append(
            "two keys end in the same byte of their ids, and a request carries only that byte:"
            " make another"
        )
    return problems


def directory(keys: Iterable[IssuerKey], providers: list[dict[str, str]]) -> dict[str, object]:
    """The issuer directory (RFC 9578 section 4), with what each key's signature says."""
    return {
        "issuer-request-uri": "/token-request",
        "token-keys": [_listed(key) for key in keys],
        "providers": providers,
    }


def _listed(key: IssuerKey) -> dict[str, object]:
    listed: dict[str, object] = {
        "token-type": TYPE,
        "token-key": key.spki_text,
        "predicate": str(key.predicate),
    }
    if key.not_before_at is not None:
        listed["not-before"] = int(key.not_before_at.timestamp())
    return listed
