"""Chooses the ladder of variants: `python -m bench.variants_search` writes device/ladder.js.

Greedy: of all candidate copies the device could make, take the one that makes most edited uploads
findable that were not, again and again. An upload within 26 bits of a hash counts whole, one beyond
36 not at all, so that the ladder does not lean on single lucky bits around the threshold of 31.
Trained on every other photograph of tests/js/photographs.py, each as it is and cut to 3:4 as
phones hold them, under the edits of `uploads`; bench/recall.py measures on the other photographs.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

from tests.js import edits
from tests.js.device_engines import ROOT, run_node, write_bundle
from tests.js.photographs import PHOTOGRAPHS, photograph

Picture = Image.Image
Edit = Callable[[Picture, Random], Picture]
Bits = NDArray[np.uint8]

TRAINING = PHOTOGRAPHS[0::2]
LADDER = ROOT / "hashing" / "device" / "ladder.js"
LENGTH = 240
DRAWS = 10

HEAD = """/**
 * Which variants to make, best first: found greedily on training photographs.
 *
 * Generated: `python -m bench.variants_search` writes this file; variants.js says what names mean.
 */
export const LADDER = Object.freeze([
"""

SHAPES = ((1, 1), (4, 5), (9, 16), (3, 4), (2, 3), (4, 3), (5, 4), (16, 9), (3, 2))
FILLS = ("black", "white")
TILTS = (1, 1.5, 2, 2.5, 3, 4)
# Most platforms cut to the first three.
MET = (3, 3, 2, 1, 1, 1, 1, 1, 1)


def _sides(random: Random, low: float, high: float) -> tuple[float, float, float, float]:
    cut = random.uniform(low, high)
    sides = [(cut, 0.0, 0.0, 0.0), (0.0, cut, 0.0, 0.0), (0.0, 0.0, cut, 0.0), (0.0, 0.0, 0.0, cut)]
    return random.choice([*sides, sides[1], sides[3], sides[3]])


def _even_crop(picture: Picture, random: Random) -> Picture:
    return edits.crop(picture, *[random.uniform(1, 10)] * 4)


def _phone(picture: Picture, random: Random) -> Picture:
    colour = random.choice(["black", "black", "white"])
    return edits.bars(picture, 9, random.uniform(17.5, 21.5), colour)


def _nudged_shape(picture: Picture, random: Random) -> Picture:
    nudged = edits.crop(picture, *(random.uniform(0, 2) for _ in range(4)))
    return edits.shape(nudged, *random.choices(SHAPES, MET)[0])


def _signed(random: Random, low: float, high: float) -> float:
    return random.uniform(low, high) * random.choice([-1, 1])


def _mirrored(picture: Picture) -> Picture:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


QUARTERS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)

# Weight, then the edit: how often such a copy is met beside the others, as bench/recall.py has it.
FAMILIES: dict[str, tuple[float, Edit]] = {
    "light": (2, lambda p, r: edits.brightness(edits.scale(p, 0.7), r.uniform(0.8, 1.3))),
    "even crop": (3, _even_crop),
    "one side cut": (4, lambda p, r: edits.crop(p, *_sides(r, 2, 12))),
    "random crop to 5%": (4, lambda p, r: edits.random_crop(p, 5, r)),
    "random crop to 10%": (1.5, lambda p, r: edits.random_crop(p, 10, r)),
    "border": (2.5, lambda p, r: edits.border(p, r.uniform(1, 7), r.choice(["black", "white"]))),
    "tilt": (2, lambda p, r: edits.tilt(p, _signed(r, 0.5, 4))),
    "straighten": (1.5, lambda p, r: edits.straighten(p, _signed(r, 0.5, 3.5))),
    "shape": (4, _nudged_shape),
    "phone bars": (2.5, _phone),
    "square bars": (0.7, lambda p, r: edits.bars(p, 1, 1, r.choice(["black", "white"]))),
    "mirror": (1.2, lambda p, r: _mirrored(p)),
    "mirror and even crop": (1.2, lambda p, r: _mirrored(edits.crop(p, *[r.uniform(1, 7)] * 4))),
    "mirror and random crop": (0.7, lambda p, r: _mirrored(edits.random_crop(p, 5, r))),
    "rotate 90": (1, lambda p, r: p.transpose(r.choice(QUARTERS))),
    "rotate 180": (0.4, lambda p, r: p.transpose(Image.Transpose.ROTATE_180)),
    "caption": (0.8, lambda p, r: edits.caption(p, r.uniform(0.06, 0.15))),
}  # fmt: skip


def packed(picture: Picture) -> Bits:
    """The 32 bytes of the hash a platform would have of an upload."""
    bits, _ = pdqhash.compute(edits.as_uploaded(picture))
    return np.packbits(bits)


def training_pictures() -> list[Picture]:
    """Each training photograph as it is and cut to 3:4."""
    whole = [Image.fromarray(photograph(name)) for name in TRAINING]
    return whole + [edits.shape(picture, 3, 4) for picture in whole]


def uploads(picture: Picture, seed: int) -> Iterator[tuple[str, Bits]]:
    """Family and hash of the training uploads of one photograph."""
    random = Random(seed)  # noqa: S311 - edits, not secrets
    for name, (_, edit) in FAMILIES.items():
        for _ in range(DRAWS):
            yield name, packed(edit(picture, random))


def _number(value: float) -> str:
    return f"{value:g}"


def _crop(*sides: float) -> str:
    return "crop-" + "-".join(map(_number, sides))


def _regular_crops() -> Iterator[str]:
    for cut in (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 12):
        yield _crop(cut, cut, cut, cut)
    for cut in (2, 3, 4, 5, 6, 7, 8, 10, 11, 12):
        for side in range(4):
            yield _crop(*(cut if side == at else 0 for at in range(4)))
    for low, high in ((1, 4), (0.5, 3), (1.5, 3.5), (2, 6), (1, 7)):
        for mask in range(1, 15):
            yield _crop(*(high if mask >> at & 1 else low for at in range(4)))


def _irregular_crops() -> Iterator[str]:
    random = Random(11)  # noqa: S311 - edits, not secrets
    for most in (4, 5, 6, 8, 10):
        for _ in range(40):
            yield _crop(*(round(random.uniform(0, most) * 2) / 2 for _ in range(4)))


def edits_to_try() -> list[str]:
    """Every edited copy the device might make, by name."""
    others = [
        *(f"border-{p:g}-{c}" for p in (1.5, 2.5, 3, 3.5, 4, 4.5, 6, 7, 8) for c in FILLS),
        *(f"{k}{s}{d:g}" for k in ("tilt", "straighten") for s in "+-" for d in TILTS),
        *(f"shape-{w}-{h}" for w, h in SHAPES),
        *(f"bars-9-{h:g}-{c}" for h in (16, 18, 19, 21) for c in FILLS),
        *(f"bars-{w}-{h}-{c}" for w, h in ((1, 1), (4, 5), (16, 9)) for c in FILLS),
    ]  # fmt: skip
    return list(dict.fromkeys([*_regular_crops(), *_irregular_crops(), *others]))


def candidates() -> list[str]:
    """All names to choose from: the edits as they are and mirrored, and the plain orientations."""
    made = edits_to_try()
    turned = [f"{name}.flipy" for name in made]
    plain = ["flipy", "rotate90", "rotate180", "rotate270", "flipx", "flipplus1", "flipminus1"]
    return [*made, *plain, *turned]


def variants_by_name(pictures: list[Picture], names: list[str]) -> NDArray[np.uint8]:
    """Bytes of the named variants, pictures x names x 32, made by the library itself."""
    with tempfile.TemporaryDirectory() as folder:
        index = write_bundle(Path(folder), [np.asarray(picture) for picture in pictures])
        request = Path(folder) / "request.json"
        request.write_text(json.dumps({"names": names}))
        rows = run_node("variants_of_bundle.mjs", index, request)
    flat = bytes.fromhex("".join(hexed for row in rows for hexed in row))
    return np.frombuffer(flat, np.uint8).reshape(len(pictures), len(names), 32)


def credit(distances: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 up to 26 bits, falling to 0 at 36."""
    return np.clip((36 - distances) / 10, 0, 1)


def gains() -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Candidate names, their credits (candidates x uploads), and the weight of each upload."""
    names = ["original", *candidates()]
    pictures = training_pictures()
    made = variants_by_name(pictures, names)
    blocks, weights = [], []
    for at, picture in enumerate(pictures):
        families, hashes = zip(*uploads(picture, at), strict=True)
        apart = np.bitwise_count(made[at][:, None, :] ^ np.stack(hashes)[None]).sum(
            2, dtype=np.int64
        )
        blocks.append(credit(apart))
        weights += [FAMILIES[family][0] for family in families]
    share = np.array(weights) / sum(weights)
    return names, np.concatenate(blocks, axis=1), share


def greedy(
    names: list[str], credits: NDArray[np.float64], share: NDArray[np.float64]
) -> Iterator[tuple[str, float]]:
    """Names best first, each with the training recall reached; `original` stands before all."""
    covered = credits[0]
    for _ in range(LENGTH):
        reached = np.maximum(credits, covered) @ share
        best = int(reached.argmax())
        covered = np.maximum(covered, credits[best])
        yield names[best], float(reached[best])


def main() -> None:
    """Searches, prints the curve, writes the ladder."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "").parse_args()
    ladder = list(greedy(*gains()))
    for place, (name, reached) in enumerate(ladder, 2):
        if place in {2, 4, 8, 16, 32, 64, 128, 200}:
            print(f"{place:4} hashes: training recall {reached:.3f}  (+ {name})")
    lines = "".join(f'  "{name}",\n' for name, _ in ladder)
    LADDER.write_text(HEAD + lines + "]);\n")
    print(
        json.dumps(
            {
                "figure": "training recall at 64 hashes",
                "value": round(ladder[62][1], 3),
                "limit": None,
                "ratio": None,
            }
        )
    )


if __name__ == "__main__":
    main()
