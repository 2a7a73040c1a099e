"""The reference hasher, Meta's own code: for the command line and the tests, never the server."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, TypeAlias

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hashing.errors import ImageTooLarge, UnreadableFile, UnreadableImage
from hashing.frames import can_read_frames, hash_frames
from hashing.orientation import Orientation
from hashing.values import ORIGINAL, HashEntry, HashType, Md5, Pdq, Pdq512, Sha256

Pixels: TypeAlias = NDArray[np.uint8]  # height x width x 3, red green blue
Progress: TypeAlias = Callable[[int, int], None]  # bytes done, bytes in all

MAX_PHOTO_BYTES: Final = 64 * 1024 * 1024
# 8160 x 6120, the largest common phone sensor; hashing takes some 40 bytes of memory a pixel.
MAX_PIXELS: Final = 50_000_000
_TOO_MANY_PIXELS: Final = f"The picture has more than {MAX_PIXELS:,} pixels."

_CHUNK: Final = 1024 * 1024
_SMALL_SIDE: Final = 512
_FORMATS: Final = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")


@dataclass(frozen=True, slots=True)
class PhotoHashes:
    """What was found in a photo; width and height in pixels, after turning it upright.

    Of an animation the first picture is hashed, as a browser shows it to the device's hasher.
    """

    entries: tuple[HashEntry, ...]
    quality: int
    width: int
    height: int
    animated: bool

    kind: ClassVar[str] = "photo"


@dataclass(frozen=True, slots=True)
class VideoHashes:
    """The digests of a video file of `size` bytes, and its frames where `hashing.frames` can read
    them: without those only exact copies are found.
    """

    entries: tuple[HashEntry, ...]
    size: int

    kind: ClassVar[str] = "video"


def hash_file(path: Path, progress: Progress | None = None) -> PhotoHashes | VideoHashes:
    """Hash a photo or, if its first bytes are a video's, a video.

    `progress` is told of a video's bytes. Raises UnreadableFile and what is below it.
    """
    with _opened(path) as file:
        head = file.read(_HEAD)
    return hash_video(path, progress) if _is_video(head) else hash_photo(path)


def hash_video(path: Path, progress: Progress | None = None) -> VideoHashes:
    """MD5 and SHA-256, read in pieces of 1 MiB, and vpdq where it can. Raises UnreadableFile."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    done = 0
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        while chunk := file.read(_CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
            done += len(chunk)
            if progress:
                progress(done, max(done, size))
    frames = hash_frames(path) if can_read_frames() else None
    vpdq = () if frames is None else (HashEntry(HashType.VPDQ, frames, None, ORIGINAL),)
    return VideoHashes((*vpdq, *_digests(md5.digest(), sha256.digest())), done)


def hash_photo(source: Path | bytes) -> PhotoHashes:
    """PDQ in its eight orientations, PDQ of the shrunken photo, and the digests of the file.

    Turned upright by its EXIF data, transparency on white, colour profiles ignored. A side below
    five pixels gives eight zero hashes of quality 0. Raises UnreadableFile and what is below it.
    """
    data = source if isinstance(source, bytes) else _photo_bytes(source)
    pixels, animated = _decode(data)
    height, width, _ = pixels.shape
    perceptual = pdq_entries(pixels)
    md5, sha256 = hashlib.md5(data, usedforsecurity=False), hashlib.sha256(data)
    return PhotoHashes(
        entries=(*perceptual, *_digests(md5.digest(), sha256.digest())),
        quality=perceptual[0].quality or 0,
        width=width,
        height=height,
        animated=animated,
    )


def pdq_entries(pixels: Pixels) -> tuple[HashEntry, ...]:
    """The eight orientations, the original first, then `pdq-512`.

    Meta's command line takes `pdq-512` from luma in single precision, pdqhash from double rounded
    once. That changed no bit of 36 photos; a coefficient right at the median may differ.
    """
    hashes, quality = _eight(pixels)
    eight = (
        HashEntry(HashType.PDQ, Pdq(_raw(bits)), quality, turn)
        for turn, bits in zip(Orientation, hashes, strict=True)
    )
    small, small_quality = pdqhash.compute(_shrunk(pixels))
    shrunk = HashEntry(HashType.PDQ_512, Pdq512(_raw(small)), small_quality, ORIGINAL)
    return (*eight, shrunk)


def _eight(pixels: Pixels) -> tuple[list[NDArray[np.int64]], int]:
    hashes, quality = pdqhash.compute_dihedral(pixels)
    if pixels.shape[:2] == (64, 64):
        # The one size that `compute`, which partners use, leaves unfiltered.
        hashes[0], quality = pdqhash.compute(pixels)
    return hashes, quality


def _raw(bits: NDArray[np.int64]) -> bytes:
    return np.packbits(bits.astype(np.uint8)).tobytes()


def _shrunk(pixels: Pixels) -> Pixels:
    """A 512x512 square of the nearest samples, if a side is longer than that."""
    height, width, _ = pixels.shape
    if max(height, width) <= _SMALL_SIDE:
        return pixels
    steps = np.arange(_SMALL_SIDE)
    rows, columns = steps * height // _SMALL_SIDE, steps * width // _SMALL_SIDE
    return np.ascontiguousarray(pixels[rows[:, None], columns])


def _digests(md5: bytes, sha256: bytes) -> tuple[HashEntry, HashEntry]:
    return (
        HashEntry(HashType.MD5, Md5(md5), None, ORIGINAL),
        HashEntry(HashType.SHA256, Sha256(sha256), None, ORIGINAL),
    )


def _decode(data: bytes) -> tuple[Pixels, bool]:
    """The pixels upright, and whether there is more than this first picture."""
    _refuse_by_kind(data)
    try:
        with _quiet(), Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _refuse_by_size(image)
            animated = bool(getattr(image, "is_animated", False))
            return np.array(_on_white(ImageOps.exif_transpose(image))), animated
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("This is not a photo or video that can be read here.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageTooLarge(_TOO_MANY_PIXELS) from None
    except Exception as fault:
        # Decoders fail in every way there is (OSError, SyntaxError, struct.error, …) on a bad file.
        raise UnreadableImage("The picture is damaged or incomplete.") from fault


def _refuse_by_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageTooLarge(_TOO_MANY_PIXELS)


def _refuse_by_kind(data: bytes) -> None:
    if not data:
        raise UnreadableImage("The file is empty.")
    if len(data) > MAX_PHOTO_BYTES:
        raise ImageTooLarge(f"The file is larger than {MAX_PHOTO_BYTES // 2**20} MiB.")
    if _brand(data) in _HEIF_BRANDS:
        raise UnreadableImage("HEIC photos cannot be read here: save it as JPEG and try again.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of oddities that do not matter here, and of one that does: huge pictures."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow would cut 16 bits off at 255; browsers keep the upper eight.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadableImage("Pictures with more than 16 bits a colour cannot be read here.")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _photo_bytes(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read(MAX_PHOTO_BYTES + 1)


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as fault:
        raise UnreadableFile(f"The file cannot be read: {fault.strerror}.") from fault


_HEAD: Final = 16
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
)
_STILL_BRANDS: Final = _HEIF_BRANDS | {b"avif", b"avis"}
_VIDEO_STARTS: Final = (
    b"\x1a\x45\xdf\xa3",  # WebM, Matroska
    b"FLV\x01",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # Windows Media
)


def _brand(head: bytes) -> bytes | None:
    """The major brand of a file of the ISO family: MP4, QuickTime, 3GP, HEIC, AVIF."""
    return head[8:12] if head[4:8] == b"ftyp" else None


def _is_video(head: bytes) -> bool:
    brand = _brand(head)
    if brand is not None:
        return brand not in _STILL_BRANDS
    avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    old_quicktime = head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip")
    return avi or old_quicktime or head.startswith(_VIDEO_STARTS)
