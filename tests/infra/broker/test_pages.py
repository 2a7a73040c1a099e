"""The pages in a browser: axe-core finds no fault, and they load only what is theirs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, Route, sync_playwright

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


NOWHERE = (
    "https://young.example.evil.example/",
    "https://evil.example/https://young.example",
    "https://evil.example#https://young.example",
    "https://young.example@evil.example/",
    "https://young.example:secret@evil.example/",
    "https://:secret@young.example/",
    "https://evil.example\\\\@young.example/",
    "https:\\\\evil.example/",
    "https://young.example:444/",
    "http://young.example/",
    "https://young.example.",
    "https://young\u3002example.evil.example/",
    "https://y\u043eung.example/",
    "https://young.example/#",
    "https://young.example/#x",
    "//young.example/",
    "//evil.example/",
    "/pass",
    "",
    "javascript:alert(1)//https://young.example",
    " java\nscript:alert(1)",
    "data:text/html,https://young.example",
    "blob:https://young.example/4711",
    "filesystem:https://young.example/x",
    "file:///etc/passwd",
    "null",
)
# Other spellings of where passes may go; what is opened is the address as the browser reads it.
THERE = {
    "https://young.example/en?x=1": "https://young.example/en?x=1",
    " https://young.example ": "https://young.example/",
    "HTTPS://YOUNG.example:443\\\\en": "https://young.example//en",
    "https://young\uff0eexample/": "https://young.example/",
    "https:young.example": "https://young.example/",
    "https://young.example/\t\nen": "https://young.example/en",
}


def letter(back: str) -> str:
    """A request for a key that nobody has, so that the page goes back with a problem at once."""
    key, blinded = b64(bytes(32)), [b64(b"\1" * 256)]
    asked = {"v": 1, "key": key, "blinded": blinded, "back": back, "state": "x"}
    return b64(json.dumps(asked).encode())


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def test_passes_go_back_to_places_on_the_list_alone(browser: Browser, url: str) -> None:
    """No redirect to where somebody likes: the page does not take such a request up."""
    page, _ = opened(browser, "light")
    gone: list[str] = []

    def stop(route: Route) -> None:
        gone.append(route.request.url.partition("#")[0])
        route.fulfill(body="there")

    page.route(lambda where: not where.startswith(url), stop)
    for back in NOWHERE:
        page.goto("about:blank")
        page.goto(f"{url}/pass#{letter(back)}")
        page.get_by_text("Nobody is waiting for a pass here").wait_for()
        assert page.evaluate("sessionStorage.length") == 0, back
        assert gone == [], back
    for back, there in THERE.items():
        page.goto("about:blank")
        with suppress(Error):  # it may be gone before the page has loaded
            page.goto(f"{url}/pass#{letter(back)}")
        page.get_by_text("there", exact=True).wait_for()
        assert gone.pop() == there, back
    page.close()


def check(page: Page) -> None:
    # The page's policy lets no script of ours in by a tag: the driver's own way is not held to it.
    page.evaluate(AXE)
    assert page.evaluate(RUN) == []
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert page.evaluate(wide) is False
