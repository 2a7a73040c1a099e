"""Read aloud, zoomed in, right to left: axe-core finds no fault on any screen in any language."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browser import way
from tests.journeys.browser.world import PHOTO, World

pytestmark = pytest.mark.browser

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
SHOW = """name => {
  for (const s of document.querySelectorAll('[data-step]')) s.hidden = s.dataset.step !== name;
  for (const d of document.querySelectorAll('details')) d.open = true;
}"""
RUN = """async () => (await axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa',
  'wcag22aa', 'best-practice'], resultTypes: ['violations'] })).violations.map(v =>
  `${v.id}: ${v.nodes.map(n => n.target.join(' ')).join(', ')}`)"""


def steps(page: Page) -> list[str]:
    found: list[str] = page.locator("[data-step]").evaluate_all(
        "all => all.map(s => s.dataset.step)"
    )
    return found


def faults(page: Page, *names: str) -> dict[str, Any]:
    page.evaluate(AXE)
    found = {}
    for name in names or steps(page):
        page.evaluate(SHOW, name)
        if said := page.evaluate(RUN):
            found[name] = said
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "cy", "ar"])
def test_axe_finds_no_fault(stage: World, language: str, scheme: str) -> None:
    page = stage.page(f"/{language}", color_scheme=scheme)
    way.report(page, PHOTO)
    way.until_outcomes(page, {"Picnic": "taken_down", "Postcard": "not_found"})
    assert faults(page) == {}


def test_axe_would_notice(stage: World) -> None:
    page = stage.page()
    page.evaluate("document.querySelector('#typed').removeAttribute('id')")
    assert list(faults(page, "enter", "age")) == ["enter"]


@pytest.mark.parametrize("language", ["en", "ar"])
def test_at_400_percent_zoom_nothing_runs_out_of_the_page(stage: World, language: str) -> None:
    page = stage.page(f"/{language}", viewport={"width": 320, "height": 256})
    for name in steps(page):
        page.evaluate(SHOW, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
    page.evaluate(SHOW, "age")
    page.locator("[data-step=age] [data-go=next]").focus()
    below = page.evaluate(
        "document.activeElement.getBoundingClientRect().top >="
        " document.querySelector('header').getBoundingClientRect().bottom"
    )
    assert below  # what has the focus is not hidden behind the bar


def test_arabic_runs_from_right_to_left(stage: World) -> None:
    page = stage.page("/ar", viewport={"width": 360, "height": 740})
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    leave = page.locator("header .leave").bounding_box()
    assert leave is not None
    assert leave["x"] < 100
    assert page.frame_locator("#box").locator("html").get_attribute("dir") == "rtl"


def test_every_step_gives_the_focus_to_its_heading(stage: World) -> None:
    page = stage.page()
    for name in ("leave", "start", "safe"):
        way.press_next(page, name)
    way.step(page, "age")
    assert page.evaluate("document.activeElement.id") == "age-title"


def test_whoever_wants_no_motion_gets_none(stage: World) -> None:
    page = stage.page(reduced_motion="reduce")
    moving = "getComputedStyle(document.querySelector('header'), '::after').transitionDuration"
    assert page.evaluate(moving) == "0s"
    assert stage.page().evaluate(moving) != "0s"
