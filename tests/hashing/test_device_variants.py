"""Variants made on the device find the copies people make, and say by name how they were made."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
import pytest
from PIL import Image

from tests.js import edits
from tests.js.device_engines import ROOT, chromium_page, run_node, write_bundle
from tests.js.photographs import PHOTOGRAPHS, photograph

Picture = Image.Image
NAME = re.compile(r"^[a-z0-9][a-z0-9.+-]{0,39}$")
UNSEEN = PHOTOGRAPHS[1::2]
VECTORS = ROOT / "tests" / "vectors" / "variants.json"


def _mirrored(picture: Picture) -> Picture:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "crop-3-3-3-3": lambda p: edits.crop(p, 3, 3, 3, 3),
    "crop-0-0-0-10": lambda p: edits.crop(p, 0, 0, 0, 10),
    "crop-6-1-2-4": lambda p: edits.crop(p, 6, 1, 2, 4),
    "border-5-black": lambda p: edits.border(p, 5, "black"),
    "border-3-white": lambda p: edits.border(p, 3, "white"),
    "tilt+2": lambda p: edits.tilt(p, 2),
    "tilt-3": lambda p: edits.tilt(p, -3),
    "straighten+2": lambda p: edits.straighten(p, 2),
    "shape-1-1": lambda p: edits.shape(p, 1, 1),
    "shape-16-9": lambda p: edits.shape(p, 16, 9),
    "bars-9-19.5-black": lambda p: edits.bars(p, 9, 19.5),
    "flipx": lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "flipy": _mirrored,
    "rotate90": lambda p: p.transpose(Image.Transpose.ROTATE_90),
    "rotate180": lambda p: p.transpose(Image.Transpose.ROTATE_180),
    "rotate270": lambda p: p.transpose(Image.Transpose.ROTATE_270),
    "flipplus1": lambda p: p.transpose(Image.Transpose.TRANSPOSE),
    "flipminus1": lambda p: p.transpose(Image.Transpose.TRANSVERSE),
    "crop-4-2-0-0.flipy": lambda p: _mirrored(edits.crop(p, 4, 2, 0, 0)),
    "crop-4-2-0-0.rotate90": lambda p: edits.crop(p, 4, 2, 0, 0).transpose(
        Image.Transpose.ROTATE_90
    ),
}
FOUND: dict[str, Callable[[Picture], Picture]] = {
    "cropped 4%": lambda p: edits.crop(p, 4, 4, 4, 4),
    "mirrored": _mirrored,
    "mirrored and cropped 3%": lambda p: _mirrored(edits.crop(p, 3, 3, 3, 3)),
    "screenshot with bars": lambda p: edits.bars(p, 9, 19.5),
}


def value_of(pixels: Any) -> int:
    return int("".join(map(str, pdqhash.compute(np.asarray(pixels))[0])), 2)


def apart(left: int, right: int) -> int:
    return (left ^ right).bit_count()


def ask(folder: Path, names: tuple[str, ...], request: dict[str, Any]) -> Any:
    index = write_bundle(folder, [photograph(name) for name in names])
    (folder / "request.json").write_text(json.dumps(request))
    return run_node("variants_of_bundle.mjs", index, folder / "request.json")


def test_a_variant_is_the_hash_of_the_copy_its_name_says(tmp_path: Path) -> None:
    made = ask(tmp_path, PHOTOGRAPHS, {"names": list(COPIES)})
    for at, (name, copy) in enumerate(COPIES.items()):
        distances = [
            apart(value_of(copy(Image.fromarray(photograph(photo)))), int(row[at], 16))
            for photo, row in zip(PHOTOGRAPHS, made, strict=True)
        ]
        assert np.median(distances) <= 8, name


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("variants")
    return ask(folder, UNSEEN, {"budgets": [1, 16, 32, 64, 128]})


def test_a_budget_is_kept_and_filled(sent: Any) -> None:
    for photo, answer in zip(UNSEEN, sent, strict=True):
        assert [len(variants) for variants in answer] == [1, 16, 32, 64, 128], photo
        for smaller, larger in pairwise(answer):
            assert larger[: len(smaller)] == smaller


def test_the_first_is_the_photo_s_own_hash_and_all_are_well_formed(sent: Any) -> None:
    for photo, answer in zip(UNSEEN, sent, strict=True):
        variants = answer[-1]
        assert variants[0]["name"] == "original"
        assert int(variants[0]["hex"], 16) == value_of(photograph(photo))
        assert all(NAME.match(variant["name"]) for variant in variants)
        assert all(50 <= variant["quality"] <= 100 for variant in variants)
        assert len({variant["name"] for variant in variants}) == 128


def test_no_two_hashes_of_a_photo_are_nearly_the_same(sent: Any) -> None:
    for answer in sent:
        values = [int(variant["hex"], 16) for variant in answer[3]]
        for at, value in enumerate(values):
            assert min((apart(value, other) for other in values[:at]), default=8) >= 8


@pytest.mark.parametrize("edit", FOUND)
def test_sixty_four_hashes_find_the_copies_of_most_unseen_photos(sent: Any, edit: str) -> None:
    found = own = 0
    for photo, answer in zip(UNSEEN, sent, strict=True):
        copy = FOUND[edit](Image.fromarray(photograph(photo)))
        seen = value_of(edits.as_uploaded(copy))
        distances = [apart(seen, int(variant["hex"], 16)) for variant in answer[3]]
        found += min(distances) <= 31
        own += distances[0] <= 31
    assert found >= 9
    assert own == 0


def test_different_photos_stay_strangers(sent: Any) -> None:
    sets = [[int(variant["hex"], 16) for variant in answer[3]] for answer in sent]
    for at, left in enumerate(sets):
        for right in sets[:at]:
            assert min(apart(a, b) for a in left for b in right) > 45


def test_what_cannot_be_made_is_refused_and_poor_pictures_have_one_hash() -> None:
    report = run_node("misused_variants.mjs")
    assert report["refused"] == ["RangeError"] * 16
    assert [variant["name"] for variant in report["flat"]] == ["original"]
    assert report["flat"][0]["quality"] == 0
    assert report["tiny"] == [{"name": "original", "hex": "0" * 64, "quality": 0}]
    assert report["small"] > 1


def test_the_ladder_is_long_enough_and_without_repeats() -> None:
    text = (ROOT / "hashing" / "device" / "ladder.js").read_text()
    names = re.findall(r'^  "(.+)",$', text, re.MULTILINE)
    assert len(names) == len(set(names)) >= 200
    assert all(NAME.match(name) for name in names)


def test_node_makes_the_variants_of_the_vectors() -> None:
    assert run_node("variant_vectors.mjs") == json.loads(VECTORS.read_text())["vectors"]


@pytest.mark.browser
def test_chromium_makes_the_variants_of_the_vectors() -> None:
    with chromium_page() as page:
        made = page.evaluate(
            """async () => {
                const { variantVectors } = await import("/tests/js/variant_vectors.mjs");
                return variantVectors(await (await fetch("/tests/vectors/pdq.json")).json());
            }"""
        )
    assert made == json.loads(VECTORS.read_text())["vectors"]
