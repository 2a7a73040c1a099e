"""Videos on the device: digests always, and the frames of vPDQ as FFmpeg and pdqhash see them."""

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
import pytest

from hashing.frames import hash_frames
from hashing.video import Vpdq
from tests.js import numpy_pdq
from tests.js.device_engines import DevicePage, chromium_page, run_node
from tests.vectors.make_clip import CLIP, FRAMES
from tests.vectors.make_vpdq import RECORDED

MATRIX = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 0x40000000)
QUARTER = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 0x40000000)

HASH = """async (name) => {
    const { DeviceHasher } = await import("/hashing/device/hasher.js");
    const hasher = new DeviceHasher();
    const file = await (await fetch(`/extra/${name}`)).blob();
    const progress = [];
    const result = await hasher.hash(file, { onProgress: (share) => progress.push(share) });
    hasher.close();
    return { ...result, progress };
}"""


def turned_clip() -> bytes:
    """The clip as a phone held sideways writes it: the same frames, to be shown turned."""
    data = CLIP.read_bytes()
    at = data.index(b"tkhd") + 44
    assert data[at : at + 36] == MATRIX
    return data[:at] + QUARTER + data[at + 36 :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos")
    data = CLIP.read_bytes()
    (path / "clip.mp4").write_bytes(data)
    (path / "turned.mp4").write_bytes(turned_clip())
    (path / "cut.mp4").write_bytes(data[: len(data) // 2])
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[DevicePage]:
    with chromium_page(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def frames() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(FRAMES.read_text())
    return listed


def apart(left: str, right: str) -> int:
    return (int(left, 16) ^ int(right, 16)).bit_count()


@pytest.mark.browser
def test_frames_by_webcodecs_are_the_reference_s(
    page: DevicePage, frames: list[dict[str, Any]]
) -> None:
    result = page.evaluate(HASH, "clip.mp4")
    vpdq = Vpdq.parse(result["vpdq"])
    assert [frame.number for frame in vpdq.frames] == [0, 25, 50, 75, 100, 125]
    assert [frame.at_ms for frame in vpdq.frames] == [0, 1000, 2000, 3000, 4000, 5000]
    for frame in vpdq.frames:
        assert apart(str(frame.hash), frames[frame.number]["hex"]) <= 16
        assert abs(frame.quality - frames[frame.number]["quality"]) <= 4


@pytest.mark.browser
def test_its_text_is_what_pypi_s_vpdq_writes_but_for_the_decoder(page: DevicePage) -> None:
    ours = page.evaluate(HASH, "clip.mp4")["vpdq"].splitlines()
    theirs = RECORDED.read_text().splitlines()
    assert len(ours) == len(theirs)
    for line, other in zip(ours, theirs, strict=True):
        number, quality, value, seconds = line.split(",")
        assert (number, seconds) == (other.split(",")[0], other.split(",")[3])
        assert abs(int(quality) - int(other.split(",")[1])) <= 4
        assert apart(value, other.split(",")[2]) <= 16


@pytest.mark.browser
def test_a_turned_video_is_hashed_alike_by_ffmpeg(page: DevicePage, folder: Path) -> None:
    found = hash_frames(folder / "turned.mp4")
    assert found is not None
    device = Vpdq.parse(page.evaluate(HASH, "turned.mp4")["vpdq"])
    pairs = zip(found.frames, device.frames, strict=True)
    assert max(apart(str(one.hash), str(other.hash)) for one, other in pairs) <= 31


@pytest.mark.browser
def test_every_video_has_its_digests(page: DevicePage, folder: Path) -> None:
    for name in ("clip.mp4", "cut.mp4"):
        data = (folder / name).read_bytes()
        result = page.evaluate(HASH, name)
        assert result["kind"] == "video"
        assert result["sha256"] == hashlib.sha256(data).hexdigest()
        assert result["md5"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert result["progress"] == sorted(result["progress"])
        assert result["progress"][-1] == 1


@pytest.mark.browser
def test_a_video_that_does_not_play_has_no_vpdq(page: DevicePage) -> None:
    assert page.evaluate(HASH, "cut.mp4")["vpdq"] is None


@pytest.mark.browser
def test_a_video_held_sideways_is_hashed_as_it_is_shown(page: DevicePage) -> None:
    shown = page.evaluate(
        """async () => {
            const { soughtFrames } = await import("/hashing/device/video.js");
            return soughtFrames(await (await fetch("/extra/turned.mp4")).blob());
        }"""
    )
    turned = Vpdq.parse(page.evaluate(HASH, "turned.mp4")["vpdq"]).frames
    assert len(turned) == len(shown) == 6
    for frame, other in zip(turned, shown, strict=True):
        assert apart(str(frame.hash), other["hex"]) <= 31


@pytest.mark.browser
def test_seeking_finds_the_same_frames(page: DevicePage, frames: list[dict[str, Any]]) -> None:
    found = page.evaluate(
        """async () => {
            const { soughtFrames } = await import("/hashing/device/video.js");
            return soughtFrames(await (await fetch("/extra/clip.mp4")).blob());
        }"""
    )
    assert [round(frame["time"]) for frame in found] == [0, 1, 2, 3, 4, 5]
    for frame in found:
        reference = min(frames, key=lambda other: abs(other["time"] - frame["time"]))
        assert apart(frame["hex"], reference["hex"]) <= 16


@pytest.mark.browser
def test_what_has_no_plain_index_is_read_by_seeking(page: DevicePage) -> None:
    result = page.evaluate(
        """async () => {
            const { DeviceHasher } = await import("/hashing/device/hasher.js");
            const canvas = document.createElement("canvas");
            Object.assign(canvas, { width: 160, height: 120 });
            const context = canvas.getContext("2d");
            const stream = canvas.captureStream(15);
            const recorder = new MediaRecorder(stream, { mimeType: "video/webm" });
            const parts = [];
            recorder.ondataavailable = ({ data }) => parts.push(data);
            recorder.start();
            for (let step = 0; step < 45; step++) {
                for (let k = 0; k < 300; k++) {
                    const shade = (Math.imul(k + 7, 2654435761) >>> 8) & 0xffffff;
                    context.fillStyle = `#${shade.toString(16).padStart(6, "0")}`;
                    context.fillRect((k % 20) * 8, Math.floor(k / 20) * 8, 8, 8);
                }
                context.fillRect(step * 3, step * 2, 40, 40);
                await new Promise((resolve) => setTimeout(resolve, 50));
            }
            await new Promise((resolve) => { recorder.onstop = resolve; recorder.stop(); });
            const hasher = new DeviceHasher();
            const result = await hasher.hash(new Blob(parts, { type: "video/webm" }));
            hasher.close();
            return result;
        }"""
    )
    vpdq = Vpdq.parse(result["vpdq"])
    assert 1 <= len(vpdq.frames) <= 4


def test_frames_are_chosen_merged_and_written_as_vpdq_does() -> None:
    report = run_node("video_decisions.mjs")
    assert [place["number"] for place in report["thirty"]] == [0, 30, 60]
    assert [place["number"] for place in report["slow"]] == [0, 1, 2]
    assert [frame["number"] for frame in report["kept"]] == [0, 30, 90, 120]
    assert [frame["number"] // 30 for frame in report["thinned"]] == list(range(0, 200, 25))
    assert report["most"] == 64
    assert report["text"] == f"0,100,{'0' * 64},0.000\n30,77,{'f' * 64},1.001\n"
    assert str(Vpdq.parse(report["text"])) == report["text"]


def test_a_broken_index_never_does_more_than_fail() -> None:
    report = run_node("broken_mp4.mjs", CLIP)
    assert report["thrown"] == []
    assert report["tried"] == report["null"] + report["read"] == 600
    assert report["null"] > 0


def test_the_index_says_what_ffmpeg_says(frames: list[dict[str, Any]]) -> None:
    track = run_node("mp4_index.mjs", CLIP)
    assert (track["width"], track["height"], track["rotation"]) == (192, 144, 0)
    assert sorted(track["times"]) == pytest.approx([frame["time"] for frame in frames], abs=1e-3)
    assert track["times"] != sorted(track["times"])  # B-frames: decoded before they are shown
    assert track["keys"][0] == 0


def test_the_clip_s_hashes_are_of_pictures_worth_matching(frames: list[dict[str, Any]]) -> None:
    assert len(frames) == 150
    assert min(frame["quality"] for frame in frames) >= 50
    flat = np.zeros((144, 192, 3), np.uint8)
    assert pdqhash.compute(flat)[1] == numpy_pdq.hash_of(numpy_pdq.luma_of(flat))[1] == 0
