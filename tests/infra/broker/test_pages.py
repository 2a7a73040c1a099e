"""The pages in a browser: axe-core finds no fault, and they load only what is theirs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.infra.broker.running import process, write
from tests.journeys.browser.world import ARGUMENTS, CHROMIUM

pytestmark = pytest.mark.browser

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
RUN = """async () => (await axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa',
  'wcag22aa', 'best-practice'] })).violations.map(({ id, nodes }) => [id, nodes[0].html])"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[str]:
    with process(write(tmp_path_factory.mktemp("pages"), keys)) as broker:
        yield broker.url


def opened(browser: Browser, scheme: Any) -> tuple[Page, list[str]]:
    """A page on a small phone, and what its console says."""
    page = browser.new_page(viewport={"width": 320, "height": 640}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda fault: said.append(str(fault)))
    return page, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(browser: Browser, url: str, scheme: str) -> None:
    page, said = opened(browser, scheme)
    for path in ("/pass", "/pass?problem=refused"):
        page.goto(url + path)
        check(page)
    page.evaluate("document.querySelector('#choose').hidden = false")
    check(page)
    page.locator("form button").first.evaluate("button => button.form.submit()")
    page.get_by_role("heading", name="Choose an age").wait_for()
    check(page)
    page.get_by_label("Age in years").fill("15")
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(f"{url}/pass")
    assert [cookie["name"] for cookie in page.context.cookies()] == ["pass"]
    assert said == []
    page.close()


def check(page: Page) -> None:
    # The page's policy lets no script of ours in by a tag: the driver's own way is not held to it.
    page.evaluate(AXE)
    assert page.evaluate(RUN) == []
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert page.evaluate(wide) is False
