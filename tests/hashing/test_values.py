"""Values parse strictly, print back what they parsed, and pack into one form and back."""

from __future__ import annotations

import string
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashing.errors import HashError, InvalidEntry, InvalidHash, InvalidPacking
from hashing.values import (
    ITEM_TYPES,
    AnyHash,
    HashEntry,
    HashType,
    HashValue,
    Md5,
    Pdq,
    Pdq512,
    Sha256,
    Vpdq,
    count,
    pack,
    parse_hash,
    primary,
    unpack,
)
from hashing.video import VpdqFrame

KINDS = sorted(ITEM_TYPES.items())
SINGLES: list[type[HashValue]] = [Pdq, Pdq512, Md5, Sha256]
VARIANTS = st.from_regex(r"[a-z0-9][a-z0-9.+-]{0,39}", fullmatch=True)


@st.composite
def singles(draw: st.DrawFn) -> HashValue:
    kind = draw(st.sampled_from(SINGLES))
    return kind(draw(st.binary(min_size=kind.size, max_size=kind.size)))


@st.composite
def videos(draw: st.DrawFn) -> Vpdq:
    raws = draw(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=5))
    qualities = [draw(st.integers(0, 100)) for _ in raws]
    frames = (
        VpdqFrame(30 * n, quality, Pdq(raw), 1001 * n)
        for n, (raw, quality) in enumerate(zip(raws, qualities, strict=True))
    )
    return Vpdq(tuple(frames))


def values() -> st.SearchStrategy[HashValue | Vpdq]:
    return singles() | videos()


@st.composite
def entries(draw: st.DrawFn) -> HashEntry:
    value = draw(values())
    assert isinstance(value, Pdq | Md5 | Sha256 | Vpdq)
    quality = draw(st.integers(0, 100)) if isinstance(value, Pdq) else None
    return HashEntry(value.type, value, quality, draw(VARIANTS))


@given(values())
def test_what_is_printed_parses_to_the_same(value: AnyHash) -> None:
    assert parse_hash(value.type, str(value)) == value
    assert str(type(value).parse(str(value))) == str(value)


@given(st.sampled_from(SINGLES), st.text(max_size=70))
@example(Pdq, "")
def test_any_text_is_refused_or_printed_back(kind: type[HashValue], text: str) -> None:
    try:
        assert str(parse_hash(kind.type, text)) == text
    except InvalidHash:
        canonical = set(text) <= set("0123456789abcdef") and len(text) == 2 * kind.size
        assert not canonical


HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEX.upper(), "lowercase"),
        (HEX[:-1] + "F", "lowercase"),
        (HEX[:-1], "64 hexadecimal digits"),
        (HEX + "0", "64 hexadecimal digits"),
        ("", "64 hexadecimal digits"),
        (HEX[:-1] + "g", "hexadecimal digits only"),
        (HEX[:-2] + " 0", "hexadecimal digits only"),
        (HEX[:31] + "  " + HEX[33:], "hexadecimal digits only"),
        (HEX[:-1] + "\n", "hexadecimal digits only"),
        ("\N{FULLWIDTH DIGIT ONE}" * 64, "hexadecimal digits only"),
        ("\ud800" * 64, "hexadecimal digits only"),
        ("\0" * 64, "hexadecimal digits only"),
        ("0x" + HEX[2:], "hexadecimal digits only"),
        (None, "must be text"),
        (7, "must be text"),
        (HEX.encode(), "must be text"),
        ([HEX], "must be text"),
    ],
)
@pytest.mark.parametrize("kind", [Pdq, Pdq512, Sha256])
def test_a_refusal_names_the_reason_and_never_the_value(
    kind: type[HashValue], text: str, reason: str
) -> None:
    with pytest.raises(InvalidHash, match=reason) as caught:
        kind.parse(text)
    assert caught.value.code == "hash-invalid"
    assert "0123" not in str(caught.value)


