"""Small videos made for a test: the scenes of tests/vectors/clip.mp4, as people pass them on."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.vectors.make_clip import CLIP, RATE

Pixels = NDArray[np.uint8]


def scenes() -> list[Pixels]:
    """The frames of the clip, decoded."""
    with av.open(str(CLIP)) as clip:
        return [np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in clip.decode(video=0)]


def write(path: Path, frames: list[Pixels], width: int = 160, crf: int = 34) -> Path:
    """An MP4 of those frames in H.264, as wide as that."""
    height = round(width * frames[0].shape[0] / frames[0].shape[1]) // 2 * 2
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf), "g": "50", "preset": "ultrafast"}
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            out.mux(stream.encode(frame.reformat(width=width, height=height)))
        out.mux(stream.encode())
    return path


def another(path: Path) -> Path:
    """A video that has nothing to do with the clip."""
    rng = np.random.default_rng(7)
    still = rng.integers(0, 255, (9, 12, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    return write(path, [np.roll(still, step, axis=1) for step in range(3 * RATE)])
