"""Which hashes are refused, which are flagged, and which sets can be of one photo."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.denylist import Denylist
from hashing.quality import Quality, hangs_together, judge, suspicious, without_bad_frames
from hashing.reference import Pixels, hash_photo, pdq_entries
from hashing.values import HashEntry, HashType, Md5, Pdq, Pdq512, Sha256, Vpdq
from hashing.video import VpdqFrame

PHOTOS = sorted((Path(__file__).parents[2] / "infra" / "sandbox" / "photos").glob("*.jpg"))
VECTORS = Path(__file__).parents[1] / "vectors"
PHOTO = "2d6b1af3a956c529e79ca3d2526fa834d4196c81cedd04de0a26b855fc99b724"


def pdq(value: str | bytes | int, quality: int = 100, variant: str = "original") -> HashEntry:
    raw = value.to_bytes(32) if isinstance(value, int) else value
    parsed = Pdq(raw) if isinstance(raw, bytes) else Pdq.parse(raw)
    return HashEntry(HashType.PDQ, parsed, quality, variant)


def digest(value: Md5 | Sha256) -> HashEntry:
    return HashEntry(value.type, value, None, "original")


ZEROS, ONES = "0" * 64, "f" * 64


@pytest.mark.parametrize(
    ("entry", "verdict"),
    [
        (pdq(PHOTO), Quality.ACCEPTED),
        (pdq(PHOTO, 50), Quality.ACCEPTED),
        (pdq(PHOTO, 49), Quality.LOW_QUALITY),
        (pdq(PHOTO, 0), Quality.LOW_QUALITY),
        (pdq(ZEROS), Quality.DEGENERATE),
        (pdq(ZEROS, 0), Quality.DEGENERATE),
        (pdq(ONES), Quality.DEGENERATE),
        (pdq("a5" * 32), Quality.DEGENERATE),
        (pdq("aaaa5555" * 8), Quality.DEGENERATE),  # a photo's 128 bits, but a checkerboard's rows
        (pdq("cccccccc33333333" * 4), Quality.DEGENERATE),  # one bright dot
        (pdq("0000000000000001" * 4), Quality.DEGENERATE),
        (HashEntry(HashType.PDQ_512, Pdq512(bytes(32)), 100, "original"), Quality.DEGENERATE),
        (digest(Sha256(hashlib.sha256(b"a file").digest())), Quality.ACCEPTED),
        (digest(Sha256(hashlib.sha256(b"").digest())), Quality.DEGENERATE),
        (digest(Sha256(bytes(32))), Quality.DEGENERATE),
        (digest(Sha256(b"\xff" * 32)), Quality.DEGENERATE),
        (digest(Md5.parse("d41d8cd98f00b204e9800998ecf8427e")), Quality.DEGENERATE),
        (digest(Md5.parse("d41d8cd98f00b204e9800998ecf8427f")), Quality.ACCEPTED),
        (digest(Md5(bytes(16))), Quality.DEGENERATE),
    ],
)
def test_verdicts(entry: HashEntry, verdict: Quality) -> None:
    assert judge(entry, Denylist()) is verdict


def test_a_denylisted_picture_of_good_quality_is_denylisted() -> None:
    denylist = Denylist.of([Pdq.parse(PHOTO), Sha256(bytes(31) + b"\1")])
    assert judge(pdq(PHOTO), denylist) is Quality.DENYLISTED
    assert judge(pdq(PHOTO, 49), denylist) is Quality.LOW_QUALITY
    assert judge(digest(Sha256(bytes(31) + b"\1")), denylist) is Quality.DENYLISTED
    assert judge(digest(Sha256(bytes(31) + b"\2")), denylist) is Quality.ACCEPTED


KNOWN_PICTURE = "1f2e" * 16
FRAMES = {
    "good": (PHOTO, 90),
    "dull": (PHOTO, 49),
    "black": (ZEROS, 90),
    "known": (KNOWN_PICTURE, 90),
}
KNOWN = Denylist.of([Pdq.parse(KNOWN_PICTURE)])


def video(kinds: list[str]) -> HashEntry:
    frames = [
        VpdqFrame(at, FRAMES[kind][1], Pdq.parse(FRAMES[kind][0]), at)
        for at, kind in enumerate(kinds)
    ]
    return HashEntry(HashType.VPDQ, Vpdq(tuple(frames)), None, "original")


@given(st.lists(st.sampled_from(sorted(FRAMES)), min_size=1, max_size=12))
def test_bad_frames_are_left_out_unless_all_are(kinds: list[str]) -> None:
    before = video(kinds)
    after = without_bad_frames(before, KNOWN)
    assert isinstance(before.value, Vpdq)
    assert isinstance(after.value, Vpdq)
    good = tuple(f for f, kind in zip(before.value.frames, kinds, strict=True) if kind == "good")
    assert after.value.frames == (good or before.value.frames)
    assert (judge(after, KNOWN) is Quality.ACCEPTED) is (good != ())


def test_what_is_no_video_keeps_what_it_is() -> None:
    assert without_bad_frames(pdq(ZEROS), KNOWN) == pdq(ZEROS)


@given(st.sets(st.integers(0, 255), max_size=256))
def test_bit_counts_are_accepted_flagged_and_refused_in_bands(bits: set[int]) -> None:
    value = sum(1 << bit for bit in bits)
    off = abs(len(bits) - 128)
    entry = pdq(value)
    assert suspicious(entry) is (off > 16)
    if off > 32:
        assert judge(entry, Denylist()) is Quality.DEGENERATE


@pytest.mark.parametrize("count", [112, 120, 141, 144])
def test_bit_counts_seen_in_real_exchanges_are_not_flagged(count: int) -> None:
    generator = np.random.default_rng(count)
    value = sum(1 << int(bit) for bit in generator.choice(256, count, replace=False))
    assert not suspicious(pdq(value))
    assert judge(pdq(value), Denylist()) is Quality.ACCEPTED


def test_digests_are_never_suspicious() -> None:
    assert not suspicious(digest(Sha256(bytes(32))))


@pytest.mark.parametrize("size", [(5, 5), (33, 65), (64, 64), (100, 100), (128, 128), (300, 200)])
def test_flat_pictures_are_refused_even_when_they_claim_quality(size: tuple[int, int]) -> None:
    verdicts: Counter[Quality] = Counter()
    for lightness in range(0, 256, 5):
        entry = pdq_entries(np.full((*size, 3), lightness, np.uint8))[0]
        assert judge(entry, Denylist()) is not Quality.ACCEPTED
        verdicts[judge(replace(entry, quality=100), Denylist())] += 1
    assert verdicts[Quality.DEGENERATE] >= 0.7 * verdicts.total()


def drawn() -> dict[str, Pixels]:
    y, x = np.mgrid[0:512, 0:512]
    shapes = {
        "checks": (x // 32 + y // 32) % 2,
        "quarters": (x < 256) ^ (y < 256),
        "border": (x < 4) | (y < 4) | (x > 507) | (y > 507),
    }
    return {
        name: np.repeat((shape * 255).astype(np.uint8)[:, :, None], 3, 2)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("name", drawn())
def test_plain_patterns_of_full_quality_and_128_bits_are_degenerate(name: str) -> None:
    entry = pdq_entries(drawn()[name])[0]
    assert entry.quality == 100
    assert not suspicious(entry)
    assert judge(entry, Denylist()) is Quality.DEGENERATE


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda path: path.stem)
def test_photos_are_accepted_unsuspicious_and_hang_together(photo: Path) -> None:
    entries = hash_photo(photo).entries
    assert {judge(entry, Denylist()) for entry in entries} == {Quality.ACCEPTED}
    assert not any(map(suspicious, entries))
    assert hangs_together(entries)
    assert hangs_together(entries[::-1])


@pytest.mark.parametrize("size", [(6, 9), (63, 64), (64, 64), (64, 65), (200, 127), (600, 520)])
def test_noise_of_any_size_hangs_together(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)
    assert hangs_together(pdq_entries(noise))


EIGHT = hash_photo(PHOTOS[0]).entries[:8]


@given(st.integers(1, 7), st.binary(min_size=32, max_size=32))
def test_a_stranger_among_the_variants_shows(place: int, raw: bytes) -> None:
    entries = list(EIGHT)
    entries[place] = replace(entries[place], value=Pdq(raw))
    assert not hangs_together(entries)
    assert not hangs_together([entries[0], entries[place]])


@given(st.integers(1, 7))
def test_the_original_under_another_name_shows(place: int) -> None:
    assert not hangs_together([EIGHT[0], replace(EIGHT[0], variant=EIGHT[place].variant)])


@pytest.mark.parametrize("pair", [(0, 6), (1, 5), (2, 7), (3, 4)])
@pytest.mark.parametrize(("wrong", "hangs"), [(0, True), (64, True), (65, False)])
def test_transpositions_are_known_without_the_original(
    pair: tuple[int, int], wrong: int, hangs: bool
) -> None:
    one, other = (EIGHT[place] for place in pair)
    assert isinstance(other.value, Pdq)
    value = Pdq((other.value.bits ^ (1 << wrong) - 1).to_bytes(32))
    assert hangs_together([one, replace(other, value=value)]) is hangs


def test_edits_and_profiles_are_groups_of_their_own() -> None:
    cropped = [replace(entry, variant=f"tilt+2.5.{entry.variant}") for entry in EIGHT[1:]]
    edit = replace(EIGHT[0], variant="tilt+2.5")
    other = hash_photo(PHOTOS[1]).entries[:8]
    assert hangs_together([*other, edit, *cropped])
    assert not hangs_together([*other, replace(edit, value=other[0].value), *cropped])
    shrunk = [
        HashEntry(HashType.PDQ_512, Pdq512(entry.value.raw), 100, entry.variant) for entry in other
    ]
    assert hangs_together([*EIGHT, *shrunk])


def test_what_says_nothing_of_orientation_hangs_together() -> None:
    assert hangs_together([])
    assert hangs_together([pdq(PHOTO), pdq(ONES, variant="crop-5-5-5-5"), digest(Md5(b"a" * 16))])
    assert hangs_together([pdq(PHOTO, variant="flipx"), pdq(ONES, variant="flipy")])


def test_sets_made_on_the_device_hang_together() -> None:
    """Orientations as hashing/device/variants.js made them, each from a small copy of its own."""
    vectors = json.loads((VECTORS / "variants.json").read_text())["vectors"]
    sets = [
        [pdq(variant["hex"], variant["quality"], variant["name"]) for variant in one["variants"]]
        for one in vectors
    ]
    assert all(map(hangs_together, sets))
