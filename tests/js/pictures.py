"""A sweep of over 400 pictures: awkward sizes of noise, gradients and flat colour; photographs.

Sizes matter most: one early mistake broke most of the small pictures and none of the large ones.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.js.photographs import PHOTOGRAPHS, photograph

Pixels = NDArray[np.uint8]

_TINY = [(h, w) for h in range(1, 8) for w in range(1, 8)]
_SQUARES = [(n, n) for n in (8, 16, 31, 63, 64, 65, 100, 127, 128, 129, 130, 255, 256, 257, 384)]
_EDGES = [(n, n) for n in (511, 512, 513, 640)]
_ODD = [
    (64, 65), (65, 64), (64, 128), (128, 64), (5, 600), (600, 5), (3, 600), (600, 3), (7, 1000),
    (1000, 7), (37, 401), (401, 37), (511, 513), (513, 511), (512, 100), (100, 512), (200, 513),
    (513, 64), (64, 513), (333, 777), (777, 333), (129, 1025), (1025, 129), (17, 2048),
]  # fmt: skip
_LARGE = [(1080, 1920), (1600, 1200), (2048, 1536)]


def noise(shape: tuple[int, int], seed: int) -> Pixels:
    """Every channel of every pixel at random."""
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def gradient(shape: tuple[int, int], seed: int) -> Pixels:
    """Three slopes with a ripple, one a channel."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width]
    a, b, c = np.random.default_rng(seed).uniform(1, 9, 3)
    channels = [
        x * 255 / width,
        y * 255 / height,
        127 + 120 * np.sin(a * x / width + b * y / height + c * (x * y) / (width * height)),
    ]
    return np.stack(channels, axis=2).astype(np.uint8)


def flat(shape: tuple[int, int], seed: int) -> Pixels:
    """One colour."""
    colour = np.random.default_rng(seed).integers(0, 256, 3, np.uint8)
    return np.broadcast_to(colour, (*shape, 3)).copy()


def two_tone(shape: tuple[int, int], seed: int) -> Pixels:
    """Black and white blocks: values tie everywhere, so the median is put to the test."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    on = ((y // (1 + seed % 9) + x // (1 + seed % 7)) % 2 * 255).astype(np.uint8)
    return np.repeat(on[:, :, None], 3, axis=2)


def _made() -> Iterator[tuple[str, Pixels]]:
    makers = (noise, gradient, flat, two_tone)
    for seed, shape in enumerate(_TINY + _SQUARES + _EDGES + _ODD):
        for maker in makers:
            yield f"{maker.__name__} {shape}", maker(shape, seed)
    for seed, shape in enumerate(_LARGE):
        yield f"gradient {shape}", gradient(shape, seed)
    yield "noise (3000, 4000)", noise((3000, 4000), 1)


def _photographed() -> Iterator[tuple[str, Pixels]]:
    for name in PHOTOGRAPHS:
        yield name, photograph(name)
        yield f"{name} 64x64", np.asarray(Image.fromarray(photograph(name)).resize((64, 64)))
    large = Image.fromarray(photograph("skimage/retina.jpg")).resize((4032, 3024))
    yield "retina 4032x3024", np.asarray(large)


def sweep() -> Iterator[tuple[str, Pixels]]:
    """Names and pictures, the same ones every time."""
    yield from _made()
    yield from _photographed()
