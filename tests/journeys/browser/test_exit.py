"""Leaving fast, from anywhere and in every way; and Back never shows the pages again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browser import way
from tests.journeys.browser.world import PHOTO, World

pytestmark = pytest.mark.browser


def three_shifts(page: Page) -> None:
    for _ in range(3):
        page.keyboard.press("Shift")


def by_button(page: Page) -> None:
    page.locator("header .leave").click()


def by_shift(page: Page) -> None:
    page.locator("h1:visible").focus()
    three_shifts(page)


def by_shift_inside_the_box(page: Page) -> None:
    page.frame_locator("#box").locator("#file").focus()
    three_shifts(page)


def by_skip_link(page: Page) -> None:
    page.locator("a.skip").focus()
    page.keyboard.press("Enter")


def at_start(page: Page) -> None:
    way.press_next(page, "leave")


def at_choose(page: Page) -> None:
    way.to_choose(page)
    way.choose(page, PHOTO)


def at_status(page: Page) -> None:
    way.report(page, PHOTO)


Act = Callable[[Page], None]
LEAVINGS = [
    (at_start, by_button),
    (at_start, by_shift),
    (at_start, by_skip_link),
    (at_choose, by_button),
    (at_choose, by_shift),
    (at_choose, by_shift_inside_the_box),
    (at_choose, by_skip_link),
    (at_status, by_button),
    (at_status, by_shift),
    (at_status, by_skip_link),
]


@pytest.mark.parametrize(
    ("where", "how"), LEAVINGS, ids=[f"{w.__name__}-{h.__name__}" for w, h in LEAVINGS]
)
def test_leaving_ends_at_the_weather_and_back_shows_nothing_of_us(
    stage: World, where: Act, how: Act
) -> None:
    page = stage.context().new_page()
    page.goto(f"{stage.weather}/before")
    page.goto("/en")
    where(page)
    how(page)
    page.wait_for_url(f"{stage.weather}/today")
    page.go_back()
    assert page.url == f"{stage.weather}/before"
    page.go_forward()
    assert page.url == f"{stage.weather}/today"


def test_the_whole_way_is_one_entry_of_the_history(stage: World) -> None:
    page = stage.context().new_page()
    page.goto(f"{stage.weather}/before")
    page.goto("/en")
    entries = page.evaluate("history.length")
    page.locator("nav a[lang=cy]").click()
    expect(page.locator("html")).to_have_attribute("lang", "cy")
    way.report(page, PHOTO)
    assert page.evaluate("history.length") == entries
    page.go_back()
    assert page.url == f"{stage.weather}/before"


def test_older_entries_of_ours_lead_away_too(stage: World) -> None:
    page = stage.context().new_page()
    page.goto(f"{stage.weather}/before")
    page.goto("/en")
    page.goto("/cy")
    by_button(page)
    page.wait_for_url(f"{stage.weather}/today")
    for _ in range(2):
        page.go_back()
        assert page.url.startswith(stage.weather)


@pytest.mark.parametrize("path", ["/", "/en", "/cy", "/ar", "/box/en"])
def test_for_a_while_every_page_leads_away(stage: World, path: str) -> None:
    page = stage.page()
    by_button(page)
    page.wait_for_url(f"{stage.weather}/today")
    page.goto(path)
    assert page.url == f"{stage.weather}/today#top"


def test_nothing_is_left_in_the_browser_but_the_mark_of_leaving(stage: World) -> None:
    context = stage.context()
    page = context.new_page()
    page.goto("/en")
    page.evaluate("localStorage.setItem('x', '1'); document.cookie = 'x=1'")
    by_button(page)
    page.wait_for_url(f"{stage.weather}/today")
    assert [cookie["name"] for cookie in context.cookies()] == ["left"]
    context.clear_cookies()
    page.goto("/en")
    assert page.evaluate("localStorage.length") == 0


def test_two_shifts_and_a_word_do_not_leave(stage: World) -> None:
    page = stage.page()
    page.locator("h1:visible").focus()
    for key in ("Shift", "Shift", "a", "Shift"):
        page.keyboard.press(key)
    way.step(page, "leave")
    expect(page.locator("#said")).to_have_text("Press Shift 2 more times to leave.")
