"""Frames by FFmpeg: those of the recorded clip to the bit, and a copy's near enough to be found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hashing.distance import MATCH_SHARE, share_found
from hashing.frames import all_frames, can_read_frames, hash_frames, kept_frames
from hashing.reference import hash_video
from hashing.values import HashType, Pdq
from hashing.video import Vpdq, VpdqFrame
from tests.hashing import film
from tests.vectors.make_clip import CLIP, FRAMES, RATE
from tests.vectors.make_vpdq import RECORDED


def test_the_clips_frames_are_the_recorded_ones() -> None:
    recorded = json.loads(FRAMES.read_text())
    assert can_read_frames()
    found = hash_frames(CLIP)
    assert found is not None
    assert [frame.number for frame in found.frames] == [0, 25, 50, 75, 100, 125]
    for frame in found.frames:
        known = recorded[frame.number]
        assert (str(frame.hash), frame.quality) == (known["hex"], known["quality"])
        assert frame.at_ms == 1000 * known["time"]


def test_a_video_has_its_frames_beside_its_digests() -> None:
    types = [entry.type for entry in hash_video(CLIP).entries]
    assert types == [HashType.VPDQ, HashType.MD5, HashType.SHA256]


def test_copies_as_people_pass_them_on_are_found_and_another_video_is_not(tmp_path: Path) -> None:
    own, scenes = hash_frames(CLIP), film.scenes()
    assert own is not None
    copies = {
        "poor": film.write(tmp_path / "poor.mp4", scenes, width=192, crf=34),
        "smaller": film.write(tmp_path / "small.mp4", scenes, width=160, crf=28),
        # Its camera moves by an eighth of the picture a second.
        "begun later": film.write(tmp_path / "later.mp4", scenes[RATE // 3 :], width=192, crf=28),
    }
    for name, path in copies.items():
        copy = all_frames(path)
        assert copy is not None
        assert share_found(own, copy) >= MATCH_SHARE, name
    once_a_second = hash_frames(copies["begun later"])
    assert once_a_second is not None
    assert share_found(own, once_a_second) == 0
    other = hash_frames(film.another(tmp_path / "other.mp4"))
    assert other is not None
    assert share_found(own, other) == 0


def test_a_file_without_useful_frames_has_none(tmp_path: Path) -> None:
    cut, text = tmp_path / "cut.mp4", tmp_path / "text.mp4"
    cut.write_bytes(CLIP.read_bytes()[: CLIP.stat().st_size // 2])
    text.write_bytes(b"not a video")
    flat = film.write(tmp_path / "flat.mp4", [np.full((96, 128, 3), 90, np.uint8)] * RATE)
    assert [hash_frames(path) for path in (cut, text, flat)] == [None] * 3


def test_too_many_frames_are_spread_evenly_as_the_device_does() -> None:
    sides = (Pdq(bytes(32)), Pdq(b"\xff" * 32))
    long = [VpdqFrame(n, 80, sides[n % 2], 1000 * n) for n in range(200)]
    assert [frame.number for frame in kept_frames(long, 8)] == list(range(0, 200, 25))
    assert len(kept_frames(long)) == 64
    assert len(kept_frames([VpdqFrame(n, 80, sides[0], n) for n in range(5)])) == 1
    assert kept_frames([VpdqFrame(0, 49, sides[0], 0)]) == []


def test_pypi_s_vpdq_writes_the_same_file() -> None:
    """Recorded by tests/vectors/make_vpdq.py, which also lets vpdq's own matcher read ours."""
    recorded = RECORDED.read_text()
    assert str(Vpdq.parse(recorded)) == recorded
    assert str(hash_frames(CLIP)) == recorded
