"""Hamming distance over PDQ hashes of either profile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.distance import MATCH_DISTANCE, distance, is_match, share_found
from hashing.values import Pdq, Pdq512
from hashing.video import Vpdq, VpdqFrame

RAW = st.binary(min_size=32, max_size=32)


@given(RAW, RAW)
def test_it_counts_the_places_where_they_differ(a: bytes, b: bytes) -> None:
    plain = sum(x != y for x, y in zip(_places(a), _places(b), strict=True))
    assert distance(Pdq(a), Pdq(b)) == distance(Pdq512(b), Pdq(a)) == plain


def _places(raw: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in raw)


@given(RAW, st.sets(st.integers(0, 255)))
def test_flipping_bits_goes_as_far_as_the_bits_flipped(raw: bytes, flips: set[int]) -> None:
    flipped = (int.from_bytes(raw) ^ sum(1 << bit for bit in flips)).to_bytes(32)
    assert distance(Pdq(raw), Pdq(flipped)) == len(flips)


@pytest.mark.parametrize(("bits", "same"), [(0, True), (31, True), (32, False), (256, False)])
def test_a_match_is_31_bits_or_fewer(bits: int, same: bool) -> None:
    assert MATCH_DISTANCE == 31
    assert is_match(Pdq(bytes(32)), Pdq(((1 << bits) - 1).to_bytes(32))) is same


def video(*values: int) -> Vpdq:
    frames = (VpdqFrame(n, 90, Pdq(v.to_bytes(32)), n * 1000) for n, v in enumerate(values))
    return Vpdq(tuple(frames))


def test_the_share_of_frames_found_is_of_the_wanted_video() -> None:
    far, farther = (1 << 100) - 1, ((1 << 100) - 1) << 128
    assert share_found(video(far, farther), video(farther, 0, far)) == 1.0
    assert share_found(video(far, farther, 0), video(far)) == pytest.approx(1 / 3)
    assert share_found(video(far), video(farther)) == 0.0
    assert share_found(video(0), video((1 << 31) - 1)) == 1.0
    assert share_found(video(0), video((1 << 32) - 1)) == 0.0
    assert share_found(video(0), video((1 << 32) - 1), within=32) == 1.0
