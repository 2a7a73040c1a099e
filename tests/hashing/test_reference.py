"""The reference hasher on real, tiny, turned, transparent, animated, damaged and hostile files."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pdqhash
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hashing import reference
from hashing.distance import distance
from hashing.errors import ImageTooLarge, UnreadableFile, UnreadableImage
from hashing.orientation import Orientation
from hashing.reference import PhotoHashes, VideoHashes, hash_file, hash_photo, pdq_entries
from hashing.values import HashType, Pdq, Pdq512

PHOTOS = Path(__file__).parents[2] / "infra" / "sandbox" / "photos"
COFFEE = PHOTOS / "coffee.jpg"
MP4_HEAD = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41"


def coffee() -> Image.Image:
    with Image.open(COFFEE) as image:
        return image.convert("RGB")


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def own(photo: PhotoHashes) -> Pdq:
    value = photo.entries[0].value
    assert isinstance(value, Pdq)
    return value


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def plain_pdq(pixels: reference.Pixels) -> tuple[str, int]:
    bits, quality = pdqhash.compute(pixels)
    return f"{int(''.join(map(str, bits)), 2):064x}", quality


def test_a_photo_gives_eight_orientations_the_second_profile_and_digests() -> None:
    photo = hash_photo(COFFEE)
    assert [(entry.type, entry.variant) for entry in photo.entries] == [
        *((HashType.PDQ, str(turn)) for turn in Orientation),
        (HashType.PDQ_512, "original"),
        (HashType.MD5, "original"),
        (HashType.SHA256, "original"),
    ]
    data = COFFEE.read_bytes()
    assert str(photo.entries[-2].value) == md5_of(data)
    assert str(photo.entries[-1].value) == hashlib.sha256(data).hexdigest()
    assert (photo.width, photo.height, photo.quality, photo.animated) == (600, 400, 100, False)
    assert hash_photo(data) == hash_file(COFFEE) == photo


SIZES = [
    (5, 5), (5, 300), (300, 5), (6, 7), (16, 16), (63, 63), (63, 64), (64, 63), (64, 64), (65, 64),
    (127, 128), (128, 129), (200, 333), (511, 512), (512, 512), (513, 512), (700, 40), (1000, 1001),
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("content", ["noise", "photo", "gradient"])
def test_the_own_hash_is_what_pdqhash_computes(size: tuple[int, int], content: str) -> None:
    width, height = size
    if content == "noise":
        pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    elif content == "photo":
        pixels = np.asarray(coffee().resize(size))
    else:
        ramp = np.linspace(0, 255, width * height).reshape(height, width, 1)
        pixels = np.repeat(ramp.astype(np.uint8), 3, 2)
    first = pdq_entries(pixels)[0]
    assert (str(first.value), first.quality) == plain_pdq(pixels)


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (4, 600), (600, 4), (1, 2000)], ids=str)
def test_a_side_below_five_pixels_gives_zero_hashes_of_no_quality(size: tuple[int, int]) -> None:
    photo = hash_photo(saved(coffee().resize(size)))
    assert photo.quality == 0
    assert {entry.value.raw for entry in photo.entries[:8]} == {bytes(32)}
    assert {entry.quality for entry in photo.entries[:8]} == {0}


@pytest.mark.parametrize("size", [(512, 300), (100, 100), (512, 512)], ids=str)
def test_a_small_picture_has_one_hash_in_both_profiles(size: tuple[int, int]) -> None:
    photo = hash_photo(saved(coffee().resize(size)))
    assert photo.entries[8].value == Pdq512(own(photo).raw)


@pytest.mark.parametrize("size", [(513, 300), (1024, 768), (600, 4000)], ids=str)
def test_a_large_picture_is_shrunk_to_nearest_samples_for_the_second(size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.asarray(coffee().resize(size))
    square = np.empty((512, 512, 3), np.uint8)
    for row in range(512):
        for column in range(512):
            square[row, column] = pixels[row * height // 512, column * width // 512]
    value = pdq_entries(pixels)[8].value
    assert str(value) == plain_pdq(square)[0]
    assert isinstance(value, Pdq512)
    assert distance(value, Pdq(pdq_entries(pixels)[0].value.raw)) <= 31


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied(turn: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = coffee().transpose(undo[turn]) if turn in undo else coffee()
    exif = Image.Exif()
    exif[0x0112] = turn
    photo = hash_photo(saved(stored, exif=exif))
    assert (photo.width, photo.height) == (600, 400)
    assert own(photo) == own(hash_photo(saved(coffee())))


def test_transparency_is_laid_on_white() -> None:
    see_through = coffee().convert("RGBA")
    see_through.paste((0, 0, 0, 0), (0, 0, 300, 400))
    on_white = coffee()
    on_white.paste("white", (0, 0, 300, 400))
    assert own(hash_photo(saved(see_through))) == own(hash_photo(saved(on_white)))
    paletted = Image.new("P", (64, 64), 0)
    paletted.putpalette([0, 0, 0, 255, 255, 255])
    paletted.paste(1, (0, 0, 32, 64))
    assert hash_photo(saved(paletted, transparency=0)).quality == 0  # white on white


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "RGBA", "YCbCr"])
def test_every_usual_mode_is_read(mode: str) -> None:
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    assert hash_photo(saved(coffee().convert(mode), kind)).quality == 100


def test_sixteen_bit_grey_is_read_by_its_upper_eight() -> None:
    grey = np.asarray(coffee().convert("L"))
    deep = Image.fromarray((grey.astype(np.uint16) << 8) + 255)
    assert own(hash_photo(saved(deep))) == own(hash_photo(saved(coffee().convert("L"))))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_is_hashed(kind: str) -> None:
    second = coffee().transpose(Image.Transpose.ROTATE_180)
    data = saved(coffee(), kind, save_all=True, append_images=[second], lossless=True)
    photo = hash_photo(data)
    assert photo.animated
    assert distance(own(photo), own(hash_photo(COFFEE))) <= 31
    assert distance(own(photo), own(hash_photo(saved(second)))) > 64


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_every_usual_format_is_read_and_matches(kind: str) -> None:
    assert distance(own(hash_photo(saved(coffee(), kind))), own(hash_photo(COFFEE))) <= 31


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims this size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not a photo or video"),
        (b"%PDF-1.7\n", "not a photo or video"),
        (b"PK\x03\x04" + bytes(100), "not a photo or video"),
        (b"\xff\xd8", "not a photo|damaged"),
        (COFFEE.read_bytes()[:5000], "damaged or incomplete"),
        (saved(coffee())[:-3000], "damaged or incomplete"),
        (HEIC, "HEIC"),
        (b"\x00" * 1000, "not a photo or video"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a photo or video"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_plain_sentence(data: bytes, words: str) -> None:
    with pytest.raises(UnreadableImage, match=words) as caught:
        hash_photo(data)
    assert str(caught.value).endswith(".")
    assert caught.value.code == "image-unreadable"


@pytest.mark.parametrize("size", [(10_000, 5_001), (12_000, 9_000), (60_000, 60_000)], ids=str)
def test_a_huge_picture_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match="pixels"):
        hash_photo(png_of(*size))


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.jpg"
    with file.open("wb") as out:
        out.write(b"\xff\xd8\xff")
        out.truncate(reference.MAX_PHOTO_BYTES + 1)
    with pytest.raises(ImageTooLarge, match="64 MiB"):
        hash_file(file)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_photo_is_hashed_or_refused_and_nothing_else(data: st.DataObject) -> None:
    photo = bytearray(TINY[data.draw(st.sampled_from(sorted(TINY)))])
    for _ in range(data.draw(st.integers(1, 6))):
        photo[data.draw(st.integers(0, len(photo) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UnreadableImage):
        assert hash_photo(bytes(photo)).width > 0


TINY = {
    kind: saved(coffee().resize((24, 16)), kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF")
}


def test_missing_files_and_folders_are_named_as_such(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(UnreadableFile, match="cannot be read") as caught:
            hash_file(path)
        assert caught.value.code == "file-unreadable"


@pytest.mark.parametrize(
    "head",
    [
        MP4_HEAD,
        b"\0\0\0\x14ftypqt  ",
        b"\0\0\0\x18ftyp3gp5",
        b"\x1a\x45\xdf\xa3" + bytes(20),
        b"RIFF\0\0\0\0AVI LIST",
        b"\0\0\x01\xba" + bytes(20),
        b"OggS" + bytes(20),
        b"FLV\x01" + bytes(20),
        b"\0\0\x10\0moov" + bytes(8),
    ],
)
def test_videos_are_known_by_their_first_bytes_whatever_their_name(
    tmp_path: Path, head: bytes
) -> None:
    file = tmp_path / "holiday.jpg"
    file.write_bytes(head)
    found = hash_file(file)
    assert isinstance(found, VideoHashes)
    assert [entry.type for entry in found.entries] == [HashType.MD5, HashType.SHA256]
    assert str(found.entries[1].value) == hashlib.sha256(head).hexdigest()


def test_a_still_picture_of_the_same_family_is_no_video(tmp_path: Path) -> None:
    heic = tmp_path / "photo.mp4"
    heic.write_bytes(HEIC)
    with pytest.raises(UnreadableImage, match="HEIC"):
        hash_file(heic)


def test_a_video_is_read_in_pieces_and_says_how_far_it_is(tmp_path: Path) -> None:
    data = MP4_HEAD + bytes(range(256)) * 10_000
    file = tmp_path / "film.mp4"
    file.write_bytes(data)
    told: list[tuple[int, int]] = []
    found = hash_file(file, lambda done, total: told.append((done, total)))
    assert isinstance(found, VideoHashes)
    assert told == [(2**20, len(data)), (2 * 2**20, len(data)), (len(data), len(data))]
    assert found.size == len(data)
    assert str(found.entries[0].value) == md5_of(data)
