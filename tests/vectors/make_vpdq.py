"""Writes clip.vpdq.txt by PyPI's vpdq 0.2.5, and lets that read ours: not part of ./test.

`python -m tests.vectors.make_vpdq`, with cmake, a C++ compiler, pip, and Debian's pkg-config,
libavcodec-dev, libavformat-dev, libavdevice-dev, libavutil-dev, libswscale-dev, libswresample-dev
and libavfilter-dev. It has no wheel and its Python part reads no text: its C++ programs do, which
are built here out of the same archive, in about half a minute.
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from hashing.frames import hash_frames
from tests.vectors.make_clip import CLIP

VPDQ = "vpdq==0.2.5"
RECORDED = CLIP.with_suffix(".vpdq.txt")
WHOLLY = "100.00 Percentage Query Video match\n100.00 Percentage Target Video match\n"


def build(folder: Path) -> Path:
    """The folder of vpdq's programs, built."""
    run("pip", "download", "--no-deps", "--no-binary", ":all:", "-q", "-d", folder, VPDQ)
    with tarfile.open(next(folder.glob("vpdq-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    source, built = next(folder.glob("vpdq-*/cpp")), folder / "built"
    run("cmake", "-S", source, "-B", built, "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", built, "-j2")
    return built / "apps"


def run(*command: str | Path) -> str:
    """What the program prints; its errors are shown."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Writes the file and prints what vpdq's matcher makes of our text beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = build(folder)
        run(programs / "vpdq-hash-video", "-r", "1", "-i", CLIP, "-o", RECORDED)
        ours = folder / "ours.txt"
        ours.write_text(str(hash_frames(CLIP)))
        said = run(programs / "match-hashes-brute", ours, RECORDED, "31", "50")
    sys.stdout.write(said)
    assert said == WHOLLY


if __name__ == "__main__":
    main()
