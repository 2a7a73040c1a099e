"""Files that cannot be hashed: kind words, nothing sent, and the way goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from app.web.child.languages import load
from tests.journeys.browser import way
from tests.journeys.browser.world import PHOTO, World

pytestmark = pytest.mark.browser

WORDS = load()["en"].words
MOST = 50


def spoilt(folder: Path) -> dict[str, Path]:
    """A file for each refusal."""
    made = {
        "empty_file": folder / "empty.jpg",
        "unknown_kind": folder / "text.jpg",
        "damaged_picture": folder / "half.jpg",
        "tiny_picture": folder / "dot.png",
        "plain_picture": folder / "flat.png",
        "animated_picture": folder / "moving.gif",
        "heic_picture": folder / "phone.heic",
    }
    made["empty_file"].write_bytes(b"")
    made["unknown_kind"].write_text("This is text, whatever its name says.")
    made["damaged_picture"].write_bytes(PHOTO.read_bytes()[:20_000])
    Image.new("RGB", (1, 1), "red").save(made["tiny_picture"])
    Image.new("RGB", (300, 200), "teal").save(made["plain_picture"])
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(made["animated_picture"], save_all=True, append_images=frames[1:])
    made["heic_picture"].write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64)
    return made


def test_each_spoilt_file_is_refused_in_its_own_words(stage: World, tmp_path: Path) -> None:
    files = spoilt(tmp_path)
    page = stage.page()
    errors = way.errors_of(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    way.to_choose(page)
    before = len(asked)
    way.choose(page, *files.values())
    said = [row.inner_text() for row in page.locator("#files .refused").all()]
    assert said == [WORDS[f"refused.{code}"] for code in files]
    assert len(asked) == before
    way.press_next(page, "choose")
    expect(way.step(page, "choose").locator(".wrong").first).to_have_text(WORDS["choose.none"])
    way.choose(page, PHOTO)
    way.press_next(page, "choose")
    way.step(page, "where")
    assert errors == []


def test_a_hundred_files_at_once(stage: World, tmp_path: Path) -> None:
    files = []
    picture = Image.open(PHOTO).convert("RGB").resize((300, 200))
    for number in range(100):
        files.append(tmp_path / f"{number}.jpg")
        turned = picture.rotate(number * 3)
        turned.save(files[-1], quality=80)
    page = stage.page()
    way.to_choose(page)
    box = page.frame_locator("#box").locator("#file")
    box.set_input_files([str(file) for file in files])
    expect(page.locator("#files .ready")).to_have_count(MOST, timeout=60_000)
    expect(page.locator("#rest")).to_contain_text(str(MOST))
    way.press_next(page, "choose")
    way.press_next(page, "where")
    way.step(page, "check")
    way.send(page)


def test_a_browser_that_hides_pixels_is_told_apart(stage: World) -> None:
    page = stage.context().new_page()
    page.add_init_script(
        """if (location.pathname.startsWith('/box/')) {
          const kind = OffscreenCanvasRenderingContext2D.prototype;
          const real = kind.getImageData;
          kind.getImageData = function (...given) {
            const seen = real.apply(this, given);
            seen.data[5] ^= 1;
            return seen;
          };
        }"""
    )
    page.goto("/en")
    way.to_choose(page)
    way.choose(page, PHOTO)
    expect(page.locator("#files .refused")).to_have_text(WORDS["refused.hidden_pixels"])


def test_one_photo_twice_is_sent_once(stage: World) -> None:
    page = stage.page()
    way.to_choose(page)
    way.choose(page, PHOTO)
    way.choose(page, PHOTO)
    expect(page.locator("#files .refused")).to_have_text(WORDS["choose.same"])
    way.press_next(page, "choose")
    way.press_next(page, "where")
    way.step(page, "check")
    body = json.loads(page.locator("#body").text_content() or "")
    assert len(body["items"]) == 1


def test_a_photo_can_be_taken_off_the_list_again(stage: World) -> None:
    page = stage.page()
    way.to_choose(page)
    way.choose(page, PHOTO)
    page.locator("#files button").click()
    expect(page.locator("#files li")).to_have_count(0)
    expect(way.step(page, "choose").locator("[data-go=next]")).to_be_hidden()
