"""PDQ written a second time, in numpy, so that the 512 profile has something to be compared with.

`pdqhash` offers no way to pass luma in, and Meta's command line, which squeezes pictures to 512x512
first, is no Python package. The tests first hold this module to `pdqhash` itself.
"""

import math

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Pixels = NDArray[np.uint8]
F = np.float32


def luma_of(pixels: Pixels) -> Plane:
    """Luma summed in 64 bits and rounded once, as `pdqhash` does; pixels are HxWx3."""
    red, green, blue = (pixels[:, :, channel] for channel in range(3))
    luma: Plane = (red * 0.299 + green * 0.587 + blue * 0.114).astype(np.float32)
    return luma


def squeezed_luma_of(pixels: Pixels) -> Plane:
    """The `pdq-512` reading: nearest sample to 512x512 if a side is longer, then 32-bit luma."""
    height, width, _ = pixels.shape
    if max(height, width) > 512:
        rows, columns = (np.arange(512) * side // 512 for side in (height, width))
        pixels = pixels[rows][:, columns]
    red, green, blue = (pixels[:, :, channel].astype(np.float32) for channel in range(3))
    luma: Plane = F(0.299) * red + F(0.587) * green + F(0.114) * blue
    return luma


def _box(plane: Plane) -> Plane:
    """Mean over a window down the columns; the running sum rounds after each step."""
    length = plane.shape[0]
    window = (length + 127) // 128
    lead = (window + 2) // 2 - 1
    total = np.zeros(plane.shape[1], np.float32)
    out = np.empty_like(plane)
    for at in range(length + lead):
        if at < length:
            total = total + plane[at]
        if at >= window:
            total = total - plane[at - window]
        count = min(at, length - 1) - max(at - window + 1, 0) + 1
        if at >= lead:
            out[at - lead] = total / F(count)
    return out


def _decimate(plane: Plane) -> Plane:
    rows, columns = (
        np.array([int((i + 0.5) * side / 64) for i in range(64)]) for side in plane.shape
    )
    square: Plane = plane[rows][:, columns]
    return square


def _square_of(luma: Plane) -> Plane:
    if luma.shape == (64, 64):
        return luma
    for _ in range(2):
        luma = _box(np.ascontiguousarray(_box(np.ascontiguousarray(luma.T)).T))
    return _decimate(luma)


def _quality_of(square: Plane) -> int:
    steps = [np.diff(square, axis=axis) for axis in (0, 1)]
    total = sum(int(np.abs((step * F(100) / F(255)).astype(int)).sum()) for step in steps)
    return min(100, total // 90)


def cosines() -> Plane:
    """The 16x64 matrix of the transform, from the C library's cosine."""
    scale = float(F(math.sqrt(2 / 64)))
    return np.array(
        [
            [scale * math.cos((math.pi / 2 / 64) * (i + 1) * (2 * j + 1)) for j in range(64)]
            for i in range(16)
        ],
        np.float32,
    )


def _times(left: Plane, right: Plane) -> Plane:
    total = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for k in range(left.shape[1]):
        total = total + left[:, k : k + 1] * right[k : k + 1, :]
    return total


def hash_of(luma: Plane) -> tuple[str, int]:
    """64 hex characters and quality of a plane of luma."""
    if min(luma.shape) < 5:
        return "0" * 64, 0
    square = _square_of(luma)
    matrix = cosines()
    coefficients = _times(_times(matrix, square), matrix.T).ravel()
    median = np.sort(coefficients)[127]
    value = sum(1 << int(bit) for bit in np.flatnonzero(coefficients > median))
    return f"{value:064x}", _quality_of(square)
