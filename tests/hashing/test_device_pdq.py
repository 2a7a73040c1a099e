"""The on-device PDQ equals the reference in every bit, in node and in Chromium."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.js import numpy_pdq
from tests.js.device_engines import ROOT, Pixels, chromium_page, run_node, write_bundle
from tests.js.pictures import sweep

ORIENTATIONS = (
    "original",
    "rotate90",
    "rotate180",
    "rotate270",
    "flipx",
    "flipy",
    "flipplus1",
    "flipminus1",
)


def hex_of(bits: Any) -> str:
    return f"{int(''.join(map(str, bits)), 2):064x}"


def expected(picture: Pixels) -> dict[str, Any]:
    bits, quality = pdqhash.compute(picture)
    squared, squared_quality = numpy_pdq.hash_of(numpy_pdq.squeezed_luma_of(picture))
    turned = None
    if min(picture.shape[:2]) >= 5:
        turned = dict(
            zip(ORIENTATIONS, map(hex_of, pdqhash.compute_dihedral(picture)[0]), strict=True)
        )
    return {
        "pdq": {"hex": hex_of(bits), "quality": quality},
        "pdq512": {"hex": squared, "quality": squared_quality},
        "dihedral": turned,
    }


@pytest.fixture(scope="module")
def pictures() -> list[tuple[str, Pixels]]:
    return list(sweep())


@pytest.fixture(scope="module")
def bundle(pictures: list[tuple[str, Pixels]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    return write_bundle(folder, [picture for _, picture in pictures])


@pytest.fixture(scope="module")
def wanted(pictures: list[tuple[str, Pixels]]) -> list[dict[str, Any]]:
    return [expected(picture) for _, picture in pictures]


def differing(pictures: list[tuple[str, Pixels]], wanted: list[Any], got: list[Any]) -> list[str]:
    rows = zip(pictures, wanted, got, strict=True)
    return [name for (name, _), want, have in rows if want != have]


def test_the_sweep_is_as_wide_as_promised(pictures: list[tuple[str, Pixels]]) -> None:
    shapes = {picture.shape[:2] for _, picture in pictures}
    assert len(pictures) >= 400
    assert {(1, 1), (4, 5), (5, 5), (64, 64), (512, 512), (3000, 4000)} <= shapes


def test_node_equals_the_reference(
    pictures: list[tuple[str, Pixels]], bundle: Path, wanted: list[dict[str, Any]]
) -> None:
    assert differing(pictures, wanted, run_node("hash_bundle.mjs", bundle)) == []


@pytest.mark.browser
def test_chromium_equals_the_reference(
    pictures: list[tuple[str, Pixels]], bundle: Path, wanted: list[dict[str, Any]]
) -> None:
    with chromium_page(bundle.parent) as page:
        got = page.evaluate(
            """async () => {
                const { hashAtOnce } = await import("/tests/js/hash_bundle.mjs");
                const all = await (await fetch("/extra/pictures.rgba")).blob();
                const answers = [];
                for (const p of await (await fetch("/extra/pictures.json")).json()) {
                    const part = all.slice(p.offset, p.offset + p.width * p.height * 4);
                    const pixels = new Uint8ClampedArray(await part.arrayBuffer());
                    answers.push(hashAtOnce(pixels, p.width, p.height));
                }
                return answers;
            }"""
        )
    assert differing(pictures, wanted, got) == []


def test_the_numpy_reference_equals_pdqhash(pictures: list[tuple[str, Pixels]]) -> None:
    for name, picture in pictures:
        if picture.size > 2_000_000:
            continue
        bits, quality = pdqhash.compute(picture)
        have = numpy_pdq.hash_of(numpy_pdq.luma_of(picture))
        assert have == (hex_of(bits), quality), name


def test_the_embedded_cosines_are_the_c_library_s() -> None:
    text = (ROOT / "hashing" / "device" / "dct64.js").read_text()
    words = np.array([int(word, 16) for word in re.findall(r"0x([0-9a-f]{8}),", text)], np.uint32)
    assert words.tobytes() == numpy_pdq.cosines().tobytes()


def test_hashing_a_picture_of_48_megapixels_needs_little_memory() -> None:
    report = run_node("memory_of_48_megapixels.mjs")
    assert report["grown_mib"] < 64
    assert re.fullmatch("[0-9a-f]{64}", report["hex"])


def test_strips_that_do_not_fit_are_refused() -> None:
    assert run_node("strips_that_do_not_fit.mjs") == ["RangeError"] * 6


@given(st.integers(2, 40), st.integers(1, 2**24 - 1), st.integers(-20, 20))
def test_multiplying_by_the_share_rounds_like_dividing(
    window: int, mantissa: int, exponent: int
) -> None:
    total = np.float32(mantissa) * np.float32(2.0) ** np.float32(exponent)
    assert np.float32(float(total) * (1 / window)) == total / np.float32(window)
