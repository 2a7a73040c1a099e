"""How many edited copies the hashes of a photograph still find: `python -m bench.recall`.

On the photographs the ladder was not trained on, with edits at strengths that are in no variant's
name. A copy counts as found when any hash sent is within 31 bits of its PDQ hash. Columns: the
photograph's own hash, its eight dihedral hashes, and each budget of variants.
"""

import json
import tempfile
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

from tests.js import edits
from tests.js.device_engines import run_node, write_bundle
from tests.js.photographs import PHOTOGRAPHS, photograph

Picture = Image.Image
Bits = NDArray[np.uint8]

UNSEEN = PHOTOGRAPHS[1::2]
THRESHOLD = 31
BUDGETS = (16, 32, 64, 128)
DRAWS = 12
AIM = {"recall": 0.85, "random crop to 5%": 0.60, "nearest": 45}
NUDGE = (1.2, 0.3, 0.1, 0.7)


def _mirrored(picture: Picture) -> Picture:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _turned(picture: Picture) -> Picture:
    return picture.transpose(Image.Transpose.ROTATE_270)


# Random crops are drawn afresh DRAWS times; everything else happens once.
SUITE: dict[str, Callable[[Picture, Random], Picture]] = {
    "as it is": lambda p, r: p,
    "scale 0.45": lambda p, r: edits.scale(p, 0.45),
    "stretched 1.25": lambda p, r: edits.stretch(p, 1.25),
    "brightness 1.25": lambda p, r: edits.brightness(p, 1.25),
    "contrast 0.8": lambda p, r: edits.contrast(p, 0.8),
    "gamma 0.8": lambda p, r: edits.gamma(p, 0.8),
    "grain 12": lambda p, r: edits.grain(p, 12, 5),
    "blur 1.5": lambda p, r: edits.blur(p, 1.5),
    "grey": lambda p, r: edits.grey(p),
    "crop 3.3% a side": lambda p, r: edits.crop(p, 3.3, 3.3, 3.3, 3.3),
    "crop 5.3% a side": lambda p, r: edits.crop(p, 5.3, 5.3, 5.3, 5.3),
    "crop 8.7% a side": lambda p, r: edits.crop(p, 8.7, 8.7, 8.7, 8.7),
    "bottom 5.3% cut": lambda p, r: edits.crop(p, 0, 0, 0, 5.3),
    "bottom 9.4% cut": lambda p, r: edits.crop(p, 0, 0, 0, 9.4),
    "top 7.3% cut": lambda p, r: edits.crop(p, 0, 7.3, 0, 0),
    "left 6.4% cut": lambda p, r: edits.crop(p, 6.4, 0, 0, 0),
    "border 2.2% white": lambda p, r: edits.border(p, 2.2, "white"),
    "border 5.3% black": lambda p, r: edits.border(p, 5.3, "black"),
    "tilt 1.3 degrees": lambda p, r: edits.tilt(p, 1.3),
    "tilt -2.7 degrees": lambda p, r: edits.tilt(p, -2.7),
    "straightened 1.7 degrees": lambda p, r: edits.straighten(p, 1.7),
    "square, off centre": lambda p, r: edits.shape(edits.crop(p, *NUDGE), 1, 1),
    "4:5, off centre": lambda p, r: edits.shape(edits.crop(p, *NUDGE), 4, 5),
    "9:16, off centre": lambda p, r: edits.shape(edits.crop(p, *NUDGE), 9, 16),
    "screenshot 9:19.5": lambda p, r: edits.bars(p, 9, 19.5),
    "screenshot 9:20": lambda p, r: edits.bars(p, 9, 20),
    "mirror": lambda p, r: _mirrored(p),
    "mirror and crop 4.3%": lambda p, r: _mirrored(edits.crop(p, 4.3, 4.3, 4.3, 4.3)),
    "quarter turn": lambda p, r: _turned(p),
    "caption over the lower 9%": lambda p, r: edits.caption(p, 0.09),
    "sticker in a corner": lambda p, r: edits.sticker(p, 0.17),
    "random crop to 5%": lambda p, r: edits.random_crop(p, 5, r),
    "random crop to 10%": lambda p, r: edits.random_crop(p, 10, r),
}


