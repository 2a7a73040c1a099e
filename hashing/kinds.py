"""The kinds of hash values: parsed at the door, never invalid after."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self

from hashing.errors import InvalidHash


class HashType(StrEnum):
    """The algorithm of a hash, as named on the wire."""

    PDQ = "pdq"
    PDQ_512 = "pdq-512"  # of the picture first shrunk to 512x512, as Meta's own tools do
    MD5 = "md5"
    SHA256 = "sha256"
    VPDQ = "vpdq"  # a whole video: hashing.video


@dataclass(frozen=True, slots=True, repr=False)
class HashValue:
    """Base of the hash types: `raw` holds exactly `size` bytes. Equal if type and bytes are."""

    raw: bytes

    type: ClassVar[HashType]
    size: ClassVar[int]

    def __post_init__(self) -> None:
        if len(self.raw) != self.size:
            raise InvalidHash(f"{self.type} takes {self.size} bytes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The hash written as `2 * size` lowercase hexadecimal digits. Raises InvalidHash."""
        try:
            raw = bytes.fromhex(text)
        except (TypeError, ValueError):
            raise InvalidHash(cls._fault(text)) from None
        # fromhex also takes uppercase and blanks: only what prints back as itself is canonical.
        if len(raw) != cls.size or raw.hex() != text:
            raise InvalidHash(cls._fault(text))
        return cls(raw)

    @classmethod
    def length(cls, packed: bytes, at: int) -> int:  # noqa: ARG003 - a video's depends on it
        """How many bytes of `packed` the raw value takes that begins there."""
        return cls.size

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """The value of those bytes. Raises InvalidHash."""
        return cls(raw)

    @classmethod
    def _fault(cls, text: object) -> str:
        if not isinstance(text, str):
            return f"{cls.type} must be text"
        if len(text) != 2 * cls.size:
            return f"{cls.type} takes {2 * cls.size} hexadecimal digits"
        if re.fullmatch("[0-9a-fA-F]*", text):
            return f"{cls.type} must be lowercase"
        return f"{cls.type} takes hexadecimal digits only"

    def __str__(self) -> str:
        return self.raw.hex()

    def __repr__(self) -> str:
        """Without the value: a traceback or a log line must not carry it."""
        return f"{type(self).__name__}(…)"


class Pdq(HashValue):
    """A perceptual hash of 256 bits (Meta, ThreatExchange/pdq): close pictures, close hashes."""

    __slots__ = ()
    type = HashType.PDQ
    size = 32

    @property
    def bits(self) -> int:
        """The hash as a number: bit k, of weight 2**k, is coefficient (k // 16, k % 16)."""
        return int.from_bytes(self.raw)


class Pdq512(Pdq):
    """PDQ in its second profile. Comparable with the first: the same photo is some 8 bits away."""

    __slots__ = ()
    type = HashType.PDQ_512


class Md5(HashValue):
    """MD5 of the file's bytes (RFC 1321): finds exact copies, proves nothing."""

    __slots__ = ()
    type = HashType.MD5
    size = 16


class Sha256(HashValue):
    """SHA-256 of the file's bytes (FIPS 180-4): finds exact copies."""

    __slots__ = ()
    type = HashType.SHA256
    size = 32
