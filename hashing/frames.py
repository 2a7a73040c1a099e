"""The reference hasher of videos, by FFmpeg: for the command line and the tests, never the server.

It needs PyPI's `av` (BSD-3-Clause; its wheels carry FFmpeg), which the service does not install.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import pdqhash

from hashing.distance import distance
from hashing.kinds import Pdq
from hashing.quality import MIN_QUALITY
from hashing.video import Vpdq, VpdqFrame

MOST_FRAMES: Final = 64  # as the device library sends, unless it is told another number
SAME_SCENE_BITS: Final = 4  # a frame this near to the last one kept says nothing new


def can_read_frames() -> bool:
    """Whether `av` is here."""
    return find_spec("av") is not None


def hash_frames(path: Path, budget: int = MOST_FRAMES) -> Vpdq | None:
    """One frame a second, thinned as the device does; None if FFmpeg reads no useful frame."""
    return _video(kept_frames(_read(path, every=1), budget))


def all_frames(path: Path) -> Vpdq | None:
    """Every frame worth matching: for who looks for the videos of others among its own.

    A copy cut by part of a second shows other frames at whole seconds, and a moving camera soon
    makes them 31 bits different. None if FFmpeg reads no useful frame.
    """
    return _video([frame for frame in _read(path, every=0) if frame.quality >= MIN_QUALITY])


def _video(frames: list[VpdqFrame]) -> Vpdq | None:
    return Vpdq(tuple(frames)) if frames else None


def kept_frames(frames: Iterable[VpdqFrame], budget: int = MOST_FRAMES) -> list[VpdqFrame]:
    """Frames worth matching that differ from the one kept before, spread evenly if too many."""
    kept: list[VpdqFrame] = []
    for frame in frames:
        fresh = not kept or distance(kept[-1].hash, frame.hash) > SAME_SCENE_BITS
        if fresh and frame.quality >= MIN_QUALITY:
            kept.append(frame)
    if len(kept) <= budget:
        return kept
    return [kept[at * len(kept) // budget] for at in range(budget)]


def _read(path: Path, every: float) -> Iterator[VpdqFrame]:
    """For each multiple of `every` seconds the first frame shown at or after it."""
    import av

    wanted = 0
    try:
        with av.open(str(path)) as video:
            for number, frame in enumerate(video.decode(video=0) if video.streams.video else ()):
                since = float(frame.time or 0)
                if since + 1e-6 >= wanted * every:
                    wanted += 1
                    yield _hashed(number, since, frame)
    except av.error.FFmpegError:
        return  # what was read until then is of the video all the same


def _hashed(number: int, since: float, frame: Any) -> VpdqFrame:
    """The frame upright: FFmpeg gives the turn it is to be shown with, against the clock."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    bits, quality = pdqhash.compute(np.ascontiguousarray(pixels))
    raw = np.packbits(bits.astype(np.uint8)).tobytes()
    return VpdqFrame(number, int(quality), Pdq(raw), max(0, round(since * 1000)))
