"""What the eight orientations do to a hash, against pictures that were really turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pdqhash
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hashing.orientation import TRANSPOSED, Orientation, expected, transposed
from hashing.reference import Pixels, pdq_entries

BITS = st.integers(0, 2**256 - 1)
PHOTOS = sorted((Path(__file__).parents[2] / "infra" / "sandbox" / "photos").glob("*.jpg"))
_O = Orientation

# In Pillow's words; its rotations are counter-clockwise too.
TURNS = {
    _O.ROTATE_90: Image.Transpose.ROTATE_90,
    _O.ROTATE_180: Image.Transpose.ROTATE_180,
    _O.ROTATE_270: Image.Transpose.ROTATE_270,
    _O.FLIP_X: Image.Transpose.FLIP_TOP_BOTTOM,
    _O.FLIP_Y: Image.Transpose.FLIP_LEFT_RIGHT,
    _O.FLIP_PLUS_1: Image.Transpose.TRANSPOSE,
    _O.FLIP_MINUS_1: Image.Transpose.TRANSVERSE,
}


def pixels_of(image: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))


def eight(pixels: Pixels) -> dict[Orientation, int]:
    entries = pdq_entries(pixels)[:8]
    return {Orientation(entry.variant): int(str(entry.value), 16) for entry in entries}


@given(BITS)
def test_transposing_moves_each_coefficient_and_twice_is_nothing(bits: int) -> None:
    moved = transposed(bits)
    assert transposed(moved) == bits
    for row, column in ((0, 0), (0, 1), (3, 14), (15, 0), (7, 8), (15, 15)):
        assert moved >> 16 * row + column & 1 == bits >> 16 * column + row & 1


@given(BITS)
def test_the_eight_are_one_set_whichever_of_them_comes_first(bits: int) -> None:
    eight_of_it = set(expected(bits).values())
    assert all(set(expected(other).values()) == eight_of_it for other in eight_of_it)


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda path: path.stem)
@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_a_name_says_what_really_happens_to_the_picture(photo: Path, turn: Orientation) -> None:
    with Image.open(photo) as image:
        named = eight(pixels_of(image))
        really, _ = pdqhash.compute(pixels_of(image.transpose(TURNS[turn])))
    bits = int("".join(map(str, really)), 2)
    apart = {name: (bits ^ known).bit_count() for name, known in named.items()}
    assert min(apart, key=lambda name: apart[name]) is turn
    assert apart[turn] <= 31


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda path: path.stem)
def test_transpositions_follow_exactly_and_mirrors_nearly(photo: Path) -> None:
    with Image.open(photo) as image:
        named = eight(pixels_of(image))
    for one, other in TRANSPOSED:
        assert transposed(named[one]) == named[other]
    for turn, bits in expected(named[_O.ORIGINAL]).items():
        assert (bits ^ named[turn]).bit_count() <= 32
