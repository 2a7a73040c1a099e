"""How far apart two perceptual hashes are, and the distances that mean something."""

from __future__ import annotations

from typing import Final

from hashing.kinds import Pdq
from hashing.video import Vpdq

# PDQ's authors recommend 31 or fewer bits of 256 for 'the same picture' (ThreatExchange,
# hashing/hashing.pdf). Inclusive everywhere here; faiss `range_search` is strict and wants 32.
MATCH_DISTANCE: Final = 31

# vPDQ's authors leave the share of frames to the platform; this much is 'the same video' to us.
MATCH_SHARE: Final = 0.8

# Two pictures that have nothing to do with each other: half of all bits, give or take 8.
UNRELATED_DISTANCE: Final = 128


def distance(a: Pdq, b: Pdq) -> int:
    """Hamming distance, 0 to 256 bits. Both PDQ profiles may be compared with each other."""
    return (a.bits ^ b.bits).bit_count()


def is_match(a: Pdq, b: Pdq) -> bool:
    """Whether the two are the same picture, as PDQ's authors recommend to decide it."""
    return distance(a, b) <= MATCH_DISTANCE


def share_found(wanted: Vpdq, among: Vpdq, within: int = MATCH_DISTANCE) -> float:
    """Which share of the wanted video's frames has a frame of the other that near, 0 to 1."""
    theirs = [frame.hash.bits for frame in among.frames]
    found = sum(
        any((frame.hash.bits ^ bits).bit_count() <= within for bits in theirs)
        for frame in wanted.frames
    )
    return found / len(wanted.frames)
