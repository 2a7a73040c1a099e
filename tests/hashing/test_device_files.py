"""In Chromium, from a chosen file to hashes or to a kind refusal, and how hashing stops."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
import pytest
from PIL import Image, ImageCms

from tests.js import pictures
from tests.js.device_engines import chromium_page, run_node
from tests.js.photographs import photograph
from tests.vectors.make_clip import CLIP

pytestmark = pytest.mark.browser

HASH = """async ([name, options]) => {
    const { DeviceHasher } = await import("/hashing/device/hasher.js");
    const file = new File([await (await fetch(`/extra/${name}`)).blob()], name);
    const hasher = new DeviceHasher();
    const progress = [];
    try {
        const onProgress = (share) => progress.push(share);
        const result = await hasher.hash(file, { ...options, onProgress });
        return { result, progress };
    } catch (error) {
        return { code: error.code, sentence: error.message };
    } finally {
        hasher.close();
    }
}"""


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def a_photo() -> Image.Image:
    return Image.fromarray(photograph("skimage/chelsea.png"))


def turned_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(a_photo().transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)


def with_a_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    del profile
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The same profile with red and blue changing places: whoever obeys it sees other colours.
    swapped = (
        wide.replace(b"rXYZ", b"tmpX", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"tmpX", b"bXYZ", 1)
    )
    return encoded(a_photo(), "PNG", icc_profile=swapped)


def half_transparent() -> bytes:
    picture = a_photo().convert("RGBA")
    # No straight edge: PDQ does not see what is the same all along a row or a column.
    alpha = Image.radial_gradient("L").resize(picture.size)
    picture.putalpha(alpha.point(lambda value: 255 if value < 120 else 0))
    return encoded(picture, "PNG")


def moving_gif() -> bytes:
    frames = [Image.fromarray(pictures.noise((40, 40), seed)).convert("P") for seed in range(3)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def moving(form: str) -> bytes:
    frames = [Image.fromarray(pictures.noise((40, 40), seed)) for seed in range(3)]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:])


FILES: dict[str, Callable[[], bytes]] = {
    "photo.png": lambda: encoded(a_photo(), "PNG"),
    "photo.jpg": lambda: encoded(a_photo(), "JPEG", quality=90),
    "photo.webp": lambda: encoded(a_photo(), "WEBP", lossless=True),
    "photo.gif": lambda: encoded(a_photo().convert("P"), "GIF"),
    "photo.bmp": lambda: encoded(a_photo(), "BMP"),
    "photo.avif": lambda: encoded(a_photo(), "AVIF", quality=90),
    "trailing.jpg": lambda: encoded(a_photo(), "JPEG", quality=90) + b"\0" * 999,
    "exif.jpg": turned_by_exif,
    "profile.png": with_a_profile,
    "transparent.png": half_transparent,
    "empty.jpg": lambda: b"",
    "text.jpg": lambda: b"This is not a photo at all, only words that say so.\n" * 20,
    "short.jpg": lambda: b"\xff\xd8\xff",
    "truncated.jpg": lambda: encoded(a_photo(), "JPEG")[:9000],
    "truncated.png": lambda: encoded(a_photo(), "PNG")[:90000],
    "truncated.webp": lambda: encoded(a_photo(), "WEBP")[:5000],
    "truncated.gif": lambda: encoded(a_photo().convert("P"), "GIF")[:9000],
    "garbled.png": lambda: encoded(a_photo(), "PNG").replace(b"IDAT", b"\0\0\0\0", 1),
    "pixel.png": lambda: encoded(Image.new("RGB", (1, 1), "red"), "PNG"),
    "moving.gif": moving_gif,
    "moving.webp": lambda: moving("WEBP"),
    "moving.png": lambda: moving("PNG"),
    "photo.heic": lambda: b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + b"\0" * 4000,
    "flat.png": lambda: encoded(Image.new("RGB", (300, 200), "navy"), "PNG"),
    "huge.png": lambda: encoded(Image.new("1", (9000, 9000)), "PNG"),
    "clip.mp4": CLIP.read_bytes,
    "large.jpg": lambda: encoded(a_photo().resize((4000, 3000)), "JPEG", quality=80),
}

REFUSED = {
    "empty.jpg": "empty_file",
    "text.jpg": "unknown_kind",
    "short.jpg": "damaged_picture",
    "truncated.jpg": "damaged_picture",
    "truncated.png": "damaged_picture",
    "truncated.webp": "damaged_picture",
    "truncated.gif": "damaged_picture",
    "garbled.png": "damaged_picture",
    "pixel.png": "tiny_picture",
    "moving.gif": "animated_picture",
    "moving.webp": "animated_picture",
    "moving.png": "animated_picture",
    "photo.heic": "heic_picture",
    "flat.png": "plain_picture",
    "huge.png": "huge_picture",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    for name, make in FILES.items():
        (path / name).write_bytes(make())
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Any]:
    with chromium_page(folder) as opened:
        yield opened


def value_of(picture: Image.Image) -> int:
    bits, _ = pdqhash.compute(np.asarray(picture.convert("RGB")))
    return int("".join(map(str, bits)), 2)


def own_hash(page: Any, name: str) -> int:
    answer = page.evaluate(HASH, [name, {"budget": 1}])
    return int(answer["result"]["variants"][0]["hex"], 16)


@pytest.mark.parametrize("name", ["photo.png", "photo.webp", "photo.bmp", "profile.png"])
def test_a_lossless_photo_has_the_reference_s_hash(page: Any, name: str) -> None:
    assert own_hash(page, name) == value_of(a_photo())


@pytest.mark.parametrize("name", ["photo.jpg", "trailing.jpg", "photo.gif", "photo.avif"])
def test_a_lossy_photo_has_nearly_the_same_hash(page: Any, name: str) -> None:
    assert (own_hash(page, name) ^ value_of(a_photo())).bit_count() <= 16


def test_a_photo_lying_on_its_side_is_set_upright(page: Any) -> None:
    assert (own_hash(page, "exif.jpg") ^ value_of(a_photo())).bit_count() <= 8


def test_transparency_is_seen_on_white(page: Any, folder: Path) -> None:
    seen = Image.open(folder / "transparent.png")
    white = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    assert (own_hash(page, "transparent.png") ^ value_of(white)).bit_count() <= 4


def test_everything_about_a_photo_in_one_answer(page: Any, folder: Path) -> None:
    answer = page.evaluate(HASH, ["photo.jpg", {"budget": 64}])
    result = answer["result"]
    data = (folder / "photo.jpg").read_bytes()
    assert set(result) == {"kind", "md5", "sha256", "pdq512", "variants"}
    assert result["sha256"] == hashlib.sha256(data).hexdigest()
    assert result["md5"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert len(result["variants"]) == 64
    assert answer["progress"] == sorted(answer["progress"])
    assert answer["progress"][-1] == 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_hashed_is_turned_away_kindly(page: Any, name: str) -> None:
    answer = page.evaluate(HASH, [name, {}])
    assert answer.get("code") == REFUSED[name]
    assert answer["sentence"].endswith((".", "?"))


def test_one_bad_file_among_many_spoils_nothing(page: Any) -> None:
    answers = page.evaluate(
        """async (names) => {
            const { DeviceHasher } = await import("/hashing/device/hasher.js");
            const hasher = new DeviceHasher();
            const answers = [];
            for (const name of names) {
                const file = await (await fetch(`/extra/${name}`)).blob();
                const hashed = hasher.hash(file, { budget: 2 });
                answers.push(await hashed.then((result) => result.kind, (error) => error.code));
            }
            hasher.close();
            return answers;
        }""",
        ["photo.png", "truncated.jpg", "photo.jpg", "empty.jpg", "photo.webp"] * 20,
    )
    assert answers == ["photo", "damaged_picture", "photo", "empty_file", "photo"] * 20


def test_a_browser_that_makes_up_pixels_is_found_out(folder: Path) -> None:
    with chromium_page(folder) as page:
        answer = page.evaluate(
            """async () => {
                const honest = OffscreenCanvasRenderingContext2D.prototype.getImageData;
                OffscreenCanvasRenderingContext2D.prototype.getImageData = function (...where) {
                    const image = honest.apply(this, where);
                    image.data[4 * 777] ^= 1;
                    return image;
                };
                const { checkReadBack } = await import("/hashing/device/decode.js");
                return checkReadBack().then(() => "fine", (error) => error.code);
            }"""
        )
        assert answer == "hidden_pixels"


def test_without_a_worker_the_page_hashes_and_stays_awake(folder: Path) -> None:
    with chromium_page(folder) as page:
        answer = page.evaluate(
            """async () => {
                globalThis.Worker = class { constructor() { throw new Error("no"); } };
                const { DeviceHasher } = await import("/hashing/device/hasher.js");
                const file = await (await fetch("/extra/large.jpg")).blob();
                let turns = 0;
                const timer = setInterval(() => turns++, 1);
                const seen = [];
                const onProgress = (share) => seen.push([share, turns]);
                const result = await new DeviceHasher().hash(file, { budget: 8, onProgress });
                clearInterval(timer);
                return { hashes: result.variants.length, seen };
            }"""
        )
    assert answer["hashes"] == 8
    # While rows were read, four fifths of the work, the page had its turn again and again.
    turns = {turn for share, turn in answer["seen"] if share < 0.8}
    assert len(turns) >= 3


def test_with_a_worker_the_page_never_waits(page: Any) -> None:
    longest = page.evaluate(
        """async () => {
            const { DeviceHasher } = await import("/hashing/device/hasher.js");
            const file = await (await fetch("/extra/large.jpg")).blob();
            const hasher = new DeviceHasher();
            await hasher.hash(file, { budget: 1 });
            let longest = 0, last = performance.now();
            const timer = setInterval(() => {
                longest = Math.max(longest, performance.now() - last);
                last = performance.now();
            }, 5);
            await hasher.hash(file, { budget: 64 });
            clearInterval(timer);
            hasher.close();
            return longest;
        }"""
    )
    assert longest < 500


@pytest.mark.parametrize("name", ["photo.png", "clip.mp4", "text.jpg"])
def test_a_sandboxed_frame_without_network_hashes_all_the_same(page: Any, name: str) -> None:
    answer = page.evaluate(
        """async (name) => {
            const file = await (await fetch(`/extra/${name}`)).blob();
            const frame = document.createElement("iframe");
            frame.sandbox = "allow-scripts";
            frame.src = "/tests/js/frame.html";
            const heard = () => new Promise((resolve) => {
                addEventListener("message", ({ data }) => resolve(data), { once: true });
            });
            const ready = heard();
            document.body.append(frame);
            await ready;
            const answer = heard();
            frame.contentWindow.postMessage({ file, budget: 16 }, "*");
            const said = await answer;
            frame.remove();
            return said;
        }""",
        name,
    )
    assert answer["origin"] == "null"
    assert answer["offline"] is True
    if name == "photo.png":
        variants = answer["result"]["variants"]
        assert int(variants[0]["hex"], 16) == value_of(a_photo())
        assert len(variants) == 16
    elif name == "clip.mp4":
        assert answer["result"]["vpdq"].count("\n") == 6
    else:
        assert answer["code"] == "unknown_kind"


@pytest.mark.slow
def test_a_photo_of_48_megapixels(tmp_path: Path) -> None:
    a_photo().resize((8000, 6000)).save(tmp_path / "photo.jpg", quality=80)
    with chromium_page(tmp_path) as page:
        made = own_hash(page, "photo.jpg")
    assert (made ^ value_of(Image.open(tmp_path / "photo.jpg"))).bit_count() <= 8


@pytest.mark.parametrize("worker", [True, False], ids=["worker", "page"])
def test_a_stop_is_heard_at_once_and_the_next_file_works(folder: Path, worker: bool) -> None:
    with chromium_page(folder) as page:
        answer = page.evaluate(
            """async (worker) => {
                if (!worker) globalThis.Worker = class { constructor() { throw new Error("no"); } };
                const { DeviceHasher } = await import("/hashing/device/hasher.js");
                const hasher = new DeviceHasher();
                const large = await (await fetch("/extra/large.jpg")).blob();
                const stop = new AbortController();
                let asked = 0;
                const onProgress = () => { asked ||= performance.now(); stop.abort(); };
                const codeOf = (options) =>
                    hasher.hash(large, options).catch((error) => error.code);
                const code = await codeOf({ signal: stop.signal, onProgress });
                const waited = performance.now() - asked;
                const gone = await codeOf({ signal: AbortSignal.abort() });
                const small = await (await fetch("/extra/photo.png")).blob();
                const next = await hasher.hash(small, { budget: 3 });
                return { code, waited, gone, next: next.variants.length };
            }""",
            worker,
        )
    assert answer["code"] == answer["gone"] == "stopped"
    assert answer["waited"] < 1500
    assert answer["next"] == 3


def test_a_missing_end_is_noticed_whatever_the_browser_makes_of_it(folder: Path) -> None:
    kinds = ("jpg", "png", "webp", "gif")
    names = [f"{state}.{kind}" for kind in kinds for state in ("photo", "truncated")]
    seen = run_node("sniff_files.mjs", *(folder / name for name in [*names, "trailing.jpg"]))
    assert [answer["whole"] for answer in seen] == [True, False] * 4 + [True]
    assert all(answer["kind"] == "picture" for answer in seen)
    assert (seen[0]["width"], seen[0]["height"]) == a_photo().size


def test_damaged_files_of_every_kind_are_no_surprise(folder: Path) -> None:
    kinds = ("jpg", "png", "webp", "gif", "bmp", "avif")
    report = run_node("broken_pictures.mjs", *(folder / f"photo.{kind}" for kind in kinds))
    assert report["tried"] == 2400
    assert report["surprises"] == []
    assert {"picture", "unknown"} <= set(report["kinds"])


def syllables(word: str) -> int:
    vowels = re.findall(r"[aeiouy]+", re.sub(r"(?<=[^aeioul])es?$", "", word.lower()))
    return max(1, len(vowels))


def reading_grade(text: str) -> float:
    """Flesch-Kincaid grade, syllables counted as groups of vowels."""
    words = re.findall(r"[A-Za-z']+", text)
    sentences = len(re.findall(r"[.?]", text))
    return 0.39 * len(words) / sentences + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


def test_the_words_of_every_refusal_are_easy() -> None:
    sentences: dict[str, str] = run_node("refusal_sentences.mjs")
    assert len(sentences) >= 13
    for code, sentence in sentences.items():
        assert reading_grade(sentence) <= 4, (code, sentence)
        assert "!" not in sentence