def packed(pixels: NDArray[np.uint8]) -> Bits:
    """The 32 bytes of a picture's hash."""
    return np.packbits(pdqhash.compute(pixels)[0])


def dihedral(pixels: NDArray[np.uint8]) -> Bits:
    """The eight hashes of a picture, 8 x 32 bytes."""
    return np.stack([np.packbits(bits) for bits in pdqhash.compute_dihedral(pixels)[0]])


def variants(pictures: list[NDArray[np.uint8]]) -> list[list[Bits]]:
    """For each picture, for each budget, the hashes the device would send."""
    with tempfile.TemporaryDirectory() as folder:
        index = write_bundle(Path(folder), pictures)
        request = Path(folder) / "request.json"
        request.write_text(json.dumps({"budgets": BUDGETS}))
        answers = run_node("variants_of_bundle.mjs", index, request)
    return [[_bytes_of([v["hex"] for v in sent]) for sent in answer] for answer in answers]


def _bytes_of(hexes: list[str]) -> Bits:
    return np.frombuffer(bytes.fromhex("".join(hexes)), np.uint8).reshape(-1, 32)


def nearest(left: Bits, right: Bits) -> int:
    """The least distance between any hash of one set and any of the other."""
    return int(np.bitwise_count(left[:, None, :] ^ right[None]).sum(2, dtype=np.int64).min())


def uploads(picture: Picture, name: str, seed: int) -> list[Bits]:
    """The hashes of what strangers upload: one, or several of a random edit."""
    draws = DRAWS if name.startswith("random") else 1
    random = Random(seed)  # noqa: S311 - edits, not secrets
    return [packed(edits.as_uploaded(SUITE[name](picture, random))) for _ in range(draws)]


def recall_table(pictures: list[NDArray[np.uint8]], sets: list[list[Bits]]) -> NDArray[np.float64]:
    """Share found, edits x columns."""
    table = np.zeros((len(SUITE), len(sets[0])))
    for at, name in enumerate(SUITE):
        for seed, (pixels, columns) in enumerate(zip(pictures, sets, strict=True)):
            seen = uploads(Image.fromarray(pixels), name, 1000 + seed)
            for column, hashes in enumerate(columns):
                found = [nearest(hashes, one[None]) <= THRESHOLD for one in seen]
                table[at, column] += sum(found) / len(found) / len(pictures)
    return table


def main() -> None:
    """Prints the table, the distances between strangers and the figure."""
    pictures = [photograph(name) for name in UNSEEN]
    sets = [
        [packed(pixels)[None], dihedral(pixels), *sent]
        for pixels, sent in zip(pictures, variants(pictures), strict=True)
    ]
    table = recall_table(pictures, sets)
    columns = ["own", "dihedral", *map(str, BUDGETS)]
    print(f"{len(SUITE)} edits, within {THRESHOLD} bits, of {len(UNSEEN)} photographs:", *UNSEEN)
    print(f"{'':28}" + "".join(f"{column:>10}" for column in columns))
    for name, row in zip([*SUITE, "mean"], [*table, table.mean(0)], strict=True):
        print(f"{name:28}" + "".join(f"{share:10.0%}" for share in row))
    apart = [
        min(nearest(a[at], b[at]) for a, b in combinations(sets, 2)) for at in range(len(columns))
    ]
    print(f"{'nearest strangers, bits':28}" + "".join(f"{bits:10}" for bits in apart))
    report(table, apart, columns.index("64"))


def report(table: NDArray[np.float64], apart: list[int], column: int) -> None:
    """The aims at 64 hashes, then the line machines read."""
    mean = float(table[:, column].mean())
    crops = float(table[list(SUITE).index("random crop to 5%"), column])
    print(f"random crop to 5% at 64: {crops:.2f} (aim {AIM['random crop to 5%']})")
    print(f"nearest strangers at 64: {apart[column]} bits (aim: above {AIM['nearest']})")
    figure = {
        "figure": "mean recall at 64 hashes, unseen photographs and strengths",
        "value": round(mean, 3),
        "limit": AIM["recall"],
        "ratio": round(mean / AIM["recall"], 3),
    }
    print(json.dumps(figure))


if __name__ == "__main__":
    main()
