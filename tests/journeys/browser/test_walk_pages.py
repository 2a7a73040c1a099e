"""What a walk through the pages found: nobody is left before a page that says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect

from app.web.child.languages import load
from tests.journeys.browser import way
from tests.journeys.browser.test_for_everyone import SHOW, faults, steps
from tests.journeys.browser.world import ARGUMENTS, CHROMIUM, PHOTO, World

pytestmark = pytest.mark.browser

WORDS = load()["en"].words
PHONE: ViewportSize = {"width": 360, "height": 740}
FAST = 20
HASTE = f"{{ const plain = setTimeout; setTimeout = (f, ms) => plain(f, ms / {FAST}); }}"
AT_ONCE_MS = 3500


def hasty(stage: World) -> Page:
    """A page on which everything that waits does so for a twentieth of its time."""
    page = stage.context(viewport=PHONE).new_page()
    page.add_init_script(HASTE)
    page.goto("/en")
    return page


def wrong(page: Page, step: str) -> str:
    return page.locator(f"[data-step={step}] .wrong").inner_text()


def pictures(folder: Path, count: int) -> list[Path]:
    picture = Image.open(PHOTO).convert("RGB").resize((300, 200))
    made = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(made):
        picture.rotate(number * 3).save(path, quality=80)
    return made


# ---- a line that hangs ---------------------------------------------------------------------------


def test_a_line_that_hangs_is_said_and_the_next_send_is_the_same_report(stage: World) -> None:
    page = hasty(stage)
    way.to_check(page, PHOTO)
    hanging = way.held(page, "**/v1/reports")
    page.locator("#send").click()
    said = way.step(page, "check").locator(".wrong")
    expect(said).to_have_text(WORDS["problem.slow"])
    expect(page.locator("#send")).to_have_text(WORDS["check.sending"])
    expect(said).to_have_text(WORDS["problem.no_answer"])
    expect(page.locator("#send")).to_have_text(WORDS["check.send"])
    page.unroute("**/v1/reports")
    with page.expect_request("**/v1/reports") as again:
        code = way.send(page)
    assert len(hanging) == 1
    for first, second in [(hanging[0].request, again.value)]:
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
        assert first.post_data == second.post_data
    assert len(code) == 16


def test_what_takes_long_and_comes_leaves_nothing_wrong_behind(stage: World) -> None:
    page = hasty(stage)
    way.report(page, PHOTO)
    waiting = way.held(page, "**/v1/case/open")
    page.locator("#look").click()
    said = way.step(page, "status").locator(".wrong")
    expect(said).to_have_text(WORDS["problem.slow"])
    waiting[0].continue_()
    expect(page.locator("#look[aria-busy]")).to_have_count(0)
    expect(said).to_be_empty()


# ---- large letters -------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "cy", "ar"])
def test_with_letters_of_200_percent_nothing_runs_out_of_a_phone(
    stage: World, language: str
) -> None:
    large = [*ARGUMENTS, "--blink-settings=defaultFontSize=32"]
    browser = stage.browser.browser_type.launch(executable_path=CHROMIUM, args=large)
    page = browser.new_page(viewport=PHONE, base_url=stage.installation.url)
    page.goto(f"/{language}")
    way.to_check(page, PHOTO)
    assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "32px"
    inside(page, ".leave")
    way.send(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for part in (".leave", "#copy", "#hide"):
        inside(page, part)
    for name in steps(page):
        page.evaluate(SHOW, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    browser.close()


def inside(page: Page, part: str) -> None:
    box = page.locator(part).bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"], part
    assert page.locator(part).evaluate("e => e.scrollWidth <= e.clientWidth"), part


# ---- a part that does not come -------------------------------------------------------------------


@pytest.mark.parametrize("part", ["words.js", "main.js", "privacy-pass.js", "letters.js"])
def test_a_page_without_one_of_its_parts_says_so_and_whom_to_call(stage: World, part: str) -> None:
    context = stage.context(viewport=PHONE, reduced_motion="reduce")
    page = context.new_page()
    page.route(f"**/pages/{part}", lambda route: route.abort("connectionreset"))
    page.goto("/en")
    late = way.step(page, "late")
    expect(late).to_contain_text(WORDS["late.about"])
    expect(late.locator("a[href^='tel:']").first).to_be_visible()
    assert faults(page, "late") == {}
    page.unroute(f"**/pages/{part}")
    late.locator(".go a").click()
    way.step(page, "leave")
    expect(late).to_be_hidden()


def test_only_a_page_that_is_late_says_so_and_only_until_it_is_there(stage: World) -> None:
    page = stage.context().new_page()
    held = way.held(page, "**/pages/main.js")
    page.goto("/en", wait_until="commit")
    late = page.locator("[data-step=late]")
    late.wait_for(state="attached")
    page.wait_for_timeout(500)
    expect(late).to_be_hidden()
    expect(late).to_be_visible()
    held[0].continue_()
    way.step(page, "leave")
    expect(late).to_be_hidden()


def test_without_scripts_the_page_says_one_thing(stage: World) -> None:
    page = stage.page(java_script_enabled=False)
    expect(page.locator(".no-script")).to_be_visible()
    page.wait_for_timeout(4500)
    expect(page.locator("[data-step=late]")).to_have_count(1)
    expect(page.locator("[data-step=late]")).to_be_hidden()


# ---- many files ----------------------------------------------------------------------------------


def test_stop_stops_the_one_beside_it_and_no_other(stage: World, tmp_path: Path) -> None:
    files = pictures(tmp_path, 30)
    page = stage.page(viewport=PHONE)
    way.to_choose(page)
    page.frame_locator("#box").locator("#file").set_input_files([str(file) for file in files])
    rows = page.locator("#files li")
    rows.last.locator("button").dispatch_event("click")
    expect(rows.last).to_contain_text(WORDS["refused.stopped"], timeout=1000)
    assert page.locator("#files progress").count() > 0  # the others go on
    expect(page.locator("#files .ready")).to_have_count(len(files) - 1, timeout=60_000)
    expect(page.locator("#files .refused")).to_have_count(1)


def test_the_one_under_way_stops_at_once(stage: World, tmp_path: Path) -> None:
    files = pictures(tmp_path, 3)
    long = tmp_path / "long.png"
    Image.effect_noise((5000, 4000), 90).save(long)
    page = stage.page(viewport=PHONE)
    way.to_choose(page)
    chooser = page.frame_locator("#box").locator("#file")
    chooser.set_input_files([str(file) for file in (long, *files)])
    row = page.locator("#files li").first
    pressed = row.locator("button").element_handle()
    expect(row.locator("progress")).not_to_have_attribute("value", "0")
    assert pressed.evaluate("button => button.isConnected")  # still there when the finger is lifted
    pressed.click()
    expect(page.locator("#files .ready")).to_have_count(len(files))
    expect(row).to_contain_text(WORDS["refused.stopped"])
    expect(chooser).to_be_enabled()


def test_what_was_left_out_stays_said(stage: World, tmp_path: Path) -> None:
    files = pictures(tmp_path, 52)
    page = stage.page(viewport=PHONE)
    way.to_choose(page)
    page.frame_locator("#box").locator("#file").set_input_files([str(file) for file in files])
    left_out = page.locator("#rest")
    expect(left_out).to_contain_text("We left out the rest")
    way.press_next(page, "choose")  # too early
    expect(way.step(page, "choose").locator(".wrong")).to_have_text(WORDS["choose.busy"])
    expect(left_out).to_be_visible()
    expect(page.locator("#files .ready")).to_have_count(50, timeout=60_000)
    way.press_next(page, "choose")
    way.step(page, "where").locator("[data-go=back]").click()
    way.step(page, "choose")
    expect(left_out).to_be_visible()
    for button in page.locator("#files button").all()[::-1]:
        button.dispatch_event("click")
    way.choose(page, PHOTO)
    expect(left_out).to_be_hidden()
