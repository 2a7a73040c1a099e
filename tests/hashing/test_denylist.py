"""The shipped denylist is readable, says where each line is from, and stops what it names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.denylist import SHIPPED, Denylist, load_denylist
from hashing.distance import distance
from hashing.errors import InvalidDenylist
from hashing.quality import Quality, judge
from hashing.reference import Pixels, hash_photo, pdq_entries
from hashing.values import HashType, Pdq, Pdq512, Sha256, parse_hash

PHOTOS = Path(__file__).parents[2] / "infra" / "sandbox" / "photos"


def lines() -> list[tuple[HashType, str, str]]:
    found = []
    for line in SHIPPED.read_text().splitlines():
        if line and not line.startswith("#"):
            hash_type, value, name = line.split(maxsplit=2)
            found.append((HashType(hash_type), value, name))
    return found


def cards() -> Iterator[tuple[str, Pixels]]:
    """The test cards of the denylist, drawn again: 512 x 384, as their lines there name them."""
    y, x = np.mgrid[0:384, 0:512] * 5 // 4  # drawn on 640 x 480
    r = np.hypot(x - 320, y - 240)
    yield "card-colour-bars", colour_bars(x, y)
    yield "card-circles", grey(r % 60 < 30)
    yield "card-star", grey(np.floor(np.arctan2(y - 240, x - 320) / math.pi * 18) % 2)
    yield "card-crosshair", grey((abs(r - 200) < 6) | (abs(x - 320) < 3) | (abs(y - 240) < 3))
    yield "card-zone-plate", grey((1 + np.cos(r * r / 400)) / 2)
    yield "card-corner-squares", grey((abs(x - 320) > 220) & (abs(y - 240) > 140))
    yield "card-grey-steps", grey((x // 80 + y // 240 * (7 - 2 * (x // 80))) / 7)


def grey(lightness: np.ndarray) -> Pixels:
    return np.repeat((lightness * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def colour_bars(x: np.ndarray, y: np.ndarray) -> Pixels:
    """White, yellow, cyan, green, magenta, red, blue; below them a short row in reverse."""
    bar = x * 7 // 640
    bar = np.where(y < 360, bar, 6 - bar)
    code = 7 - bar
    return np.stack([(code >> bit & 1) * 191 for bit in (1, 2, 0)], axis=2).astype(np.uint8)


def test_the_shipped_list_loads_and_holds_what_it_names() -> None:
    denylist = load_denylist(SHIPPED)
    assert len(lines()) >= 15
    for hash_type, value, _ in lines():
        assert denylist.holds(parse_hash(hash_type, value))


def test_every_line_has_a_name_of_its_own_and_a_source_above_it() -> None:
    text = SHIPPED.read_text()
    named = [(hash_type, name.split()[0]) for hash_type, _, name in lines()]
    assert len(set(named)) == len(named)
    for _, name in named:
        source = f"\n# {name.partition('.')[0]}: "
        assert source in text
        assert text.index(source) < text.index(f" {name}")


def test_no_two_pictures_of_the_list_are_one() -> None:
    pictures = [Pdq.parse(value) for hash_type, value, _ in lines() if hash_type is HashType.PDQ]
    close = [1 for i, a in enumerate(pictures) for b in pictures[:i] if distance(a, b) <= 31]
    assert not close


@pytest.mark.parametrize(("name", "pixels"), list(cards()), ids=[name for name, _ in cards()])
def test_a_test_card_drawn_again_is_refused(name: str, pixels: Pixels) -> None:
    denylist = load_denylist(SHIPPED)
    assert {judge(entry, denylist) for entry in pdq_entries(pixels)[::8]} == {Quality.DENYLISTED}


def test_every_test_card_of_the_list_can_be_drawn() -> None:
    drawn = {name: pdq_entries(pixels)[0].value for name, pixels in cards()}
    listed = {name: value for _, value, name in lines() if name.startswith("card-")}
    assert {name: str(value) for name, value in drawn.items()} == listed


@pytest.mark.parametrize("photo", sorted(PHOTOS.glob("*.jpg")), ids=lambda path: path.stem)
def test_the_photos_of_the_demonstration_are_accepted(photo: Path) -> None:
    denylist = load_denylist(SHIPPED)
    assert {judge(entry, denylist) for entry in hash_photo(photo).entries} == {Quality.ACCEPTED}


@given(st.binary(min_size=32, max_size=32), st.sets(st.integers(0, 255), max_size=60))
def test_a_picture_is_held_up_to_31_bits_away(raw: bytes, flips: set[int]) -> None:
    denylist = Denylist.of([Pdq(raw)])
    near = (int.from_bytes(raw) ^ sum(1 << bit for bit in flips)).to_bytes(32)
    assert denylist.holds(Pdq(near)) is (len(flips) <= 31)
    assert denylist.holds(Pdq512(near)) is (len(flips) <= 31)
    assert not denylist.holds(Sha256(raw))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 255))
def test_a_digest_is_held_exactly(raw: bytes, flip: int) -> None:
    denylist = Denylist.of([Sha256(raw)])
    assert denylist.holds(Sha256(raw))
    assert not denylist.holds(Sha256((int.from_bytes(raw) ^ 1 << flip).to_bytes(32)))
    assert not denylist.holds(Pdq(raw))


@pytest.mark.parametrize(
    "bad",
    [
        "pdq",
        "pdq " + "0" * 64,
        "pdq " + "0" * 63 + " short",
        "pdq " + "A" * 64 + " uppercase",
        "sha1 " + "0" * 40 + " unknown-type",
        "vpdq 0,100," + "0" * 64 + ",0.000 not-an-item",
        "\N{SNOWMAN}",
        "\ufeffpdq " + "1" * 64 + " byte-order-mark",
    ],
)
def test_a_bad_line_is_named_by_file_and_number_and_not_repeated(tmp_path: Path, bad: str) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"# fine\n\nmd5 {'1' * 32} fine\n{bad}\n")
    with pytest.raises(InvalidDenylist, match=r"list\.txt:4: ") as caught:
        load_denylist(file)
    assert not any(len(word) > 30 for word in str(caught.value).split(":4: ")[1].split())


def test_bytes_that_are_no_text_are_a_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(b"md5 " + b"1" * 32 + b" fine\n\xff\xfe\x00\n")
    with pytest.raises(InvalidDenylist, match=r"list\.txt:2: "):
        load_denylist(file)


def test_an_empty_list_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("# nothing yet\n\n   \n")
    assert load_denylist(file) == Denylist()
    assert not Denylist().holds(Pdq(bytes(32)))