def test_every_type_may_be_of_an_item_and_a_video_is_no_single_hash() -> None:
    assert set(ITEM_TYPES) == set(HashType)
    with pytest.raises(InvalidHash, match="vpdq"):
        parse_hash(HashType.VPDQ, HEX)


@given(st.lists(entries(), max_size=4), videos())
def test_every_frame_of_a_video_counts_as_one_hash(some: list[HashEntry], video: Vpdq) -> None:
    more = HashEntry(HashType.VPDQ, video, None, "original")
    assert count([*some, more]) == count(some) + len(video.frames)


@pytest.mark.parametrize("kind", [Pdq, Pdq512, Md5, Sha256])
@pytest.mark.parametrize("off", [-1, 1])
def test_a_value_cannot_be_made_with_another_length(kind: type[HashValue], off: int) -> None:
    with pytest.raises(InvalidHash):
        kind(bytes(kind.size + off))


def test_values_of_different_types_differ_and_hide_in_reprs() -> None:
    raw = bytes.fromhex(HEX)
    assert len({Pdq(raw), Pdq512(raw), Sha256(raw), Pdq(raw)}) == 3
    assert Pdq(raw) != Pdq512(raw)
    entry = HashEntry(HashType.PDQ, Pdq(raw), 90, "original")
    assert "0123" not in repr(entry)
    assert "\\x" not in repr(entry)


def test_values_cannot_be_changed() -> None:
    value = Pdq.parse(HEX)
    with pytest.raises(AttributeError):
        value.raw = bytes(32)  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        value.note = "x"  # type: ignore[attr-defined]


def test_bit_k_weighs_two_to_the_k() -> None:
    assert Pdq.parse("0" * 63 + "1").bits == 1
    assert Pdq.parse("8" + "0" * 63).bits == 1 << 255


@pytest.mark.parametrize("quality", [None, -1, 101, 50.0, True, "50", float("nan")])
def test_pdq_needs_a_whole_quality_from_0_to_100(quality: int) -> None:
    with pytest.raises(InvalidEntry, match="quality"):
        HashEntry(HashType.PDQ, Pdq.parse(HEX), quality, "original")


@pytest.mark.parametrize("quality", [0, 50, 100])
def test_the_ends_of_quality_are_taken_and_digests_have_none(quality: int) -> None:
    assert HashEntry(HashType.PDQ_512, Pdq512.parse(HEX), quality, "a").quality == quality
    with pytest.raises(InvalidEntry, match="quality"):
        HashEntry(HashType.SHA256, Sha256.parse(HEX), quality, "original")


def test_an_entry_and_its_value_have_one_type() -> None:
    with pytest.raises(InvalidEntry, match="not pdq"):
        HashEntry(HashType.PDQ, Pdq512.parse(HEX), 100, "original")


@pytest.mark.parametrize(
    "variant", ["", "-a", "+a", ".a", "A", "a b", "a\n", "é", "a" * 41, "a_b", "../a"]
)
def test_a_variant_name_outside_the_pattern_is_refused(variant: str) -> None:
    with pytest.raises(InvalidEntry, match="variant") as caught:
        HashEntry(HashType.PDQ, Pdq.parse(HEX), 100, variant)
    assert caught.value.code == "hash-entry-invalid"


@pytest.mark.parametrize("variant", ["a", "9", "a" * 40, "crop-5.5-4-0-0.rotate90"])
def test_a_variant_name_within_the_pattern_is_taken(variant: str) -> None:
    assert HashEntry(HashType.PDQ, Pdq.parse(HEX), 100, variant).variant == variant


def entry(hash_type: HashType, variant: str = "original") -> HashEntry:
    digits = 32 if hash_type is HashType.MD5 else 64
    value = parse_hash(hash_type, HEX[:digits])
    return HashEntry(hash_type, value, 90 if isinstance(value, Pdq) else None, variant)


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ([entry(HashType.PDQ)], 0),
        ([entry(HashType.MD5), entry(HashType.SHA256), entry(HashType.PDQ)], 2),
        ([entry(HashType.PDQ, "flipy"), entry(HashType.MD5), entry(HashType.SHA256)], 2),
        ([entry(HashType.PDQ_512), entry(HashType.MD5)], 1),
        ([entry(HashType.PDQ_512), entry(HashType.PDQ, "flipy")], 0),
        ([entry(HashType.SHA256, "second"), entry(HashType.SHA256)], 0),
    ],
)
def test_the_primary_hash_is_the_best_known_one(given: list[HashEntry], at: int) -> None:
    assert primary(given) is given[at]


