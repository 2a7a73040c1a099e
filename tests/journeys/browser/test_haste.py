"""Haste, lost answers and a way back: the case code is never lost to them, and no case twice."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.journeys.browser import way
from tests.journeys.browser.world import PHOTO, PHOTOS, World

pytestmark = pytest.mark.browser

PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}}
REPORTS = "**/v1/reports"
TAPS = """([x, y, every, times]) => {
  const tap = () => {
    document.elementFromPoint(x, y)?.click();
    if (--times > 0) setTimeout(tap, every);
  };
  tap();
}"""


def shown_code(page: Page) -> str:
    way.step(page, "code")
    return re.sub(r"\D", "", page.locator("#code").inner_text())


def choose_another(page: Page) -> None:
    """Back from the last look, another photo, and forward again."""
    way.step(page, "check").locator("[data-go=back]").click()
    way.step(page, "where").locator("[data-go=back]").click()
    way.choose(page, PHOTOS / "rocket.jpg")
    way.press_next(page, "choose")
    way.press_next(page, "where")
    way.step(page, "check")


@pytest.mark.parametrize(
    ("after_ms", "every_ms", "taps"), [(0, 250, 3), (600, 400, 3), (900, 450, 4)]
)
def test_impatient_taps_on_send_do_not_take_the_code_away(
    stage: World, after_ms: int, every_ms: int, taps: int
) -> None:
    page = stage.page(**PHONE)
    way.to_check(page, PHOTO)

    def late(route: Route) -> None:
        time.sleep(after_ms / 1000)
        route.continue_()

    page.route(REPORTS, late)
    page.locator("#send").scroll_into_view_if_needed()
    box = page.locator("#send").bounding_box()
    assert box is not None
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    page.evaluate(TAPS, [*middle, every_ms, taps])
    way.step(page, "code")
    page.wait_for_timeout(taps * every_ms)
    assert len(shown_code(page)) == 16
    page.locator("#kept").click()
    way.step(page, "status")


def test_the_code_can_be_shown_again_while_the_page_is_there(stage: World) -> None:
    page = stage.page(**PHONE)
    code = way.report(page, PHOTO)
    assert code not in re.sub(r"\D", "", page.content())  # not for whoever only looks
    way.step(page, "status").locator("[data-go=change]").click()
    way.step(page, "change").locator("[data-go=code]").click()
    assert shown_code(page) == code
    page.locator("#kept").click()
    way.step(page, "status")


def test_whoever_typed_a_code_has_it_and_is_offered_none(stage: World) -> None:
    code = way.report(stage.page(), PHOTO)
    page = stage.page()
    way.press_next(page, "leave")
    way.step(page, "start").locator("[data-go=enter]").click()
    page.locator("#typed").fill(code)
    page.locator("#open").click()
    way.step(page, "status").locator("[data-go=change]").click()
    expect(way.step(page, "change").locator("[data-go=code]")).to_be_hidden()


def test_back_does_nothing_while_a_report_is_on_its_way(stage: World) -> None:
    page = stage.page()
    way.to_check(page, PHOTO)
    held = way.held(page, REPORTS)
    page.locator("#send").click()
    expect(page.locator("#send")).to_have_attribute("aria-busy", "true")
    way.step(page, "check").locator("[data-go=back]").click()
    page.wait_for_timeout(200)
    way.step(page, "check")
    held[0].continue_()
    assert len(shown_code(page)) == 16


def test_after_a_lost_answer_back_and_next_send_the_same_report_again(stage: World) -> None:
    page = stage.page()
    way.to_check(page, PHOTO)
    arrived = way.lose_answers(page)
    way.send_without_answer(page)
    way.step(page, "check").locator("[data-go=back]").click()
    way.press_next(page, "where")
    again = []
    page.on(
        "request", lambda r: again.append(r.post_data) if r.url.endswith("/v1/reports") else None
    )
    way.step(page, "check")
    way.send(page)
    assert again == arrived[:1]
    expect(page.locator("[data-step=code] .wrong")).to_be_empty()
    page.locator("#kept").click()
    way.step(page, "status")
    assert page.locator("#items > *").count() == 1


def test_a_report_whose_answer_was_lost_is_known_again_when_another_photo_was_chosen(
    stage: World,
) -> None:
    """What was chosen since is not in it, and the page says so rather than lose either."""
    page = stage.page()
    way.to_check(page, PHOTO)
    way.lose_answers(page)
    way.send_without_answer(page)
    choose_another(page)
    code = way.send(page)
    assert len(code) == 16
    expect(page.locator("[data-step=code] .wrong")).to_contain_text("first try did reach us")
    page.locator("#kept").click()
    way.step(page, "status")
    assert page.locator("#items > *").count() == 1


def test_a_report_that_never_arrived_is_sent_as_it_is_now(stage: World) -> None:
    page = stage.page()
    way.to_check(page, PHOTO)
    page.route(REPORTS, lambda route: route.abort("connectionreset"))
    way.send_without_answer(page)
    choose_another(page)
    way.send(page)
    expect(page.locator("[data-step=code] .wrong")).to_be_empty()
    page.locator("#kept").click()
    way.step(page, "status")
    assert page.locator("#items > *").count() == 2


def test_where_the_browser_copies_nothing_the_digits_are_marked(stage: World) -> None:
    page = stage.page()
    errors = way.errors_of(page)
    way.to_check(page, PHOTO)
    code = way.send(page)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.locator("#hide").click()
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_contain_text("Marked")
    assert re.sub(r"\D", "", page.evaluate("String(getSelection())")) == code
    assert errors == []


def test_pulling_the_page_down_does_not_load_it_anew(stage: World) -> None:
    """Where the code is shown, a reload would lose it."""
    style = "getComputedStyle(document.documentElement).overscrollBehaviorY"
    assert stage.page(**PHONE).evaluate(style) == "contain"
