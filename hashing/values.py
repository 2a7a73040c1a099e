"""Hash values and the entries a device sends them in: parsed at the door, never invalid after."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final, Self

from hashing.errors import InvalidEntry, InvalidHash, InvalidPacking


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


AnyHash = Pdq | Pdq512 | Md5 | Sha256

# The types an item may carry, and the code of each in the packed form: codes are never reused.
ITEM_TYPES: Final[Mapping[HashType, type[Pdq] | type[Md5] | type[Sha256]]] = MappingProxyType(
    {HashType.PDQ: Pdq, HashType.PDQ_512: Pdq512, HashType.MD5: Md5, HashType.SHA256: Sha256}
)
_CODES: Final = {HashType.PDQ: 1, HashType.PDQ_512: 2, HashType.MD5: 3, HashType.SHA256: 4}
_BY_CODE: Final = {code: ITEM_TYPES[hash_type] for hash_type, code in _CODES.items()}


def parse_hash(hash_type: HashType, text: str) -> AnyHash:
    """The value of one hash of an item. Raises InvalidHash, for vpdq too: see `hashing.video`."""
    kind = ITEM_TYPES.get(hash_type)
    if kind is None:
        raise InvalidHash(f"{hash_type} is not a hash of an item")
    return kind.parse(text)


ORIGINAL: Final = "original"
_VARIANT: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{0,39}").fullmatch


@dataclass(frozen=True, slots=True)
class HashEntry:
    """One hash of an item as the device sent it. Raises InvalidEntry.

    `quality` is PDQ's own, 0 to 100, and None for digests. `variant` names the transformed copy:
    'original', 'flipy', 'tilt+2.rotate90', …: 1 to 40 of a-z 0-9 . + - and no sign in front.
    """

    type: HashType
    value: AnyHash
    quality: int | None
    variant: str

    def __post_init__(self) -> None:
        if self.value.type is not self.type:
            raise InvalidEntry(f"the value is not {self.type}")
        if isinstance(self.value, Pdq):
            if self.quality.__class__ is not int or not 0 <= self.quality <= 100:
                raise InvalidEntry(f"{self.type} needs a quality from 0 to 100")
        elif self.quality is not None:
            raise InvalidEntry(f"{self.type} has no quality")
        if not _VARIANT(self.variant):
            raise InvalidEntry("the variant name takes 1 to 40 of a-z, 0-9, dot, plus and minus")


_RANK: Final = {HashType.SHA256: 1, HashType.MD5: 2}


def primary(entries: Sequence[HashEntry]) -> HashEntry:
    """The hash an item is known by: PDQ of the original, else SHA-256, else MD5, else the first.

    Raises InvalidEntry if there is none.
    """
    if not entries:
        raise InvalidEntry("an item has at least one hash")
    return min(entries, key=_rank)


def _rank(entry: HashEntry) -> int:
    if entry.type is HashType.PDQ and entry.variant == ORIGINAL:
        return 0
    return _RANK.get(entry.type, 3)


# Packed entries: version, number of entries (2 bytes, big-endian), then for each: code of its type,
# quality (255: none), length of the variant name, the name, the raw hash. One form per sequence.
_VERSION: Final = 1
_HEADER: Final = 3
_NO_QUALITY: Final = 255
_MOST: Final = 0xFFFF


def pack(entries: Sequence[HashEntry]) -> bytes:
    """The entries in their order, as bytes to be sealed. Raises InvalidPacking over 65,535."""
    if len(entries) > _MOST:
        raise InvalidPacking("too many hashes to pack")
    parts = [bytes((_VERSION, *divmod(len(entries), 256)))]
    for entry in entries:
        name = entry.variant.encode("ascii")
        quality = _NO_QUALITY if entry.quality is None else entry.quality
        parts += bytes((_CODES[entry.type], quality, len(name))), name, entry.value.raw
    return b"".join(parts)


def unpack(packed: bytes) -> tuple[HashEntry, ...]:
    """What `pack` was given. Raises InvalidPacking for anything `pack` cannot have written."""
    try:
        return tuple(_entries(packed))
    except (IndexError, KeyError, UnicodeDecodeError, InvalidEntry):
        raise InvalidPacking("not packed hashes") from None


def _entries(packed: bytes) -> Iterator[HashEntry]:
    if packed[0] != _VERSION:
        raise InvalidPacking("packed hashes of an unknown version")
    left, at = packed[1] * 256 + packed[2], _HEADER
    for _ in range(left):
        kind, name_at = _BY_CODE[packed[at]], at + 3
        value_at = name_at + packed[at + 2]
        end = value_at + kind.size
        if end > len(packed):
            raise InvalidPacking("packed hashes are cut short")
        quality = None if packed[at + 1] == _NO_QUALITY else packed[at + 1]
        variant = packed[name_at:value_at].decode("ascii")
        yield HashEntry(kind.type, kind(packed[value_at:end]), quality, variant)
        at = end
    if at != len(packed):
        raise InvalidPacking("packed hashes are followed by something else")
