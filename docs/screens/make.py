"""Photographs every screen of the young person's pages: `python -m docs.screens.make`.

Walks the whole way in a real browser against a real service, two sandbox platforms and an age
broker for development, at the size of a phone and of a desk, and in the other languages and in the
dark at the size of a phone.
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
from playwright.sync_api import Page, Route, expect

from tests.hashing import film
from tests.journeys.browser import way
from tests.journeys.browser.world import PHOTO, PHOTOS, World, world
from tests.journeys.processes import ROOT

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
CLIP = ROOT / "tests/vectors/clip.mp4"
ANSWERED = {"Picnic": "taken_down", "Postcard": "not_found"}
UNDER_WAY = 41  # of a hundred: its frames are being read
REDRESS = "https://picnic.example/ask-again"

Take = Callable[[str], None]


@dataclass
class Camera:
    """Numbers the pictures in the order they are taken."""

    page: Page
    folder: Path
    taken: int = 0

    def take(self, name: str) -> None:
        """One picture of what is on screen, in 64 colours, which is a third of the size."""
        self.page.mouse.move(0, 0)  # a button under it would look pressed
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
    with (
        tempfile.TemporaryDirectory(prefix="screens-") as name,
        world(Path(name), with_broker=True) as stage,
    ):
        for chosen in options.sets:
            _make(stage, chosen, options.out / chosen)


def _make(stage: World, chosen: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    language = chosen.partition("-")[2] if chosen.endswith(("cy", "ar")) else "en"
    page = stage.page(f"/{language}", **SETS[chosen])
    camera = Camera(page, folder)
    for part in (_side_roads, _pass, _questions, _choosing, _sending, _afterwards):
        part(page, camera.take)
    stage.close_contexts()


def _side_roads(page: Page, take: Take) -> None:
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


def _pass(page: Page, take: Take) -> None:
    """To the broker's pages twice: it says no, and then yes."""
    way.pick(page, "age", "13_15")
    way.step(page, "proof")
    take("pass")
    page.locator("#show-age").click()
    page.locator("form[action='/providers/development/start'] button").wait_for()
    take("pass-at-the-broker")
    way.at_broker(page, years=30)
    page.locator("#stop").click()
    way.step(page, "proof")
    page.locator("[data-step=proof] .wrong:not(:empty)").wait_for()
    take("pass-refused")
    way.get_pass(page)
    way.step(page, "passed")
    take("passed")
    way.press_next(page, "passed")


def _questions(page: Page, take: Take) -> None:
    way.step(page, "you")
    take("you")
    way.pick(page, "you", "other")
    take("other")
    way.step(page, "other").locator("[data-go=back]").click()
    way.pick(page, "you", "me")
    way.step(page, "choose")
    take("choose")


def _choosing(page: Page, take: Take) -> None:
    with tempfile.TemporaryDirectory(prefix="screens-files-") as name:
        _stopped_video(page, film.write(Path(name) / "v.mp4", film.scenes() * 4, width=480), take)
        note = Path(name) / "not-a-photo.jpg"
        note.write_text("This is text.")
        way.choose(page, PHOTO, CLIP, note)
    take("choose-chosen")
    way.press_next(page, "choose")
    way.step(page, "where")
    take("where")


def _stopped_video(page: Page, video: Path, take: Take) -> None:
    page.frame_locator("#box").locator("#file").set_input_files(str(video))
    bar = page.locator("#files progress")
    while bar.evaluate("bar => bar.value") < UNDER_WAY:
        page.wait_for_timeout(20)
    take("choose-video")
    button = page.locator("#files button")
    button.click()
    expect(page.locator("#files progress")).to_have_count(0)
    if button.count():  # it says Remove now, unless the video was ready and is removed already
        button.click()


def _sending(page: Page, take: Take) -> None:
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
    page.route("**/v1/case/open", _said_no_or_nothing)
    page.locator("#look").click()
    page.locator("[data-outcome=they_said_no]").first.wait_for()
    take("status-said-no")
    page.unroute("**/v1/case/open")


def _said_no_or_nothing(route: Route) -> None:
    """The case as it would be if one platform refused and the other were late."""
    answer = route.fetch()
    case = answer.json()
    case["items"] = case["items"][:1]
    no, late = case["items"][0]["platforms"]
    no.update(outcome="they_said_no", automated=True, redress_url=REDRESS)
    late.update(outcome="late")
    route.fulfill(response=answer, json=case)


def _afterwards(page: Page, take: Take) -> None:
    change = page.locator("[data-step=change]")
    page.locator("#look").click()
    way.until_outcomes(page, ANSWERED)
    page.locator("[data-step=status] [data-go=change]").click()
    take("change")
    change.locator("#each summary").click()
    take("change-one")
    change.locator("#each button").first.click()
    way.step(page, "withdraw")
    take("withdraw-one")
    way.step(page, "withdraw").locator("[data-go=change]").click()
    for name in ("complain", "talk", "clean", "withdraw"):
        change.locator(f"[data-go={name}]").click()
        take(name)
        way.step(page, name).locator("[data-go=change]").click()
    change.locator("[data-go=add]").click()
    way.choose(page, PHOTOS / "rocket.jpg")
    way.press_next(page, "choose")
    way.press_next(page, "where")
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
