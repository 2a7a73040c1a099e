"""The eight ways to turn and mirror a picture, and how their PDQ hashes follow from one another.

Mirroring a picture negates every other coefficient of its cosine transform, transposing it
transposes them. The hash says which coefficients exceed the median, so a mirror image's hash is the
original's with every other row or column inverted, up to the few coefficients between the median
and its negative. A transposition moves coefficients and changes none: its hash follows exactly.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Orientation(StrEnum):
    """Names and order are those of Meta's dihedral hashing, `pdqhash.compute_dihedral`.

    Rotations are counter-clockwise. `FLIP_X` turns upside down, `FLIP_Y` swaps left and right,
    `FLIP_PLUS_1` transposes (mirrors at the diagonal from top left to bottom right),
    `FLIP_MINUS_1` mirrors at the other diagonal.
    """

    ORIGINAL = "original"
    ROTATE_90 = "rotate90"
    ROTATE_180 = "rotate180"
    ROTATE_270 = "rotate270"
    FLIP_X = "flipx"
    FLIP_Y = "flipy"
    FLIP_PLUS_1 = "flipplus1"
    FLIP_MINUS_1 = "flipminus1"


_O = Orientation

# Each and its transposition: exact to the bit if both are of one transform.
TRANSPOSED: Final = (
    (_O.ORIGINAL, _O.FLIP_PLUS_1),
    (_O.ROTATE_90, _O.FLIP_Y),
    (_O.ROTATE_180, _O.FLIP_MINUS_1),
    (_O.ROTATE_270, _O.FLIP_X),
)

# Bit k is coefficient (k // 16, k % 16); the first one has frequency 1, which is odd, so the even
# rows (or columns) are those that change sign.
_EVEN_ROWS: Final = sum(0xFFFF << 16 * row for row in range(0, 16, 2))
_EVEN_COLUMNS: Final = sum(0x5555 << 16 * row for row in range(16))

# Four delta swaps transpose a 16x16 bit matrix: of each 2n x 2n block, exchange the two n x n
# blocks off the diagonal (Warren, Hacker's Delight, 7-3). (distance, bits of the lower one).
_SWAPS: Final = tuple(
    (
        15 * n,
        sum(1 << 16 * row + column for row in range(16) for column in range(16)
            if column & n and not row & n),
    )
    for n in (8, 4, 2, 1)
)  # fmt: skip


def transposed(bits: int) -> int:
    """The hash of the transposed picture, from the bits of the picture's own."""
    for shift, block in _SWAPS:
        changed = (bits ^ bits >> shift) & block
        bits ^= changed | changed << shift
    return bits


def expected(bits: int) -> dict[Orientation, int]:
    """The eight hashes that a picture with this hash has: two exact, six within a few bits."""
    across = transposed(bits)
    return {
        _O.ORIGINAL: bits,
        _O.ROTATE_90: across ^ _EVEN_ROWS,
        _O.ROTATE_180: bits ^ _EVEN_ROWS ^ _EVEN_COLUMNS,
        _O.ROTATE_270: across ^ _EVEN_COLUMNS,
        _O.FLIP_X: bits ^ _EVEN_ROWS,
        _O.FLIP_Y: bits ^ _EVEN_COLUMNS,
        _O.FLIP_PLUS_1: across,
        _O.FLIP_MINUS_1: across ^ _EVEN_ROWS ^ _EVEN_COLUMNS,
    }
