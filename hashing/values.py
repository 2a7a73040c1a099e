"""The hashes of an item as a device sends them: parsed at the door, never invalid after."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hashing.errors import InvalidEntry, InvalidHash, InvalidPacking
from hashing.kinds import HashType, HashValue, Md5, Pdq, Pdq512, Sha256
from hashing.video import Vpdq

__all__ = [
    "ITEM_TYPES",
    "ORIGINAL",
    "AnyHash",
    "HashEntry",
    "HashType",
    "HashValue",
    "Md5",
    "Pdq",
    "Pdq512",
    "Sha256",
    "Vpdq",
    "count",
    "pack",
    "parse_hash",
    "primary",
    "unpack",
]

AnyHash = Pdq | Pdq512 | Md5 | Sha256 | Vpdq
Kind = type[Pdq] | type[Md5] | type[Sha256] | type[Vpdq]

# The types an item may carry, and the code of each in the packed form: codes are never reused.
ITEM_TYPES: Final[Mapping[HashType, Kind]] = MappingProxyType(
    {
        HashType.PDQ: Pdq,
        HashType.PDQ_512: Pdq512,
        HashType.MD5: Md5,
        HashType.SHA256: Sha256,
        HashType.VPDQ: Vpdq,
    }
)
_CODES: Final = {
    HashType.PDQ: 1,
    HashType.PDQ_512: 2,
    HashType.MD5: 3,
    HashType.SHA256: 4,
    HashType.VPDQ: 5,
}
_BY_CODE: Final = {code: ITEM_TYPES[hash_type] for hash_type, code in _CODES.items()}


def parse_hash(hash_type: HashType, text: str) -> AnyHash:
    """The value of one hash of an item: hexadecimal, vpdq in its text form. Raises InvalidHash."""
    return ITEM_TYPES[hash_type].parse(text)


ORIGINAL: Final = "original"
_VARIANT: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{0,39}").fullmatch


@dataclass(frozen=True, slots=True)
class HashEntry:
    """One hash of an item as the device sent it. Raises InvalidEntry.

    `quality` is PDQ's own, 0 to 100, and None for others. `variant` names the transformed copy:
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


def count(entries: Iterable[HashEntry]) -> int:
    """How many hashes that is for the limits: every frame of a video is one."""
    return sum(len(e.value.frames) if isinstance(e.value, Vpdq) else 1 for e in entries)


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
    except InvalidPacking:
        raise
    except (IndexError, KeyError, UnicodeDecodeError, InvalidHash):
        raise InvalidPacking("not packed hashes") from None


def _entries(packed: bytes) -> Iterator[HashEntry]:
    if packed[0] != _VERSION:
        raise InvalidPacking("packed hashes of an unknown version")
    left, at = packed[1] * 256 + packed[2], _HEADER
    for _ in range(left):
        kind, name_at = _BY_CODE[packed[at]], at + 3
        value_at = name_at + packed[at + 2]
        end = value_at + kind.length(packed, value_at)
        if end > len(packed):
            raise InvalidPacking("packed hashes are cut short")
        quality = None if packed[at + 1] == _NO_QUALITY else packed[at + 1]
        variant = packed[name_at:value_at].decode("ascii")
        yield HashEntry(kind.type, kind.read(packed[value_at:end]), quality, variant)
        at = end
    if at != len(packed):
        raise InvalidPacking("packed hashes are followed by something else")
