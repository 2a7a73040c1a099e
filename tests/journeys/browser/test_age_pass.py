"""A pass from a real age broker, by clicking: the whole way, and each way in which it fails."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from playwright.sync_api import BrowserContext, Error, Page, Route, expect

from app.cli.passes import fetch_passes
from app.client.case_code import case_key, new_code
from app.client.pass_file import PassFile
from app.client.service import Refused, Service, report_body
from app.client.shown_pass import shown
from app.web.child.languages import load
from tests.journeys.browser import way
from tests.journeys.browser.broker import PREDICATE, key_of, write_trust
from tests.journeys.browser.proof import faults, faults_at_broker, relay_to
from tests.journeys.browser.world import PHOTO, PHOTOS, World, world
from tests.journeys.sandbox import hashed

pytestmark = pytest.mark.browser

BOTH = {"Picnic": "taken_down", "Postcard": "not_found"}
WORDS = load()["en"].words
STORED = "[sessionStorage.length, localStorage.length]"
TWO_DAYS = "{ const now = Date.now; Date.now = () => now() + 2 * 86_400_000; }"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("age"), with_broker=True) as made:
        yield made


def basis(stage: World, code: str) -> str:
    """On what the age of that case rests, as the service says it."""
    service = Service(stage.installation.url)
    return str(service.open(case_key(code, service.challenge()["case_key"]))["age_basis"])


def sent(page: Page) -> dict[str, Any]:
    """The report that the page shows before it is sent."""
    body: dict[str, Any] = json.loads(page.locator("#body").text_content() or "")
    return body


def told(page: Page, words: str) -> None:
    """What is wrong, on the screen where one can choose again."""
    wrong = page.locator("[data-step=proof] .wrong")
    expect(wrong).to_contain_text(words, timeout=way.WITHIN_MS)


# ---- the whole way -------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "cy", "ar"])
def test_with_a_pass_to_taken_down(stage: World, language: str) -> None:
    page = stage.page(f"/{language}")
    errors = way.errors_of(page, stage.installation.url)
    way.to_proof(page)
    way.get_pass(page)
    way.step(page, "passed")
    assert page.url == f"{stage.installation.url}/{language}"
    assert page.evaluate("document.activeElement.id") == "passed-title"
    way.press_next(page, "passed")
    way.on_to_check(page, PHOTOS / "chelsea.jpg")
    assert sent(page)["age"] == {"profile": "pp-under18-v1", "band": "13_15"}
    code = way.send(page)
    page.locator("#kept").click()
    way.step(page, "status")
    way.until_outcomes(page, BOTH)
    assert basis(stage, code) == "verified_document"
    assert errors == []


def test_with_the_keyboard_alone(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    for selector in ("#show-age", "form[action='/providers/development/start'] button", "#age"):
        way.tab_to(page, selector)
        page.keyboard.press("Enter")
    way.step(page, "passed")
    way.tab_to(page, "[data-step=passed] [data-go=next]")
    page.keyboard.press("Enter")
    way.step(page, "you")


def test_going_on_without_rests_on_a_bare_word(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    way.step(page, "proof").locator("[data-go=without]").click()
    way.on_to_check(page, PHOTO)
    assert sent(page)["age"]["profile"] == "declared-v1"
    assert basis(stage, way.send(page)) == "declared"


def test_grown_ups_are_not_asked_for_a_pass(stage: World) -> None:
    page = stage.page()
    for name in ("leave", "start", "safe"):
        way.press_next(page, name)
    way.pick(page, "age", "adult")
    way.pick(page, "then", "under")
    way.on_to_check(page, PHOTO)
    assert sent(page)["age"] == {"profile": "declared-v1", "band": "was_under_18"}


def test_without_a_line_nobody_is_asked_for_a_pass(stage: World) -> None:
    page = stage.page()
    for name in ("leave", "start", "safe"):
        way.press_next(page, name)
    page.context.set_offline(True)
    way.pick(page, "age", "13_15")
    way.step(page, "you")


def test_a_line_that_breaks_before_going_is_said(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    page.context.set_offline(True)
    page.locator("#show-age").click()
    told(page, "no internet")
    page.context.set_offline(False)
    way.get_pass(page)
    way.step(page, "passed")


@pytest.mark.parametrize("kept", ["full", "forbidden"])
def test_a_phone_that_keeps_nothing_is_not_told_to_try_again(stage: World, kept: str) -> None:
    page = stage.context().new_page()
    page.add_init_script(
        {
            "full": "Storage.prototype.setItem = () => { throw new DOMException('', "
            "'QuotaExceededError') };",
            "forbidden": "Object.defineProperty(window, 'sessionStorage', { get() { "
            "throw new DOMException('', 'SecurityError') } });",
        }[kept]
    )
    page.goto("/en")
    way.to_proof(page)
    page.locator("#show-age").click()
    told(page, WORDS["proof.no_room"])
    way.step(page, "proof").locator("[data-go=without]").click()
    way.on_to_check(page, PHOTO)
    way.send(page)


# ---- coming back without one ---------------------------------------------------------------------


def test_the_broker_says_no(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    way.get_pass(page, years=30)
    expect(page.locator("#problem")).to_be_visible()
    page.locator("#stop").click()
    told(page, "could not say")
    way.step(page, "proof").locator("[data-go=without]").click()
    way.step(page, "you")


def test_no_more_passes_today(stage: World) -> None:
    for visit in range(3):
        page = stage.page()
        way.to_proof(page)
        way.ask_for_spares(page)
        way.get_pass(page, person="somebody")
        if visit < 2:
            way.step(page, "passed")
    page.locator("#stop").click()
    told(page, "all its passes for today")


def test_with_a_pass_too_a_report_whose_answer_was_lost_is_known_again(stage: World) -> None:
    """The pass went with it: it is spent, and that is no reason to ask for another."""
    page = stage.page()
    way.to_proof(page)
    way.get_pass(page)
    way.press_next(page, "passed")
    way.on_to_check(page, PHOTO)
    way.lose_answers(page)
    way.send_without_answer(page)
    way.step(page, "check").locator("[data-go=back]").click()
    way.press_next(page, "where")
    way.step(page, "check")
    assert len(way.send(page)) == 16
    page.locator("#kept").click()
    way.step(page, "status")
    assert page.locator("#items > *").count() == 1


def test_whoever_turns_back_is_told_that_it_is_all_right(stage: World) -> None:
    page = stage.page()
    way.to_proof(page, "16_17")
    page.locator("#show-age").click()
    page.locator("#stop").click()
    told(page, "That's OK")
    page.locator("#show-age").click()
    way.at_broker(page)
    way.press_next(page, "passed")
    way.on_to_check(page, PHOTO)
    assert sent(page)["age"]["band"] == "16_17"


def test_for_whoever_is_turning_back_nothing_is_signed(stage: World) -> None:
    """Also if the broker says only then that a pass may be had."""
    page = stage.page()
    answers, asked = way.held(page, "**/grant"), seen(page)
    way.to_proof(page)
    page.locator("#show-age").click()
    page.locator("#stop").wait_for()
    eventually(page, lambda: len(answers) == 1)
    ways_back = way.held(page, "**/en")
    page.locator("#stop").click(no_wait_after=True)
    eventually(page, lambda: len(ways_back) == 1)  # on the way, and the page still runs
    answers[0].fulfill(json={"predicate": PREDICATE, "left": 1})
    page.wait_for_timeout(500)
    ways_back[0].continue_()
    told(page, "That's OK")
    assert not [url for url in asked if "token-request" in url]


def seen(page: Page) -> list[str]:
    """The addresses asked for from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def eventually(page: Page, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + way.WITHIN_MS / 1000
    while not holds():
        assert time.monotonic() < until
        page.wait_for_timeout(20)


@pytest.mark.parametrize("asked", ["token-request", "private-token-issuer-directory", "grant"])
def test_a_broker_that_does_not_work(stage: World, asked: str) -> None:
    page = stage.page()
    page.route(f"**/{asked}", lambda route: route.fulfill(status=500, body="{}"))
    way.to_proof(page)
    page.locator("#show-age").click()
    if asked == "token-request":
        way.at_broker(page)
    told(page, "does not work right now")


@pytest.mark.parametrize("answer", [bytes(256), b"\xff" * 256, bytes(range(256))])
def test_a_signature_that_does_not_hold_is_thrown_away(stage: World, answer: bytes) -> None:
    page = stage.page()
    page.route("**/token-request", lambda route: route.fulfill(status=200, body=answer))
    way.to_proof(page)
    way.get_pass(page)
    told(page, "threw it away")
    assert page.evaluate(STORED) == [0, 0]
    page.unroute("**/token-request")
    page.locator("#show-age").click()  # the broker still knows that an age was shown
    way.step(page, "passed")


def coming_back(page: Page) -> tuple[str, str]:
    """The address and what waits in the tab at the moment of coming back; no script of ours ran."""
    page.route("**/pages/main.js", lambda route: route.abort())
    way.get_pass(page)
    page.wait_for_url("**/en#*")
    page.unroute("**/pages/main.js")
    return page.url, page.evaluate("sessionStorage.getItem('n')")


def letter(**members: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).decode()


def read(address: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(address.split("#")[1] + "=="))
    return found


RUBBISH = ["x", "%00", "AAAA", letter(), letter(v=1), letter(v=1, state=3), "e30" * 3000]


@pytest.mark.parametrize("fragment", RUBBISH, ids=range(len(RUBBISH)))
def test_coming_back_with_rubbish(stage: World, fragment: str) -> None:
    page = stage.page()
    way.to_proof(page)
    page.locator("#show-age").click()
    page.locator("#stop").wait_for()
    page.goto(f"/en#{fragment}")
    told(page, "threw it all away")
    assert page.url == f"{stage.installation.url}/en"
    assert page.evaluate(STORED) == [0, 0]
    page.locator("#show-age").click()  # who we are was in what was thrown away: it asks again
    way.step(page, "age")


def refused_for_its_age(page: Page, *files: Path) -> None:
    """At the choice again after a report, with everything chosen."""
    way.get_pass(page)
    way.press_next(page, "passed")
    way.on_to_check(page, *files)
    refusal = {"code": "age-token-spent", "status": 401}
    page.route("**/v1/reports", lambda route: route.fulfill(status=401, json=refusal))
    page.locator("#send").click()
    told(page, "Nothing else is lost")
    page.unroute("**/v1/reports")


def test_rubbish_that_costs_the_photos_says_so_and_the_way_is_open_again(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    refused_for_its_age(page, PHOTO, PHOTOS / "rocket.jpg")
    page.route("**/grant", lambda route: route.fulfill(status=404))  # or it comes back at once
    page.locator("#show-age").click()
    page.locator("#stop").wait_for()
    page.goto(f"/en#{letter(v=1, state='AAAA')}")
    told(page, "pick your age and your photos again")
    way.step(page, "proof").locator("[data-go=without]").click()
    way.pick(page, "age", "13_15")
    way.step(page, "proof").locator("[data-go=without]").click()
    way.pick(page, "you", "me")
    expect(way.step(page, "choose").locator("#chosen")).to_be_hidden()
    way.choose(page, PHOTO)
    way.press_next(page, "choose")
    way.press_next(page, "where")
    way.step(page, "check")
    assert basis(stage, way.send(page)) == "declared"


def test_a_bad_signature_costs_no_photos(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    refused_for_its_age(page, PHOTO)
    page.route("**/token-request", lambda route: route.fulfill(status=200, body=bytes(256)))
    page.locator("#show-age").click()
    told(page, "Nothing else is lost")
    way.step(page, "proof").locator("[data-go=without]").click()
    way.press_next(page, "where")
    way.step(page, "check")
    assert len(sent(page)["items"]) == 1


@pytest.mark.parametrize("change", ["state", "signed", "version", "longer", "shorter"])
def test_coming_back_with_something_else(stage: World, change: str) -> None:
    page = stage.page()
    way.to_proof(page)
    address, waiting = coming_back(page)
    members = read(address)
    changes: dict[str, dict[str, Any]] = {
        "state": {"state": base64.urlsafe_b64encode(bytes(32)).decode()},
        "signed": {"signed": "A"},
        "version": {"v": 2},
        "longer": {"signed": [f"{members['signed'][0]}AAAA"]},
        "shorter": {"signed": []},
    }
    page.goto(f"{stage.weather}/between")
    page.goto(f"/en#{letter(**{**members, **changes[change]})}")
    assert waiting
    told(page, "threw it all away" if change == "state" else "threw it away")


def test_what_waits_in_the_tab_says_nothing(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    address, waiting = coming_back(page)
    raw = base64.urlsafe_b64decode(waiting)
    assert not any(word in raw for word in (b"answers", b"13_15", b"secrets", b"message"))
    assert page.evaluate("Object.keys(sessionStorage)") == ["n"]
    assert set(read(address)) == {"v", "state", "signed"}
    page.reload()
    way.step(page, "passed")
    assert page.evaluate(STORED) == [0, 0]
    assert page.evaluate("location.hash") == ""


def test_coming_back_days_later(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    page.locator("#show-age").click()
    page.locator("#stop").wait_for()
    page.add_init_script(TWO_DAYS)
    way.at_broker(page)
    told(page, "too old")


# ---- coming back without a line ------------------------------------------------------------------


def test_coming_back_without_a_line_waits_for_the_line(stage: World) -> None:
    """The browser says that there is no internet; trying again there loses nothing."""
    page = stage.page()
    way.to_proof(page)
    page.route("**/en", lambda route: route.abort("internetdisconnected"))
    with page.expect_event("requestfailed", lambda asked: "/en" in asked.url):
        way.get_pass(page)
    page.unroute("**/en")
    page.wait_for_timeout(500)
    assert "passed" not in page.content()
    page.reload()
    way.step(page, "passed")
    way.press_next(page, "passed")
    way.on_to_check(page, PHOTO)
    assert sent(page)["age"] == {"profile": "pp-under18-v1", "band": "13_15"}


def kept_page(stage: World) -> Page:
    """At the choice, on a page that is kept on the phone."""
    page = stage.page()
    way.press_next(page, "leave")
    page.locator("#offline summary").click()
    page.locator("#keep").click()
    expect(page.locator("#keep")).to_have_text("Done. It now opens with no internet.")
    page.reload()
    way.to_proof(page)
    return page


def line_breaks_at_the_broker(page: Page, after: str) -> None:
    """From that request on, which still is answered."""

    def last_answer(route: Route) -> None:
        answer = route.fetch()
        page.context.set_offline(True)
        route.fulfill(response=answer)

    page.route(f"**/{after}", last_answer)


def test_a_kept_page_takes_the_pass_without_a_line(stage: World) -> None:
    page = kept_page(stage)
    line_breaks_at_the_broker(page, "token-request")
    way.get_pass(page)
    way.press_next(page, "passed")
    way.pick(page, "you", "me")
    way.step(page, "choose")
    way.choose(page, PHOTO)
    way.press_next(page, "choose")
    expect(way.step(page, "choose").locator(".wrong")).to_contain_text(
        "Nothing is lost", timeout=way.WITHIN_MS
    )
    page.context.set_offline(False)
    way.press_next(page, "choose")
    way.press_next(page, "where")
    way.step(page, "check")
    assert basis(stage, way.send(page)) == "verified_document"


def test_a_kept_page_gives_the_choice_without_a_line(stage: World) -> None:
    page = kept_page(stage)
    with page.expect_response("**/grant"):  # the last thing that the broker's page asks for
        page.locator("#show-age").click()
    page.context.set_offline(True)
    page.locator("#stop").click()
    told(page, "That's OK")
    page.locator("#show-age").click()
    told(page, "no internet")
    way.step(page, "proof").locator("[data-go=without]").click()
    way.pick(page, "you", "me")
    way.step(page, "choose")


def test_coming_back_with_nothing_begins_anew(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    page.locator("#show-age").click()
    page.locator("#stop").wait_for()
    page.goto("/en")
    way.step(page, "leave")
    assert page.evaluate(STORED) == [0, 0]


# ---- sending -------------------------------------------------------------------------------------


def in_two_tabs(stage: World) -> tuple[Page, Page]:
    """One pass that came back to two tabs."""
    context = stage.context()
    first, second = context.new_page(), context.new_page()
    first.goto("/en")
    way.to_proof(first)
    address, waiting = coming_back(first)
    second.goto("/en")
    second.evaluate("kept => sessionStorage.setItem('n', kept)", waiting)
    second.goto(f"{stage.weather}/between")
    second.goto(address)
    first.reload()
    return first, second


def test_one_pass_in_two_tabs_counts_once_and_nothing_is_lost(stage: World) -> None:
    first, second = in_two_tabs(stage)
    for page in (first, second):
        way.press_next(page, "passed")
        way.pick(page, "you", "me")
        way.step(page, "choose")
        way.choose(page, PHOTO, PHOTOS / "rocket.jpg")
        way.press_next(page, "choose")
        way.step(page, "where").get_by_label("Postcard").uncheck()
        way.press_next(page, "where")
        way.step(page, "check")
    assert basis(stage, way.send(first)) == "verified_document"
    second.locator("#send").click()
    told(second, "Nothing else is lost")
    items = sent(second)["items"]

    second.locator("#show-age").click()  # the broker has more for the one who was there
    way.press_next(second, "passed")
    expect(way.step(second, "where").get_by_label("Postcard")).not_to_be_checked()
    way.press_next(second, "where")
    way.step(second, "check")
    assert sent(second)["items"] == items
    assert basis(stage, way.send(second)) == "verified_document"


def test_a_spent_pass_need_not_be_replaced(stage: World) -> None:
    first, second = in_two_tabs(stage)
    for page in (first, second):
        way.press_next(page, "passed")
        way.on_to_check(page, PHOTO)
    way.send(first)
    second.locator("#send").click()
    way.step(second, "proof").locator("[data-go=without]").click()
    way.step(second, "check")
    assert sent(second)["age"]["profile"] == "declared-v1"
    assert basis(stage, way.send(second)) == "declared"


def test_a_report_refused_for_another_reason_leaves_the_pass(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    way.get_pass(page)
    way.press_next(page, "passed")
    way.on_to_check(page, PHOTO)
    problem = {"code": "too-much", "status": 422}
    body = json.dumps(problem)
    page.route("**/v1/reports", lambda route: route.fulfill(status=422, body=body))
    page.locator("#send").click()
    expect(way.step(page, "check").locator(".wrong")).to_contain_text("too many at once")
    page.unroute("**/v1/reports")
    assert basis(stage, way.send(page)) == "verified_document"


def test_a_pass_that_could_not_be_sent_is_there_the_next_time(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    way.get_pass(page)
    way.press_next(page, "passed")
    way.on_to_check(page, PHOTO)
    page.context.set_offline(True)
    page.locator("#send").click()
    expect(way.step(page, "check").locator(".wrong")).not_to_be_empty(timeout=way.WITHIN_MS)
    page.context.set_offline(False)
    way.step(page, "check").locator("[data-go=back]").click()
    way.press_next(page, "where")
    way.step(page, "check")
    assert sent(page)["age"]["profile"] == "pp-under18-v1"
    assert basis(stage, way.send(page)) == "verified_document"


def test_a_lost_answer_is_asked_for_again_with_the_same_pass(stage: World) -> None:
    page = stage.page()
    way.to_proof(page)
    way.get_pass(page)
    way.press_next(page, "passed")
    way.on_to_check(page, PHOTO)
    seen: list[tuple[str, str]] = []

    def drop_after_arrival(route: Route) -> None:
        headers = route.request.headers
        seen.append((headers["idempotency-key"], headers["authorization"]))
        answer = route.fetch()
        if len(seen) < 3:
            route.abort("connectionreset")
        else:
            route.fulfill(response=answer)

    page.route("**/v1/reports", drop_after_arrival)
    code = way.send(page)
    assert (len(seen), len(set(seen))) == (3, 1)
    assert basis(stage, code) == "verified_document"


# ---- kept for later ------------------------------------------------------------------------------


def with_spares(stage: World) -> tuple[BrowserContext, Page]:
    context = stage.context()
    page = context.new_page()
    page.goto("/en")
    way.to_proof(page)
    way.ask_for_spares(page)
    way.get_pass(page)
    way.step(page, "passed")
    return context, page


def test_spares_are_kept_only_when_asked_and_used_once(stage: World) -> None:
    context, page = with_spares(stage)
    assert page.evaluate("Object.keys(localStorage)") == ["n"]
    for left in (1, 0):
        later = context.new_page()
        later.goto("/en")
        for name in ("leave", "start", "safe"):
            way.press_next(later, name)
        way.pick(later, "age", "under_13")
        way.on_to_check(later, PHOTO)  # nobody was asked for a pass
        assert basis(stage, way.send(later)) == "verified_document"
        kept = later.evaluate("JSON.parse(localStorage.getItem('n') ?? '[]').length")
        assert kept == left
    assert later.evaluate("localStorage.length") == 0


def test_spares_of_the_past_are_dropped(stage: World) -> None:
    _, page = with_spares(stage)
    page.add_init_script(TWO_DAYS)
    page.goto("/en")
    way.step(page, "leave")
    assert page.evaluate("localStorage.length") == 0


def test_leaving_takes_spares_away(stage: World) -> None:
    context, page = with_spares(stage)
    page.locator("header .leave").click()
    page.wait_for_url(f"{stage.weather}/today")
    context.clear_cookies()
    page.goto("/en")
    assert page.evaluate(STORED) == [0, 0]


@pytest.mark.parametrize("kept", ["{", "7", "null", '[{"day": 1}]', "[null]", '[{"day":"x"}]'])
def test_what_is_not_ours_in_the_phones_store_does_no_harm(stage: World, kept: str) -> None:
    page = stage.page()
    page.evaluate("kept => localStorage.setItem('n', kept)", kept)
    page.reload()
    way.to_proof(page)


# ---- leaving -------------------------------------------------------------------------------------


def at_passed(page: Page) -> None:
    way.get_pass(page)
    way.step(page, "passed")


def at_check(page: Page) -> None:
    at_passed(page)
    way.press_next(page, "passed")
    way.on_to_check(page, PHOTO)


def back_with_nothing(page: Page) -> None:
    page.locator("#show-age").click()
    page.locator("#stop").click()
    way.step(page, "proof")


@pytest.mark.parametrize("where", [lambda page: None, at_passed, at_check, back_with_nothing])
@pytest.mark.parametrize("how", ["header .leave", "Shift"])
def test_after_leaving_the_history_has_nothing_of_ours(stage: World, where: Any, how: str) -> None:
    page = stage.context().new_page()
    page.goto(f"{stage.weather}/before")
    page.goto("/en")
    way.to_proof(page)
    where(page)
    if how == "Shift":
        page.locator("h1:visible").focus()
        for _ in range(3):
            page.keyboard.press("Shift")
    else:
        page.locator(how).click()
    page.wait_for_url(f"{stage.weather}/today")
    line = page.context.new_cdp_session(page)
    entries = [one["url"] for one in line.send("Page.getNavigationHistory")["entries"]]
    assert entries[-1] == f"{stage.weather}/today"
    assert not any(stage.installation.url in entry for entry in entries)
    assert not any("#" in entry for entry in entries)
    with suppress(Error):  # the broker's own page may not open a second time
        page.go_back()
    assert not page.url.startswith(stage.installation.url)


def test_coming_back_after_leaving_leads_away_with_nothing_behind(stage: World) -> None:
    context = stage.context()
    away, other = context.new_page(), context.new_page()
    away.goto("/en")
    way.to_proof(away)
    away.locator("#show-age").click()
    away.locator("#stop").wait_for()
    other.goto("/en")
    other.locator("header .leave").click()
    other.wait_for_url(f"{stage.weather}/today")
    way.at_broker(away)
    away.wait_for_url(f"{stage.weather}/today*")
    assert away.url == f"{stage.weather}/today#top"


# ---- the command line ----------------------------------------------------------------------------


def test_passes_fetched_by_the_command_line_count_once_each(stage: World, tmp_path: Path) -> None:
    assert stage.broker is not None
    kept = tmp_path / "passes"
    asked = [
        "--url",
        stage.installation.url,
        "--broker",
        stage.broker.facts["url"],
        "--years",
        "15",
    ]
    done = CliRunner().invoke(fetch_passes, [*asked, "--pass-file", str(kept), "--json"])
    assert (done.exit_code, json.loads(done.output)) == (0, {"passes": 3})
    service = Service(stage.installation.url)
    challenge = service.challenge()
    items = [{"kind": "photo", "hashes": hashed(PHOTO)}]
    codes = [new_code() for _ in range(2)]
    bodies = [
        report_body(case_key(code, challenge["case_key"]), "pp-under18-v1", "13_15", items)
        for code in codes
    ]
    with shown(challenge, kept, None, 0) as headers:
        service.send("/v1/reports", bodies[0], headers)
    assert basis(stage, codes[0]) == "verified_document"
    with pytest.raises(Refused) as refused:
        service.send("/v1/reports", bodies[1], headers)
    assert refused.value.code == "age-token-spent"
    with shown(challenge, kept, None, 0) as headers:
        service.send("/v1/reports", bodies[1], headers)
    assert PassFile(kept).add([], time.time()) == 1


# ---- the broker's page ---------------------------------------------------------------------------


def request(stage: World, **changed: Any) -> str:
    """The address of the broker's page with a request behind the `#`."""
    assert stage.broker is not None
    broker = stage.broker.facts["url"]
    key = hashlib.sha256(base64.urlsafe_b64decode(key_of(broker))).digest()
    members = {
        "v": 1,
        "key": base64.urlsafe_b64encode(key).decode(),
        "blinded": [base64.urlsafe_b64encode(bytes([1]) * 256).decode()],
        "back": f"{stage.installation.url}/en",
        "state": "somebody",
    }
    return f"{broker}/pass#{letter(**{**members, **changed})}"


NOBODY: dict[str, dict[str, Any]] = {
    "a stranger": {"back": "https://elsewhere.example/"},
    "a script": {"back": "javascript:alert(1)//http://127.0.0.1"},
    "data": {"back": "data:text/html,x"},
    "no address": {"back": "/en"},
    "a name and password": {"back": "http://a:b@127.0.0.1/"},
    "no message": {"blinded": []},
    "four messages": {"blinded": ["AAAA"] * 4},
    "a short message": {"blinded": ["AAAA"]},
    "a short key": {"key": "AAAA"},
    "no state": {"state": ""},
    "another version": {"v": 2},
}


@pytest.mark.parametrize("name", NOBODY)
def test_the_broker_sends_nobody_back_to_what_it_does_not_know(stage: World, name: str) -> None:
    page = stage.context().new_page()
    page.goto(request(stage, **NOBODY[name]))
    expect(page.locator("#status")).to_contain_text("Nobody is waiting")
    expect(page.locator("#choose")).to_be_hidden()
    assert page.evaluate("sessionStorage.length") == 0


def test_a_key_that_the_broker_does_not_have_is_not_asked_for(stage: World) -> None:
    """So no service can have a key of its own for one person."""
    page = stage.context().new_page()
    page.route("**/pages/main.js", lambda route: route.abort())
    page.goto(request(stage, key=base64.urlsafe_b64encode(bytes(32)).decode()))
    page.wait_for_url("**/en#*")
    assert read(page.url) == {"v": 1, "state": "somebody", "problem": "unavailable"}


def test_only_ways_that_say_what_the_key_says_are_shown(stage: World) -> None:
    page = stage.context().new_page()
    page.goto(request(stage))
    expect(page.locator("form[action='/providers/development/start']")).to_be_visible()
    expect(page.locator("form[action='/providers/development-estimate/start']")).to_be_hidden()


# ---- who learns what -----------------------------------------------------------------------------


def test_the_broker_is_not_told_who_asks_and_we_send_what_is_on_the_list(stage: World) -> None:
    assert stage.broker is not None
    broker = stage.broker.facts["url"]
    trust = stage.installation.processes.folder / "issuers.toml"
    key = base64.urlsafe_b64decode(key_of(broker))
    with relay_to(stage.installation.url, stage.relay_port) as ours, relay_to(broker) as theirs:
        write_trust(trust, broker, f"{theirs.url}/pass")
        try:
            page = stage.page("/en", base_url=ours.url)
            way.to_proof(page)
            way.get_pass(page)
            way.press_next(page, "passed")
            way.on_to_check(page, PHOTO)
            way.send(page)
        finally:
            write_trust(trust, broker)
    host = ours.url.removeprefix("http://")
    assert faults_at_broker(theirs.seen, host) == []
    assert faults(ours.seen, [PHOTO], token_key=key) == []
    [shown] = [v for one in ours.seen for n, v in one.headers if n.lower() == "authorization"]
    token = base64.urlsafe_b64decode(shown[20:-1])
    everything = repr([(one.target, one.headers, one.body) for one in theirs.seen]).encode()
    parts = [token[at : at + 16] for at in (2, 18, *range(98, 354, 16))]
    heard = b"".join(one.body for one in theirs.seen) + everything
    assert not any(part in heard or part.hex().encode() in heard for part in parts)


def test_the_kit_would_notice(stage: World) -> None:
    """Without the pass's key on the list, a pass is one header too many; a told host is found."""
    assert stage.broker is not None
    with relay_to(stage.installation.url, stage.relay_port) as ours:
        page = stage.page("/en", base_url=ours.url)
        way.to_proof(page)
        way.get_pass(page)
        way.press_next(page, "passed")
        way.on_to_check(page, PHOTO)
        way.send(page)
    assert any("authorization" in fault.lower() for fault in faults(ours.seen, [PHOTO]))
    assert faults_at_broker(ours.seen, ours.url.removeprefix("http://")) != []
