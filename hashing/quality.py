"""Whether a hash is worth sending on, decided without ever seeing the picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final, TypeAlias

from hashing.denylist import Denylist
from hashing.orientation import TRANSPOSED, Orientation, expected, transposed
from hashing.values import HashEntry, HashType, Md5, Pdq, Sha256, Vpdq

Single: TypeAlias = Pdq | Md5 | Sha256


class Quality(StrEnum):
    """What `judge` says of a hash. All but `ACCEPTED` are refused."""

    ACCEPTED = "accepted"
    LOW_QUALITY = "low_quality"  # too little in the picture to find it again
    DEGENERATE = "degenerate"  # carries no information
    DENYLISTED = "denylisted"  # a well-known harmless picture


MIN_QUALITY: Final = 50  # PDQ's authors discard 49 and less

# A genuine PDQ hash is cut at a median, so exactly 128 bits are set unless coefficients tie.
_EVEN_SPLIT: Final = 128
_SUSPICIOUS_BITS: Final = 16  # real exchanges carry 120 and 141

# Single-coloured pictures, 1,064 of them in 12 sizes: 95 in 100 set 0 to 95 bits (the rest are
# found by their quality, 0). 310 photos and crops of photos: 128, all of them.
_DEGENERATE_BITS: Final = 32

# Stripes, borders, checks and one bright dot repeat rows or columns of coefficients and leave 1-5
# different bytes of 32. 111 photos and the 7,000 variants of them had 8 or more, random bytes 30.
_DEGENERATE_BYTES: Final = 6

_OF_NOTHING: Final = frozenset(
    {
        Md5.parse("d41d8cd98f00b204e9800998ecf8427e"),
        Sha256.parse("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    }
)

# How far a variant is from what follows from another. Strangers: 128 bits, +- 8. All eight of one
# transform, 310 photos: mirrors up to 42 (median 6), transpositions 0. The device hashes the
# original from all pixels but a variant from a small copy; 111 photos in four edits: mirrors up to
# 106 (median 14, 99 in 100 within 64), transpositions up to 30 (median 0).
_MIRROR_BITS: Final = 96
_TRANSPOSITION_BITS: Final = 64


def judge(entry: HashEntry, denylist: Denylist) -> Quality:
    """The first that applies of degenerate, low quality and denylisted, else accepted.

    Of a video, what the first frame gets that is not accepted.
    """
    if isinstance(entry.value, Vpdq):
        frames = (_judge(frame.hash, frame.quality, denylist) for frame in entry.value.frames)
        return next((q for q in frames if q is not Quality.ACCEPTED), Quality.ACCEPTED)
    return _judge(entry.value, entry.quality, denylist)


def without_bad_frames(entry: HashEntry, denylist: Denylist) -> HashEntry:
    """A video's frames that `judge` accepts, or all where it accepts none; anything else as it is.

    Many videos begin with a plain frame or a logo that everybody knows: it is no reason to refuse
    the rest, and platforms must not look for it.
    """
    if not isinstance(entry.value, Vpdq):
        return entry
    frames = entry.value.frames
    good = tuple(f for f in frames if _judge(f.hash, f.quality, denylist) is Quality.ACCEPTED)
    return entry if len(good) in (0, len(frames)) else replace(entry, value=Vpdq(good))


def _judge(value: Single, quality: int | None, denylist: Denylist) -> Quality:
    if _is_degenerate(value):
        return Quality.DEGENERATE
    if quality is not None and quality < MIN_QUALITY:
        return Quality.LOW_QUALITY
    return Quality.DENYLISTED if denylist.holds(value) else Quality.ACCEPTED


def _is_degenerate(value: Single) -> bool:
    if isinstance(value, Pdq):
        uneven = _uneven(value) > _DEGENERATE_BITS
        return uneven or len(set(value.raw)) <= _DEGENERATE_BYTES
    return len(set(value.raw)) == 1 or value in _OF_NOTHING


def _uneven(value: Pdq) -> int:
    return abs(value.bits.bit_count() - _EVEN_SPLIT)


def suspicious(entry: HashEntry) -> bool:
    """Whether a PDQ hash has more bits set or clear than photos have. A flag, never a refusal."""
    if isinstance(entry.value, Vpdq):
        return any(_uneven(frame.hash) > _SUSPICIOUS_BITS for frame in entry.value.frames)
    return isinstance(entry.value, Pdq) and _uneven(entry.value) > _SUSPICIOUS_BITS


def hangs_together(entries: Iterable[HashEntry]) -> bool:
    """Whether turned and mirrored variants can be of one photo. A flag, never a refusal.

    Checks every group that shares hash type and edit ('tilt+2.flipy' belongs to 'tilt+2'). False
    means that our library hardly made the set. True means little: who has one hash can compute
    others that fit.
    """
    return all(map(_is_one_photo, _groups(entries).values()))


def _groups(entries: Iterable[HashEntry]) -> Mapping[tuple[HashType, str], dict[Orientation, int]]:
    groups: dict[tuple[HashType, str], dict[Orientation, int]] = defaultdict(dict)
    for entry in entries:
        if isinstance(entry.value, Pdq):
            edit, orientation = _split(entry.variant)
            groups[entry.type, edit][orientation] = entry.value.bits
    return groups


_ORIENTATIONS: Final = {str(orientation): orientation for orientation in Orientation}


def _split(variant: str) -> tuple[str, Orientation]:
    """('tilt+2', flipy) of 'tilt+2.flipy', ('', flipy) of 'flipy', (itself, original) otherwise."""
    edit, _, last = variant.rpartition(".")
    orientation = _ORIENTATIONS.get(last)
    return (edit, orientation) if orientation else (variant, Orientation.ORIGINAL)


def _is_one_photo(group: Mapping[Orientation, int]) -> bool:
    return _transpositions_agree(group) and _mirrors_agree(group)


def _transpositions_agree(group: Mapping[Orientation, int]) -> bool:
    return all(
        (transposed(group[one]) ^ group[other]).bit_count() <= _TRANSPOSITION_BITS
        for one, other in TRANSPOSED
        if one in group and other in group
    )


def _mirrors_agree(group: Mapping[Orientation, int]) -> bool:
    if Orientation.ORIGINAL not in group:
        return True
    fitting = expected(group[Orientation.ORIGINAL])
    return all((fitting[turn] ^ bits).bit_count() <= _MIRROR_BITS for turn, bits in group.items())
