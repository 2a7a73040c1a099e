"""An age broker that is down, hangs or is slow: nobody is left on the browser's own error page."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.browser import way
from tests.journeys.browser.broker import write_trust
from tests.journeys.browser.proof import Headers, Relay, relay_to
from tests.journeys.browser.world import World, world

pytestmark = pytest.mark.browser

SAID = {"en": "does not open right now", "cy": "agor ar hyn o bryd", "ar": "لا تفتح الآن"}
CHECK_S, PAGE_S = 4.0, 10.0
SOON_MS = 2500  # less than either
STORED = "[sessionStorage.length, localStorage.length]"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service whose operator named the address that tells whether the broker is there."""
    with world(tmp_path_factory.mktemp("down"), with_broker=True) as made, socket.socket() as gate:
        gate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        gate.bind(("127.0.0.1", made.relay_port))  # nobody else's, also while nobody listens
        service = next(one for one in made.installation.processes.running if one.name == "service")
        service.stop()
        pages = made.installation.data / "pages.toml"
        pages.write_text(f'broker_answers = "{at_gate(made, "/healthz")}"\n{pages.read_text()}')
        trust(made, at_gate(made, "/pass"))
        made.installation.start()
        yield made


def at_gate(stage: World, path: str) -> str:
    """An address where the broker is to be found, if it is."""
    return f"http://localhost:{stage.relay_port}{path}"


def trust(stage: World, pass_url: str | None = None) -> None:
    """Have passes fetched at that page; without one at the broker's own."""
    assert stage.broker is not None
    path = stage.installation.processes.folder / "issuers.toml"
    write_trust(path, stage.broker.facts["url"], pass_url)


@contextmanager
def broker(stage: World, slow: str = "", by: float = 0.0) -> Iterator[Relay]:
    """The real one at the gate; one path may be slow."""
    assert stage.broker is not None

    def build(path: str, body: bytes, headers: Headers) -> bytes:
        if path == slow:
            time.sleep(by)
        return body

    with relay_to(stage.broker.facts["url"], stage.relay_port) as relay:
        relay.build = build
        yield relay


@contextmanager
def hanging(stage: World) -> Iterator[None]:
    """Somebody who takes every call and never says a word."""
    with socket.create_server(("127.0.0.1", stage.relay_port)):
        yield


class _Proxy(BaseHTTPRequestHandler):
    """What stands before a broker that is down."""

    def do_GET(self) -> None:
        self.send_response(502)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def only_its_proxy(stage: World) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", stage.relay_port), _Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def told(page: Page, words: str = SAID["en"]) -> None:
    """What is wrong, on the screen where one can choose again."""
    wrong = page.locator("[data-step=proof] .wrong")
    expect(wrong).to_contain_text(words, timeout=way.WITHIN_MS)
    expect(page.locator("#show-age:not([aria-busy])")).to_be_visible()


def asked(relay: Relay) -> list[str]:
    """What came to the broker so far."""
    return [f"{one.method} {one.target}" for one in relay.seen]


def addresses(page: Page) -> list[str]:
    """The tab's history."""
    line = page.context.new_cdp_session(page)
    entries = line.send("Page.getNavigationHistory")["entries"]
    return [str(one["url"]) for one in entries]


# ---- staying -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "cy", "ar"])
def test_a_broker_that_is_down_leaves_one_here_with_the_choice(stage: World, language: str) -> None:
    page = stage.page(f"/{language}")
    way.to_proof(page)
    before = addresses(page)
    page.locator("#show-age").click()
    told(page, SAID[language])
    assert page.url == f"{stage.installation.url}/{language}"
    assert addresses(page) == before
    assert page.evaluate(STORED) == [0, 0]
    way.step(page, "proof").locator("[data-go=without]").click()
    way.step(page, "you")


