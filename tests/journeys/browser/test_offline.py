"""Kept on a phone when asked, and only then: it opens, hashes, and sends when asked, later."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browser import way
from tests.journeys.browser.world import PHOTO, World

pytestmark = pytest.mark.browser

TRACES = """async () => [
  (await navigator.serviceWorker.getRegistrations()).length, (await caches.keys()).length,
  localStorage.length, document.cookie.length, (await indexedDB.databases()).length,
]"""
NOTHING = [0, 0, 0, 0, 0]


def keep(page: Page) -> None:
    way.press_next(page, "leave")
    page.locator("#offline summary").click()
    page.locator("#keep").click()
    expect(page.locator("#keep")).to_have_text("Done. It now opens with no internet.")


@pytest.mark.parametrize("language", ["en", "ar"])
def test_it_opens_and_hashes_without_internet_and_sends_later(stage: World, language: str) -> None:
    context = stage.context()
    first = context.new_page()
    first.goto("/en")
    keep(first)
    first.close()
    context.set_offline(True)
    page = context.new_page()
    page.goto(f"/{language}")
    entries = page.evaluate("history.length")
    way.to_choose(page)
    way.choose(page, PHOTO)
    expect(page.locator("#files .ready")).to_have_count(1)
    assert page.evaluate("history.length") == entries
    box = page.frames[-1]
    assert box.evaluate("[self.origin, typeof fetch, typeof RTCPeerConnection]") == [
        "null",
        "undefined",
        "undefined",
    ]
    way.press_next(page, "choose")
    expect(way.step(page, "choose").locator(".wrong")).not_to_be_empty(timeout=way.WITHIN_MS)
    context.set_offline(False)
    way.press_next(page, "choose")
    way.press_next(page, "where")
    way.step(page, "check")
    context.set_offline(True)
    page.locator("#send").click()
    expect(way.step(page, "check").locator(".wrong")).not_to_be_empty(timeout=way.WITHIN_MS)
    context.set_offline(False)
    way.send(page)


def test_nothing_is_kept_unless_asked(stage: World) -> None:
    page = stage.page()
    way.report(page, PHOTO)
    assert page.evaluate(TRACES) == NOTHING


def test_leaving_takes_away_what_was_kept(stage: World) -> None:
    context = stage.context()
    page = context.new_page()
    page.goto("/en")
    keep(page)
    assert page.evaluate(TRACES)[:2] == [1, 1]
    page.locator("header .leave").click()
    page.wait_for_url(f"{stage.weather}/today")
    context.clear_cookies()
    page.goto("/en")
    assert page.evaluate(TRACES) == NOTHING


def test_leaving_without_internet_shows_an_empty_page_and_forgets(stage: World) -> None:
    context = stage.context()
    page = context.new_page()
    page.goto("/en")
    keep(page)
    page.reload()
    context.set_offline(True)
    page.locator("header .leave").click()
    page.wait_for_url("**/leave")
    assert page.locator("body").inner_text() == ""
    context.set_offline(False)
    page.goto("/en")
    assert page.evaluate(TRACES) == NOTHING


@pytest.mark.parametrize("changed", [False, True])
def test_a_kept_box_runs_unless_it_was_changed(stage: World, changed: bool) -> None:
    context = stage.context()
    page = context.new_page()
    page.goto("/en")
    keep(page)
    refused: AbstractContextManager[Any] = nullcontext()
    if changed:
        page.evaluate(CHANGE)
        refused = page.expect_console_message(lambda said: "Content Security Policy" in said.text)
    context.set_offline(True)
    with refused:
        page.goto("/en")
    way.to_choose(page)
    chooser = page.frame_locator("#box").locator("#file")
    if changed:
        expect(chooser).to_be_disabled()  # its script would have enabled it
    else:
        expect(chooser).to_be_enabled()


CHANGE = """async () => {
  const cache = await caches.open('kept');
  const answer = await cache.match('/kept/en');
  const text = (await answer.text()).replace('"use strict"', '').replace('stopped = false', '');
  await cache.put('/kept/en', new Response(`${text} `.replace('hasher.stop', 'hasher.go'), {
    headers: answer.headers }));
}"""
