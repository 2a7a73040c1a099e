"""Writes pdq.json: `python -m tests.vectors.make_pdq` in the root of the project.

The hashes come from `pdqhash` (profile `pdq`) and tests/js/numpy_pdq.py (profile `pdq-512`), never
from the library under test. docs/DEVICE.md says how a port uses the file.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

from tests.js import numpy_pdq
from tests.js.photographs import photograph

Pixels = NDArray[np.uint8]
PATH = Path(__file__).with_name("pdq.json")
ORIENTATIONS = (
    "original", "rotate90", "rotate180", "rotate270", "flipx", "flipy", "flipplus1", "flipminus1",
)  # fmt: skip

FORMULAS = {
    "flat": "channel c has the value colour[c]",
    "gradient": (
        "r = 255*x div max(1, width-1); g = 255*y div max(1, height-1); "
        "b = 255*(x+y) div max(1, width+height-2)"
    ),
    "noise": (
        "32-bit unsigned arithmetic: v = (seed + 3*(y*width + x) + c) * 2654435761; "
        "v = v xor (v >> 15); v = v * 2246822519; v = v xor (v >> 13); the value is v >> 24"
    ),
    "blocks": "255 where (x div across + y div down) is odd, else 0; all three channels alike",
    "waves": (
        "t(n) = abs(n mod 510 - 255); r = t(a*510*x div width + b*510*y div height); "
        "g = t(b*510*x div width + (x*y div 16)); b = t(a*510*y div height + 3*x)"
    ),
}

_RECIPES: list[tuple[int, int, dict[str, Any]]] = [
    (1, 1, {"kind": "flat", "colour": [200, 10, 60]}),
    (4, 64, {"kind": "noise", "seed": 1}),
    (5, 5, {"kind": "noise", "seed": 2}),
    (5, 5, {"kind": "gradient"}),
    (7, 9, {"kind": "waves", "a": 1, "b": 2}),
    (16, 16, {"kind": "noise", "seed": 3}),
    (37, 401, {"kind": "noise", "seed": 4}),
    (63, 65, {"kind": "waves", "a": 2, "b": 3}),
    (64, 64, {"kind": "noise", "seed": 5}),
    (64, 64, {"kind": "waves", "a": 2, "b": 1}),
    (64, 64, {"kind": "flat", "colour": [128, 128, 128]}),
    (128, 128, {"kind": "blocks", "across": 8, "down": 8}),
    (128, 64, {"kind": "waves", "a": 3, "b": 1}),
    (129, 127, {"kind": "noise", "seed": 6}),
    (200, 300, {"kind": "waves", "a": 4, "b": 3}),
    (256, 256, {"kind": "blocks", "across": 13, "down": 7}),
    (257, 255, {"kind": "noise", "seed": 7}),
    (320, 240, {"kind": "gradient"}),
    (400, 400, {"kind": "flat", "colour": [255, 255, 255]}),
    (512, 512, {"kind": "noise", "seed": 8}),
    (513, 200, {"kind": "waves", "a": 5, "b": 2}),
    (600, 3, {"kind": "noise", "seed": 9}),
    (600, 5, {"kind": "waves", "a": 2, "b": 1}),
    (640, 480, {"kind": "waves", "a": 3, "b": 2}),
    (1000, 7, {"kind": "noise", "seed": 10}),
    (1025, 129, {"kind": "waves", "a": 7, "b": 1}),
    (1280, 720, {"kind": "waves", "a": 3, "b": 4}),
    (1600, 1200, {"kind": "noise", "seed": 11}),
]


def _noise(width: int, height: int, seed: int) -> Pixels:
    place = np.arange(width * height * 3, dtype=np.uint64) + np.uint64(seed)
    low = np.uint64(0xFFFFFFFF)
    v = place * np.uint64(2654435761) & low
    v = (v ^ v >> np.uint64(15)) * np.uint64(2246822519) & low
    v ^= v >> np.uint64(13)
    return (v >> np.uint64(24)).astype(np.uint8).reshape(height, width, 3)


def _triangle(value: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.abs(value % 510 - 255)


def _waves(width: int, height: int, a: int, b: int) -> Pixels:
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    channels = [
        _triangle(a * 510 * x // width + b * 510 * y // height),
        _triangle(b * 510 * x // width + x * y // 16),
        _triangle(a * 510 * y // height + 3 * x),
    ]
    return np.stack(channels, axis=2).astype(np.uint8)


def _gradient(width: int, height: int) -> Pixels:
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    channels = [
        255 * x // max(1, width - 1),
        255 * y // max(1, height - 1),
        255 * (x + y) // max(1, width + height - 2),
    ]
    return np.stack(channels, axis=2).astype(np.uint8)


def _blocks(width: int, height: int, across: int, down: int) -> Pixels:
    y, x = np.mgrid[0:height, 0:width]
    return np.repeat(((x // across + y // down) % 2 * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _flat(width: int, height: int, colour: list[int]) -> Pixels:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


_MAKERS = {
    "flat": _flat, "gradient": _gradient, "noise": _noise, "blocks": _blocks, "waves": _waves,
}  # fmt: skip


def pixels_of(vector: dict[str, Any]) -> Pixels:
    """The height x width x 3 bytes a vector describes: by formula, or embedded as base64."""
    width, height = vector["width"], vector["height"]
    if "rgb" in vector:
        raw = np.frombuffer(base64.b64decode(vector["rgb"]), np.uint8)
        return raw.reshape(height, width, 3)
    recipe = dict(vector["formula"])
    maker: Any = _MAKERS[recipe.pop("kind")]
    made: Pixels = maker(width, height, **recipe)
    return made


def reference_of(pixels: Pixels) -> dict[str, Any]:
    """What the reference says of a picture: both profiles and, from 5 pixels a side, all eight."""
    bits, quality = pdqhash.compute(pixels)
    squared, squared_quality = numpy_pdq.hash_of(numpy_pdq.squeezed_luma_of(pixels))
    answer: dict[str, Any] = {
        "pdq": {"hex": _hex(bits), "quality": quality},
        "pdq512": {"hex": squared, "quality": squared_quality},
    }
    if min(pixels.shape[:2]) >= 5:
        turned = map(_hex, pdqhash.compute_dihedral(pixels)[0])
        answer["dihedral"] = dict(zip(ORIENTATIONS, turned, strict=True))
    return answer


def _hex(bits: Any) -> str:
    return f"{int(''.join(map(str, bits)), 2):064x}"


def _embedded(name: str, width: int, height: int) -> dict[str, Any]:
    small = np.asarray(Image.fromarray(photograph(name)).resize((width, height)))
    rgb = base64.b64encode(small.tobytes()).decode()
    return {"name": f"{name} {width}x{height}", "width": width, "height": height, "rgb": rgb}


def _described() -> list[dict[str, Any]]:
    made = [
        {"name": f"{recipe['kind']} {w}x{h}", "width": w, "height": h, "formula": recipe}
        for w, h, recipe in _RECIPES
    ]
    return [
        *made,
        _embedded("skimage/astronaut.png", 40, 40),
        _embedded("skimage/rocket.jpg", 48, 32),
        _embedded("matplotlib/grace_hopper.jpg", 27, 33),
    ]


def main() -> None:
    """Writes the file."""
    vectors = [vector | reference_of(pixels_of(vector)) for vector in _described()]
    document = {
        "about": "PDQ of pictures a port can make itself; see docs/DEVICE.md. Integers throughout.",
        "formulas": FORMULAS,
        "vectors": vectors,
    }
    PATH.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