def test_nothing_has_no_primary_hash() -> None:
    with pytest.raises(InvalidEntry):
        primary([])


@given(st.lists(entries(), max_size=12))
def test_packed_entries_come_back_as_they_were(given_entries: list[HashEntry]) -> None:
    assert unpack(pack(given_entries)) == tuple(given_entries)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x01")
@example(b"\x01\x00\x00")
@example(b"\x01\xff\xff")
@example(b"\x01\x00\x01\x03\xff\x00" + bytes(16))  # no variant name
@example(b"\x01\x00\x01\x03\x05\x01a" + bytes(16))  # a digest with a quality
@example(b"\x01\x00\x01\x01\x65\x01a" + bytes(32))  # quality 101
@example(b"\x01\x00\x01\x01\x00\x01\xff" + bytes(32))  # not ASCII
def test_rubbish_is_refused_or_was_packed_like_that(rubbish: bytes) -> None:
    assert repacked(rubbish) in (None, rubbish)


def repacked(packed: bytes) -> bytes | None:
    try:
        return pack(unpack(packed))
    except InvalidPacking:
        return None


@given(st.lists(entries(), min_size=1, max_size=4), st.data())
def test_a_damaged_packing_is_refused_or_another_valid_one(
    given_entries: list[HashEntry], data: st.DataObject
) -> None:
    packed = bytearray(pack(given_entries))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] ^= data.draw(st.integers(1, 255))
    assert repacked(bytes(packed)) in (None, packed)


@given(st.lists(entries(), max_size=4), st.integers(1, 40))
def test_a_packing_cut_short_or_made_longer_is_refused(given: list[HashEntry], by: int) -> None:
    packed = pack(given)
    for wrong in (packed[:-by], packed + bytes(by)):
        with pytest.raises(InvalidPacking):
            unpack(wrong)


def test_the_packed_form_does_not_change() -> None:
    """What was sealed last year must open next year."""
    fixed = pack([entry(HashType.MD5, "file"), entry(HashType.PDQ)])
    head = "010002" + "03ff04" + b"file".hex() + HEX[:32]
    assert fixed.hex() == head + "015a08" + b"original".hex() + HEX
    frame = VpdqFrame(30, 90, Pdq.parse(HEX), 1001)
    film = HashEntry(HashType.VPDQ, Vpdq((frame,)), None, "original")
    packed = "05ff08" + b"original".hex() + "0001" + "0000001e" + "00000003e9" + "5a" + HEX
    assert pack([film]).hex() == "010001" + packed


def test_more_entries_than_the_count_can_say_are_refused() -> None:
    with pytest.raises(InvalidPacking, match="too many"):
        pack([entry(HashType.MD5)] * 65_536)
    assert len(unpack(pack([entry(HashType.MD5)] * 300))) == 300


def test_the_server_side_imports_neither_numpy_nor_a_decoder() -> None:
    """Only index and reference may; the service must start fast and decode nothing."""
    check = (
        "import sys, hashing.values, hashing.video, hashing.quality, hashing.denylist\n"
        "print([name for name in ('numpy', 'PIL', 'pdqhash') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", check], check=True, capture_output=True, text=True
    )
    assert answer.stdout.strip() == "[]"


def test_codes_of_errors_are_distinct() -> None:
    codes = [error.code for error in _tree(HashError)]
    assert len(set(codes)) == len(codes)
    assert all(set(code) <= set(string.ascii_lowercase + "-") for code in codes)


def _tree(error: type[HashError]) -> list[type[HashError]]:
    return [error, *(deeper for below in error.__subclasses__() for deeper in _tree(below))]
