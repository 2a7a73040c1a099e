"""Photographs every screen of the young person's pages: `python -m docs.screens.make`.

Walks the whole way in a real browser against a real service and two sandbox platforms, at the size
of a phone and of a desk, and in the other languages and in the dark at the size of a phone.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page

from tests.journeys.browser import way
from tests.journeys.browser.world import PHOTO, PHOTOS, World, world

HERE = Path(__file__).parent
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True}
DESK = {"viewport": {"width": 1280, "height": 800}}
SETS: dict[str, dict[str, Any]] = {
    "phone": {**PHONE, "locale": "en-GB"},
    "desk": {**DESK, "locale": "en-GB"},
    "phone-dark": {**PHONE, "color_scheme": "dark", "locale": "en-GB"},
    "phone-cy": {**PHONE, "locale": "cy-GB"},
    "phone-ar": {**PHONE, "locale": "ar"},
}
ANSWERED = {"Picnic": "taken_down", "Postcard": "not_found"}


@dataclass
class Camera:
    """Numbers the pictures in the order they are taken."""

    page: Page
    folder: Path
    taken: int = 0

    def take(self, name: str) -> None:
        """One picture of what is on screen, in 64 colours, which is a third of the size."""
        self.page.wait_for_timeout(450)  # the line at the top moves there
        raw = self.page.screenshot(animations="disabled", caret="hide")
        picture = Image.open(io.BytesIO(raw)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        self.taken += 1
        picture.save(self.folder / f"{self.taken:02}-{name}.png", optimize=True)


def main() -> None:
    """Make the sets that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS), help=", ".join(SETS))
    parser.add_argument("--out", type=Path, default=HERE, help="folder (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="screens-") as name, world(Path(name)) as stage:
        for chosen in options.sets:
            _make(stage, chosen, options.out / chosen)


def _make(stage: World, chosen: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    language = chosen.partition("-")[2] if chosen.endswith(("cy", "ar")) else "en"
    page = stage.page(f"/{language}", **SETS[chosen])
    camera = Camera(page, folder)
    for part in (_side_roads, _before_sending, _sending, _afterwards):
        part(page, camera.take)
    stage.close_contexts()


def _side_roads(page: Page, take: Callable[[str], None]) -> None:
    take("leave")
    way.press_next(page, "leave")
    take("start")
    page.locator("[data-step=start] [data-go=enter]").click()
    way.step(page, "enter")
    take("enter")
    page.locator("[data-step=enter] [data-go=start]").click()
    way.press_next(page, "start")
    take("safe")
    way.press_next(page, "safe")
    page.locator("#age-title").wait_for()
    take("age")
    way.pick(page, "age", "adult")
    take("then")
    way.pick(page, "then", "over")
    take("adult")
    way.step(page, "adult").locator("[data-go=back]").click()
    way.step(page, "then").locator("[data-go=back]").click()


def _before_sending(page: Page, take: Callable[[str], None]) -> None:
    way.pick(page, "age", "13_15")
    take("you")
    way.pick(page, "you", "other")
    take("other")
    way.step(page, "other").locator("[data-go=back]").click()
    way.pick(page, "you", "me")
    way.step(page, "choose")
    take("choose")
    note = Path(tempfile.gettempdir()) / "not-a-photo.jpg"
    note.write_text("This is text.")
    way.choose(page, PHOTO, note)
    take("choose-chosen")
    note.unlink()
    way.press_next(page, "choose")
    way.step(page, "where")
    take("where")


def _sending(page: Page, take: Callable[[str], None]) -> None:
    way.press_next(page, "where")
    way.step(page, "check")
    take("check")
    way.send(page)
    page.locator("#code").evaluate("code => (code.textContent = '4071 5526 9038 1147')")
    take("code")
    page.locator("#kept").click()
    way.step(page, "status")
    way.until_outcomes(page, ANSWERED)
    take("status-answered")


def _afterwards(page: Page, take: Callable[[str], None]) -> None:
    change = page.locator("[data-step=change]")
    page.locator("[data-step=status] [data-go=change]").click()
    take("change")
    for name in ("complain", "talk", "clean", "withdraw"):
        change.locator(f"[data-go={name}]").click()
        take(name)
        way.step(page, name).locator("[data-go=change]").click()
    change.locator("[data-go=add]").click()
    way.choose(page, PHOTOS / "rocket.jpg")
    way.press_next(page, "choose")
    way.step(page, "check").locator("#send").click()
    way.step(page, "added")
    take("added")
    page.locator("#seen").click()
    page.locator("[data-step=status] [data-go=change]").click()
    change.locator("[data-go=withdraw]").click()
    page.locator("#withdraw").click()
    way.step(page, "status")
    way.until_outcomes(page, dict.fromkeys(ANSWERED, "forgotten"))
    take("status-taken-back")


if __name__ == "__main__":
    main()
