"""The frame that opens photos: no origin, no network, one shape of letter."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Frame, Page, Route, expect

from tests.journeys.browser import way
from tests.journeys.browser.proof import number_of_hashes
from tests.journeys.browser.world import PHOTO, World

pytestmark = pytest.mark.browser

GONE = [
    "RTCPeerConnection",
    "WebSocket",
    "WebTransport",
    "EventSource",
    "XMLHttpRequest",
    "Worker",
    "fetch",
    "open",
]


def box_of(page: Page) -> Frame:
    return next(frame for frame in page.frames if "/box/" in frame.url)


def ready(stage: World) -> Page:
    page = stage.page()
    way.to_choose(page)
    expect(page.frame_locator("#box").locator("#file")).to_be_enabled()
    return page


def test_it_has_no_origin_and_cannot_reach_the_page(stage: World) -> None:
    box = box_of(ready(stage))
    assert box.evaluate("self.origin") == "null"
    reach = "(() => { try { return parent.document.title } catch (e) { return e.name } })()"
    assert box.evaluate(reach) == "SecurityError"


def test_what_could_speak_to_a_machine_is_taken_away(stage: World) -> None:
    box = box_of(ready(stage))
    assert [name for name in GONE if box.evaluate(f"typeof self.{name}") != "undefined"] == []
    assert box.evaluate("typeof navigator.sendBeacon") == "undefined"


def added(name: str, **properties: str) -> str:
    return f"document.body.append(Object.assign(document.createElement('{name}'), {properties}))"


LEAKS = {
    "image": lambda to: f"new Image().src = '{to}'",
    "style": lambda to: added("link", rel="stylesheet", href=to),
    "prefetch": lambda to: added("link", rel="prefetch", href=to),
    "prerender": lambda to: added("link", rel="preconnect", href=to),
    "module": lambda to: f"import('{to}')",
    "media": lambda to: added("video", src=to),
    "frame": lambda to: added("iframe", src=to),
    "form": lambda to: f"{added('form', action=to, id='f')}; f.submit()",
    "ping": lambda to: f"{added('a', href='#', ping=to, id='a')}; a.click()",
    "top": lambda to: f"top.location = '{to}'",
    "navigation": lambda to: f"location.href = '{to}'",
}


@pytest.mark.parametrize("way_out", sorted(LEAKS))
def test_a_script_in_the_box_reaches_no_other_machine(stage: World, way_out: str) -> None:
    page = ready(stage)
    before = list(stage.asked_elsewhere)
    leak = LEAKS[way_out](f"{stage.weather}/leak")
    box_of(page).evaluate(f"(() => {{ try {{ {leak} }} catch {{}} }})()")
    page.wait_for_timeout(300)
    assert stage.asked_elsewhere == before
    way.step(page, "choose")


def test_the_check_on_the_box_would_notice(stage: World) -> None:
    page = stage.context().new_page()
    page.goto(f"{stage.weather}/open")
    with page.expect_response("**/leak"):
        page.evaluate(LEAKS["image"](f"{stage.weather}/leak"))
    assert "/leak" in stage.asked_elsewhere


HASTE = "{ const plain = setTimeout; setTimeout = (f, ms) => plain(f, ms > 9000 ? 200 : ms); }"
NO_CODE = "The part that makes the code did not load."


def test_a_box_that_was_ready_before_the_page_is_not_called_broken(stage: World) -> None:
    page = stage.context().new_page()
    page.add_init_script(HASTE)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/pages/main.js", hold)
    page.goto("/en", wait_until="commit")
    expect(page.frame_locator("#box").locator("#file")).to_be_enabled(timeout=way.WITHIN_MS)
    held[0].continue_()
    way.to_choose(page)
    page.wait_for_timeout(1500)
    expect(way.step(page, "choose").locator(".wrong")).to_be_empty()


def test_a_box_that_does_not_load_is_said_where_one_chooses_and_not_before(stage: World) -> None:
    page = stage.context().new_page()
    page.add_init_script(HASTE)
    page.route("**/pages/box.js", lambda route: route.abort())
    page.goto("/en")
    for name in ("leave", "start", "safe"):
        way.press_next(page, name)
    page.wait_for_timeout(500)
    expect(way.step(page, "age").locator(".wrong")).to_be_empty()
    way.pick(page, "age", "13_15")
    way.pick(page, "you", "me")
    expect(way.step(page, "choose").locator(".wrong")).to_contain_text(NO_CODE)


BEGUN = "parent.postMessage({is: 'begun', files: 3}, '*')"


@pytest.mark.parametrize(
    "letter",
    [
        {"is": "begun", "files": 1, "extra": "x"},
        {"is": "begun", "files": 51},
        {"is": "hashed", "file": 0, "kind": "photo", "hashes": []},
        {"is": "note", "text": "hello"},
        "begun",
    ],
)
def test_the_page_hears_no_other_letter_of_the_box(stage: World, letter: Any) -> None:
    page = ready(stage)
    box_of(page).evaluate(f"letter => {{ parent.postMessage(letter, '*'); {BEGUN} }}", letter)
    expect(page.locator("#files li")).to_have_count(3)  # the second letter alone


def test_the_page_hears_nobody_but_the_box(stage: World) -> None:
    page = ready(stage)
    page.evaluate("postMessage({is: 'begun', files: 1}, '*')")
    box_of(page).evaluate(BEGUN)
    expect(page.locator("#files li")).to_have_count(3)  # the box's letter alone


def test_what_the_page_sends_are_the_hashes_of_the_library(stage: World) -> None:
    page = stage.page()
    way.to_check(page, PHOTO)
    page.locator("#every summary").click()
    body = page.evaluate("JSON.parse(document.getElementById('body').textContent)")
    hashes = body["items"][0]["hashes"]
    assert body["age"] == {"profile": "declared-v1", "band": "13_15"}
    assert hashes.keys() == {"pdq", "pdq-512", "sha256", "md5"}
    assert number_of_hashes(hashes) == 67
    assert all(copy["quality"] >= 50 for copy in hashes["pdq"].values())
