"""What hashing a 12-megapixel photo costs in Chromium: `python -m bench.device`.

Decode, read-back, hash and 64 variants in milliseconds, medians of ROUNDS after one round to warm
up (the first round is shown too: a young person's photo is usually it). `pdqhash` from Python
hashes the same pixels in the same run, after the browser has gone.
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

from tests.js import edits
from tests.js.device_engines import chromium_page
from tests.js.photographs import photograph

SIZE = (4000, 3000)
ROUNDS = 7
AIM_HASH = 0.6
AIM_VARIANTS = 1.5

MEASURE = """async (rounds) => {
    const { openPicture } = await import("/hashing/device/decode.js");
    const { PictureHasher } = await import("/hashing/device/pdq.js");
    const { hashPhoto } = await import("/hashing/device/photo.js");
    const { variantsOf } = await import("/hashing/device/variants.js");
    const file = await (await fetch("/extra/photo.jpg")).blob();
    const since = (start) => performance.now() - start;

    const round = async () => {
        let start = performance.now();
        const asIs = { imageOrientation: "from-image", colorSpaceConversion: "none" };
        const bare = await createImageBitmap(file, asIs);
        const decode = since(start);
        bare.close();
        const picture = await openPicture(file);
        start = performance.now();
        const strips = [...picture.strips()];
        const readBack = since(start);
        const { width, height } = picture;
        picture.close();
        start = performance.now();
        const hasher = new PictureHasher(width, height, { wantPlane: true });
        for (const { pixels, rows } of strips) hasher.push(pixels, rows);
        const hashed = hasher.finish();
        const hash = since(start);
        start = performance.now();
        const made = variantsOf(hashed, width, height, { budget: 64 });
        const variants = since(start);
        start = performance.now();
        await hashPhoto(file, { budget: 64 });
        const everything = since(start);
        return { decode, readBack, hash, variants, everything, count: made.length };
    };
    const all = [];
    for (let k = 0; k <= rounds; k++) all.push(await round());
    return all;
}"""


def a_photo() -> Image.Image:
    """12 megapixels with fine detail, from a photograph enlarged and grained."""
    return edits.grain(Image.fromarray(photograph("skimage/retina.jpg")).resize(SIZE), 6, 12)


def in_chromium(data: bytes) -> list[dict[str, Any]]:
    """One dictionary of milliseconds a round, the first of them cold."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "photo.jpg").write_bytes(data)
        with chromium_page(Path(folder)) as page:
            rounds: list[dict[str, Any]] = page.evaluate(MEASURE, ROUNDS)
            return rounds


def reference_ms(pixels: NDArray[np.uint8]) -> float:
    """Median milliseconds of `pdqhash.compute`, warm."""
    times = []
    for _ in range(6):
        start = time.perf_counter()
        pdqhash.compute(pixels)
        times.append((time.perf_counter() - start) * 1000)
    return median(times[1:])


def main() -> None:
    """Prints the milliseconds and the two ratios."""
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        a_photo().save(file.name, quality=88)
        data = Path(file.name).read_bytes()
        cold, *warm = in_chromium(data)
        peer = reference_ms(np.asarray(Image.open(file.name).convert("RGB")))
    mid = {name: median(row[name] for row in warm) for name in warm[0] if name != "count"}
    for name, value in mid.items():
        print(f"{name:12} {value:7.0f} ms   cold {cold[name]:7.0f} ms")
    print(f"{'pdqhash':12} {peer:7.0f} ms   in Python, the same pixels")
    share, own = mid["variants"] / mid["hash"], mid["decode"] + mid["readBack"]
    print(f"variants: {warm[0]['count']} in {share:.2f} x the own hash (aim {AIM_VARIANTS})")
    print(f"pick to hash: {mid['everything'] / own:.2f} x the browser's decode and read-back")
    figure = {
        "figure": "own hash of 12 megapixels in Chromium against pdqhash from Python, ms",
        "value": round(mid["hash"], 1),
        "limit": round(AIM_HASH * peer, 1),
        "ratio": round(mid["hash"] / peer, 3),
    }
    print(json.dumps(figure))


if __name__ == "__main__":
    main()
