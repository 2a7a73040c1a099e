"""Writes clip.mp4 and clip.json: `python -m tests.vectors.make_clip`, with PyPI's `av` at hand.

Three photographs for two seconds each, slowly moving, in H.264 with B-frames and a key frame every
40. clip.json holds what FFmpeg (through `av`) and `pdqhash` make of every frame.
"""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

from tests.js.photographs import photograph

CLIP = Path(__file__).with_name("clip.mp4")
FRAMES = CLIP.with_suffix(".json")
RATE = 25
SECONDS = 2
SIZE = (192, 144)
SCENES = ("skimage/astronaut.png", "skimage/coffee.png", "skimage/rocket.jpg")


def pictures() -> Iterator[NDArray[np.uint8]]:
    """The frames before compression."""
    for name in SCENES:
        whole = Image.fromarray(photograph(name)).resize((SIZE[0] + 60, SIZE[1] + 45))
        for step in range(RATE * SECONDS):
            yield np.asarray(whole.crop((step, step // 2, step + SIZE[0], step // 2 + SIZE[1])))


def write_clip(av: Any) -> None:
    """Compresses the frames."""
    with av.open(str(CLIP), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "30", "g": "40", "bf": "2", "preset": "slow"}
        for picture in pictures():
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def read_frames(av: Any) -> list[dict[str, Any]]:
    """Number, time in seconds, hash and quality of every frame, as shown."""
    frames = []
    with av.open(str(CLIP)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            bits, quality = pdqhash.compute(frame.to_ndarray(format="rgb24"))
            value = f"{int(''.join(map(str, bits)), 2):064x}"
            frames.append(
                {"number": number, "time": float(frame.time), "hex": value, "quality": int(quality)}
            )
    return frames


def main() -> None:
    """Writes both files."""
    av = importlib.import_module("av")
    write_clip(av)
    lines = ",\n".join(json.dumps(frame) for frame in read_frames(av))
    FRAMES.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