def test_with_the_keyboard_and_a_screen_reader(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    way.tab_to(page, "#show-age")
    page.keyboard.press("Enter")
    told(page)
    assert page.evaluate("document.activeElement.id") == "proof-title"
    expect(page.get_by_role("alert").filter(visible=True)).to_contain_text(SAID["en"])
    way.tab_to(page, "[data-step=proof] [data-go=without]")
    page.keyboard.press("Enter")
    way.step(page, "you")


def test_a_broker_that_is_back_gives_a_pass_at_the_next_try(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    page.locator("#show-age").click()
    told(page)
    with broker(stage):
        way.get_pass(page)
        way.step(page, "passed")


def test_a_broker_that_hangs_holds_nobody(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    with hanging(stage):
        began = time.monotonic()
        page.locator("#show-age").click()
        expect(page.locator("#show-age")).to_have_attribute("aria-busy", "true")
        told(page)
        assert CHECK_S - 0.5 < time.monotonic() - began < CHECK_S + 4


def test_a_broker_that_is_too_slow_can_be_tried_again(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    with broker(stage, slow="/healthz", by=CHECK_S + 2) as relay:
        page.locator("#show-age").click()
        told(page)
        page.wait_for_timeout(SOON_MS)  # its answer comes after all
        told(page)
        assert "GET /pass" not in asked(relay)
    with broker(stage):
        way.get_pass(page)
        way.step(page, "passed")


def test_a_page_that_hangs_holds_nobody_either(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    with broker(stage, slow="/pass", by=PAGE_S + 4):
        began = time.monotonic()
        page.locator("#show-age").click()
        told(page)
        assert PAGE_S - 0.5 < time.monotonic() - began < PAGE_S + 3.5
        page.wait_for_timeout(5000)
    assert page.url == f"{stage.installation.url}/en"
    assert page.evaluate(STORED) == [0, 0]


def test_a_proxy_before_a_broker_that_is_down_is_no_broker(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    with only_its_proxy(stage):
        page.locator("#show-age").click()
        told(page)
    assert page.url == f"{stage.installation.url}/en"


def test_a_line_that_breaks_meanwhile_is_what_is_said(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    with hanging(stage):
        page.locator("#show-age").click()
        page.wait_for_timeout(500)
        page.context.set_offline(True)
        told(page, "no internet")


# ---- choosing otherwise while it waits -----------------------------------------------------------


def press_in(page: Page, ms: int, selector: str) -> None:
    """Press that by the page's own clock: Playwright waits for a page that is opening."""
    page.evaluate(
        "([s, ms]) => void setTimeout(() => document.querySelector(s).click(), ms)", [selector, ms]
    )


@pytest.mark.parametrize("slow", ["/healthz", "/pass"])
def test_who_goes_on_without_meanwhile_is_not_taken_away(stage: World, slow: str) -> None:
    page = stage.page()
    way.to_proof(page)
    with broker(stage, slow=slow, by=SOON_MS / 1000) as relay:
        press_in(page, 700, "[data-step=proof] [data-go=without]")
        page.locator("#show-age").click(no_wait_after=True)
        page.wait_for_timeout(SOON_MS + 1000)
        way.step(page, "you")
        assert asked(relay)[: 1 + (slow == "/pass")][-1].endswith(slow)
    assert page.url == f"{stage.installation.url}/en"
    assert page.evaluate(STORED) == [0, 0]


@pytest.mark.parametrize("slow", ["/v1/age/challenge", "/healthz", "/pass"])
def test_who_leaves_meanwhile_is_not_called_back(stage: World, slow: str) -> None:
    """Also where leaving takes longer than what was waited for."""
    page = stage.page()
    way.to_proof(page)
    leaves = way.held(page, "**/leave")
    challenges = way.held(page, "**/v1/age/challenge")
    with broker(stage, slow=slow, by=1.5) as relay:
        press_in(page, 700, "header .leave")
        page.locator("#show-age").click(no_wait_after=True)
        page.wait_for_timeout(300)
        if slow != "/v1/age/challenge":
            challenges[0].continue_()
        page.wait_for_timeout(900)
        assert len(leaves) == 1
        if slow == "/v1/age/challenge":
            challenges[0].continue_()
        page.wait_for_timeout(2500)
        leaves[0].continue_()
        page.wait_for_url(f"{stage.weather}/today")
        assert slow == "/pass" or "GET /pass" not in asked(relay)
    assert not any("localhost" in address for address in addresses(page))


def test_pressing_twice_asks_once(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    with broker(stage, slow="/healthz", by=1.0) as relay:
        for _ in range(3):
            page.locator("#show-age").click(no_wait_after=True)
        way.at_broker(page)
        way.step(page, "passed")
        assert asked(relay).count("HEAD /healthz") == asked(relay).count("GET /pass") - 1 == 1


# ---- what is told --------------------------------------------------------------------------------


def test_it_asks_only_then_once_and_tells_nothing(stage: World) -> None:
    context = stage.context()
    context.add_cookies([{"name": "pass", "value": "mine", "url": at_gate(stage, "/")}])
    page = context.new_page()
    page.goto("/en")
    with broker(stage) as relay:
        way.to_proof(page)
        page.wait_for_timeout(500)
        assert relay.seen == []
        page.locator("#show-age").click()
        page.locator("#stop").wait_for()
        assert asked(relay)[:2] == ["HEAD /healthz", "GET /pass"]
        check, visit = relay.seen[:2]
    told_by_visit = {name.lower() for name, _ in visit.headers}
    assert "cookie" in told_by_visit
    told_by_check = {name.lower() for name, _ in check.headers}
    assert told_by_check <= told_by_visit | {"pragma", "cache-control"}
    assert not told_by_check & {"cookie", "referer", "origin"}
    assert stage.installation.url.removeprefix("http://") not in repr(check)
    assert check.body == b""


def test_a_page_kept_on_the_phone_may_ask_too(stage: World) -> None:
    page = stage.page()
    way.press_next(page, "leave")
    page.locator("#offline summary").click()
    page.locator("#keep").click()
    expect(page.locator("#keep")).to_have_text("Done. It now opens with no internet.")
    page.reload()
    assert page.evaluate("navigator.serviceWorker.controller !== null")
    way.to_proof(page)
    with broker(stage):
        way.get_pass(page)
        way.step(page, "passed")


def test_a_broker_elsewhere_is_gone_to_unasked(stage: World) -> None:
    """The operator named an address of another one, which says nothing of this."""
    trust(stage)
    try:
        page = stage.page()
        way.to_proof(page)
        way.get_pass(page)
        way.step(page, "passed")
    finally:
        trust(stage, at_gate(stage, "/pass"))
