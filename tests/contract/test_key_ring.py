"""A sealed value opens where it stands and nowhere else; a tag is of one purpose."""

from __future__ import annotations

import pytest

from app.domain.errors import SealBroken
from partners.ports import KeyRing, Place, Purpose

PLACE = Place("items", "sealed_hashes", "case_a/1")
SECRET = b"f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"


@pytest.mark.parametrize("plaintext", [b"", b"x", SECRET, bytes(100_000)])
def test_what_was_sealed_opens(key_ring: KeyRing, plaintext: bytes) -> None:
    assert key_ring.open(PLACE, key_ring.seal(PLACE, plaintext)) == plaintext


def test_a_seal_shows_nothing_and_is_never_the_same(key_ring: KeyRing) -> None:
    seals = {key_ring.seal(PLACE, SECRET) for _ in range(100)}
    assert len(seals) == 100
    assert not any(SECRET in sealed or SECRET[:8] in sealed for sealed in seals)


@pytest.mark.parametrize(
    "elsewhere",
    [
        Place("items", "sealed_hashes", "case_a/2"),
        Place("items", "sealed_locations", "case_a/1"),
        Place("cases", "sealed_hashes", "case_a/1"),
        Place("itemss", "ealed_hashes", "case_a/1"),
        Place("items", "sealed_hashesc", "ase_a/1"),
        Place("items", "sealed_hashes|case_a", "1"),
        Place("", "items", "sealed_hashescase_a/1"),
    ],
)
def test_a_moved_value_does_not_open(key_ring: KeyRing, elsewhere: Place) -> None:
    with pytest.raises(SealBroken):
        key_ring.open(elsewhere, key_ring.seal(PLACE, SECRET))


def test_an_altered_byte_does_not_open(key_ring: KeyRing) -> None:
    sealed = key_ring.seal(PLACE, SECRET)
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(SealBroken):
            key_ring.open(PLACE, bytes(altered))


def test_a_cut_or_longer_value_does_not_open(key_ring: KeyRing) -> None:
    sealed = key_ring.seal(PLACE, SECRET)
    for wrong in [sealed[:length] for length in range(len(sealed))] + [sealed + b"\x00"]:
        with pytest.raises(SealBroken):
            key_ring.open(PLACE, wrong)


def test_what_is_broken_is_not_quoted(key_ring: KeyRing) -> None:
    sealed = key_ring.seal(PLACE, SECRET)
    with pytest.raises(SealBroken) as broken:
        key_ring.open(Place("items", "sealed_hashes", "case_zzz"), sealed)
    assert "case_" not in str(broken.value)
    assert broken.value.__cause__ is None


def test_tags_are_stable_and_of_one_purpose(key_ring: KeyRing) -> None:
    tags = {key_ring.tag(purpose, SECRET) for purpose in Purpose}
    assert len(tags) == len(Purpose)
    assert {len(tag) for tag in tags} == {32}
    assert key_ring.tag(Purpose.AUDIT, SECRET) == key_ring.tag(Purpose.AUDIT, SECRET)
    assert key_ring.tag(Purpose.AUDIT, SECRET) != key_ring.tag(Purpose.AUDIT, SECRET + b"\x00")
