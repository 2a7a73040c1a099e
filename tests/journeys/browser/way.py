"""The young person's way, as clicks."""

from __future__ import annotations

import re
import time
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Locator, Page, Route, expect

WITHIN_MS = 20_000


def step(page: Page, name: str) -> Locator:
    """The screen of that name, once it is shown."""
    section = page.locator(f"[data-step={name}]")
    expect(section).to_be_visible(timeout=WITHIN_MS)
    return section


def press_next(page: Page, name: str) -> None:
    """Go on from that screen."""
    step(page, name).locator("[data-go=next]").click()


def pick(page: Page, name: str, value: str) -> None:
    """Answer a screen's question and go on."""
    step(page, name).locator(f"input[value='{value}']").check()
    press_next(page, name)


def to_choose(page: Page, age: str = "13_15") -> None:
    """From the first screen to where photos are chosen."""
    for name in ("leave", "start", "safe"):
        press_next(page, name)
    pick(page, "age", age)
    pick(page, "you", "me")
    step(page, "choose")


def to_proof(page: Page, age: str = "13_15") -> None:
    """From the first screen to the choice how the age is shown."""
    for name in ("leave", "start", "safe"):
        press_next(page, name)
    pick(page, "age", age)
    step(page, "proof")


def get_pass(page: Page, years: int = 15, person: str = "") -> None:
    """From the choice how the age is shown to the broker's pages, and back."""
    step(page, "proof").locator("#show-age").click()
    at_broker(page, years, person)


def ask_for_spares(page: Page) -> None:
    """Ask for passes to be kept on the phone, on the screen that offers one."""
    step(page, "proof").locator("#more summary").click()
    page.locator("#keep-spares").check()


def at_broker(page: Page, years: int = 15, person: str = "") -> None:
    """Through the broker's pages, back to ours."""
    page.locator("form[action='/providers/development/start'] button").click()
    page.locator("#age").fill(str(years))
    page.locator("#person").fill(person)
    page.locator("main form button").click()


def on_to_check(page: Page, *files: Path) -> None:
    """From where the age is known to the last look before sending."""
    pick(page, "you", "me")
    step(page, "choose")
    choose(page, *files)
    press_next(page, "choose")
    press_next(page, "where")
    step(page, "check")


def choose(page: Page, *files: Path) -> None:
    """Hand files to the box and wait until it has finished with each."""
    rows = page.locator("#files li")
    before = rows.count()
    chooser = page.frame_locator("#box").locator("#file")
    expect(chooser).to_be_enabled(timeout=WITHIN_MS)
    chooser.set_input_files([str(file) for file in files])
    expect(rows).to_have_count(before + len(files), timeout=WITHIN_MS)
    expect(page.locator("#files progress")).to_have_count(0, timeout=WITHIN_MS)


def to_check(page: Page, *files: Path) -> None:
    """From the first screen to the last look before sending."""
    to_choose(page)
    choose(page, *files)
    press_next(page, "choose")
    press_next(page, "where")
    step(page, "check")


def send(page: Page) -> str:
    """Send; the case code, sixteen digits."""
    page.locator("#send").click()
    step(page, "code")
    return re.sub(r"\D", "", page.locator("#code").inner_text())


def lose_answers(page: Page) -> list[str]:
    """The service takes the reports, and the line breaks before it can say so; their bodies."""
    arrived: list[str] = []

    def lose(route: Route) -> None:
        arrived.append(route.request.post_data or "")
        route.fetch()
        route.abort("connectionreset")

    page.route("**/v1/reports", lose)
    return arrived


def send_without_answer(page: Page) -> None:
    page.locator("#send").click()
    expect(step(page, "check").locator(".wrong")).to_contain_text("Nothing is lost", timeout=20_000)
    page.unroute("**/v1/reports")


def report(page: Page, *files: Path) -> str:
    """The whole way from the first screen to the status; the case code."""
    to_check(page, *files)
    code = send(page)
    page.locator("#kept").click()
    step(page, "status")
    return code


def tab_to(page: Page, selector: str) -> None:
    """Tab until it has the focus, as one does who has no mouse."""
    page.locator(selector).wait_for()
    for _ in range(60):
        if page.evaluate("s => document.activeElement?.matches(s) ?? false", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reached {selector}")


def outcomes(page: Page) -> dict[str, str]:
    """What the status screen says of each platform, by the service's word."""
    rows = page.locator("#items [data-outcome]")
    return {
        row.locator(".app").inner_text(): row.get_attribute("data-outcome") or ""
        for row in rows.all()
    }


def until_outcomes(page: Page, wanted: dict[str, str]) -> None:
    """Look again, as a person would, until the platforms have answered so."""
    give_up_at = time.monotonic() + WITHIN_MS / 1000
    while (found := outcomes(page)) != wanted:
        assert time.monotonic() < give_up_at, found
        page.locator("#look").click()
        expect(page.locator("#look[aria-busy]")).to_have_count(0)
        page.wait_for_timeout(150)


def open_case(page: Page, code: str) -> None:
    """Come back with a case code."""
    press_next(page, "leave")
    step(page, "start").locator("[data-go=enter]").click()
    step(page, "enter").locator("#typed").fill(code)
    page.locator("#open").click()
    step(page, "status")


def withdraw(page: Page) -> None:
    """Take the case back from the status screen."""
    step(page, "status").locator("[data-go=change]").click()
    step(page, "change").locator("[data-go=withdraw]").click()
    step(page, "withdraw").locator("#withdraw").click()
    step(page, "status")


def held(page: Page, pattern: str) -> list[Route]:
    """The requests that wait to be answered from now on."""
    waiting: list[Route] = []

    def keep(route: Route) -> None:
        waiting.append(route)

    page.route(pattern, keep)
    return waiting


def errors_of(page: Page, of: str = "") -> list[str]:
    """Collects what the browser complains about from now on, `of` addresses that begin so."""
    said: list[str] = []

    def hear(line: ConsoleMessage) -> None:
        if line.type == "error" and line.location["url"].startswith(of):
            said.append(line.text)

    page.on("pageerror", lambda fault: said.append(str(fault)))
    page.on("console", hear)
    return said


def grouped(code: str) -> str:
    """A case code as it is shown."""
    return " ".join(code[at : at + 4] for at in range(0, len(code), 4))
