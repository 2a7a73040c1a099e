"""The frame that opens photos: no origin, no network, one shape of letter."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Frame, Page, expect

from tests.journeys.browser import way
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
    assert box.evaluate(
        "(() => { try { return parent.document.title } catch (e) { return e.name } })()"
    ) == ("SecurityError")


def test_what_could_speak_to_a_machine_is_taken_away(stage: World) -> None:
    box = box_of(ready(stage))
    assert [name for name in GONE if box.evaluate(f"typeof self.{name}") != "undefined"] == []
    assert box.evaluate("typeof navigator.sendBeacon") == "undefined"


@pytest.mark.parametrize(
    "leak",
    [
        "new Image().src = '/pages/icon.svg?leak'",
        "document.head.append(Object.assign(document.createElement('link'),"
        " {rel: 'stylesheet', href: 'http://127.0.0.1:9/?leak'}))",
        "document.head.append(Object.assign(document.createElement('link'),"
        " {rel: 'prefetch', href: '/pages/icon.svg?leak'}))",
        "document.body.append(Object.assign(document.createElement('iframe'), {src: '/en?leak'}))",
        "top.location = '/en?leak'",
        "location.href = 'http://127.0.0.1:9/?leak'",
        "document.body.append(Object.assign(document.createElement('form'),"
        " {action: '/en?leak', id: 'f'})); f.submit()",
    ],
)
def test_the_policy_stops_what_scripts_could_still_try(stage: World, leak: str) -> None:
    page = ready(stage)
    asked: list[str] = []
    page.context.on("requestfinished", lambda request: asked.append(request.url))
    box_of(page).evaluate(f"(() => {{ try {{ {leak} }} catch {{}} }})()")
    page.wait_for_timeout(300)
    assert [url for url in asked if "leak" in url] == []
    way.step(page, "choose")


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
    box_of(page).evaluate("letter => parent.postMessage(letter, '*')", letter)
    page.wait_for_timeout(100)
    assert page.locator("#files li").count() == 0


def test_the_page_hears_nobody_but_the_box(stage: World) -> None:
    page = ready(stage)
    page.evaluate("postMessage({is: 'begun', files: 1}, '*')")
    page.wait_for_timeout(100)
    assert page.locator("#files li").count() == 0
    box_of(page).evaluate("parent.postMessage({is: 'begun', files: 1}, '*')")
    expect(page.locator("#files li")).to_have_count(1)


def test_what_the_page_sends_are_the_hashes_of_the_library(stage: World) -> None:
    page = stage.page()
    way.to_check(page, PHOTO)
    page.locator("#every summary").click()
    body = page.evaluate("JSON.parse(document.getElementById('body').textContent)")
    hashes = body["items"][0]["hashes"]
    assert body["age"] == {"profile": "declared-v1", "band": "13_15"}
    assert {entry["type"] for entry in hashes} == {"pdq", "pdq-512", "sha256", "md5"}
    assert len(hashes) == 67
    assert all(entry.get("quality", 100) >= 50 for entry in hashes)
