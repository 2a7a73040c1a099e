"""From a photo to 'Taken down' and back, by clicking in a real browser."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FileChooser, Page, Route, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from app.client.case_code import case_key
from app.client.service import Service
from hashing.video import Vpdq
from tests.hashing import film
from tests.journeys.browser import way
from tests.journeys.browser.world import COPY, EDITS, PHOTO, PHOTOS, STRANGERS, World
from tests.journeys.processes import ROOT

pytestmark = pytest.mark.browser

BOTH = {"Picnic": "taken_down", "Postcard": "not_found"}
FORGOTTEN = dict.fromkeys(BOTH, "forgotten")
NARROW = {"viewport": {"width": 320, "height": 568}}
TAKEN_DOWN = {"en": "Taken down", "cy": "Wedi'i dynnu i lawr", "ar": "أُزيلت"}


@pytest.mark.parametrize("language", ["en", "cy", "ar"])
def test_a_photo_is_taken_down_and_the_case_taken_back(stage: World, language: str) -> None:
    copies = {f"{edit}-chelsea.jpg" for edit in EDITS}
    assert copies <= set(stage.finder.listed())
    page = stage.page(f"/{language}")
    errors = way.errors_of(page)
    code = way.report(page, PHOTOS / "chelsea.jpg")
    assert len(code) == 16
    way.until_outcomes(page, BOTH)
    expect(page.locator("[data-outcome=taken_down] .outcome")).to_have_text(TAKEN_DOWN[language])
    # Only copies with an edit were there: a crop, a mirror image, a screenshot with bars.
    listed = set(stage.finder.listed())
    assert not copies & listed
    assert set(STRANGERS) <= listed
    way.withdraw(page)
    way.until_outcomes(page, FORGOTTEN)
    assert errors == []


def test_no_screen_is_wider_than_a_small_phone(stage: World) -> None:
    for language in ("en", "cy", "ar"):
        page = stage.page(f"/{language}", **NARROW)
        way.report(page, PHOTO)
        for name in page.locator("[data-step]").evaluate_all("all => all.map(s => s.dataset.step)"):
            wide = page.evaluate(_WIDTH_OF, name)
            assert wide <= 320, (language, name)


_WIDTH_OF = """name => {
  for (const s of document.querySelectorAll('[data-step]')) s.hidden = s.dataset.step !== name;
  for (const d of document.querySelectorAll('details')) d.open = true;
  return document.documentElement.scrollWidth;
}"""


def test_the_whole_way_with_the_keyboard_alone(stage: World) -> None:
    page = stage.page()
    for name in ("leave", "start", "safe"):
        _press(page, name, "[data-go=next]")
    for name, value in (("age", "16_17"), ("you", "me")):
        way.step(page, name)
        _tab_to(page, f"input[name={name}]")
        page.keyboard.press("Space")
        while page.evaluate("document.activeElement.value") != value:
            page.keyboard.press("ArrowDown")
        _press(page, name, "[data-go=next]")
    _choose_by_keyboard(page)
    _press(page, "choose", "[data-go=next]")
    _press(page, "where", "[data-go=next]")
    _press(page, "check", "#send")
    _press(page, "code", "#kept")
    way.until_outcomes(page, BOTH)
    _press(page, "status", "[data-go=change]")
    _press(page, "change", "[data-go=withdraw]")
    _press(page, "withdraw", "#withdraw")
    way.until_outcomes(page, FORGOTTEN)


def _tab_to(page: Page, selector: str) -> None:
    """Tab until it has the focus, as one does who has no mouse."""
    for _ in range(60):
        if page.evaluate("s => document.activeElement?.matches(s) ?? false", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reached {selector}")


def _press(page: Page, name: str, selector: str) -> None:
    way.step(page, name)
    _tab_to(page, f"[data-step={name}] {selector}")
    expect(page.locator(f"[data-step={name}] {selector}")).to_be_enabled()  # #kept wakes late
    page.keyboard.press("Enter")


def _file_chooser_by_space(page: Page) -> FileChooser:
    """Pressed again if need be: on a busy machine a key still goes to the page around the box."""
    for _ in range(4):
        try:
            with page.expect_file_chooser(timeout=5000) as opened:
                page.keyboard.press("Space")
            return opened.value
        except PlaywrightTimeout:
            continue
    raise AssertionError("Space opens no file chooser")


def _choose_by_keyboard(page: Page) -> None:
    way.step(page, "choose")
    expect(page.frame_locator("#box").locator("#file")).to_be_enabled()
    _tab_to(page, "#box")
    # The box is a process of its own: it has the focus a moment after its frame has.
    expect(page.frame_locator("#box").locator("#file")).to_be_focused()
    _file_chooser_by_space(page).set_files(str(PHOTO))
    expect(page.locator("#files .ready")).to_have_count(1, timeout=way.WITHIN_MS)


def test_coming_back_with_the_case_code_and_adding_a_photo(stage: World) -> None:
    first = stage.page()
    code = way.report(first, PHOTO)
    page = stage.page()
    way.open_case(page, f"{code[:4]}-{code[4:8]} {code[8:]}")
    page.locator("[data-step=status] [data-go=change]").click()
    page.locator("[data-step=change] [data-go=add]").click()
    way.choose(page, PHOTOS / "rocket.jpg")
    way.press_next(page, "choose")
    way.press_next(page, "where")
    way.step(page, "check").locator("#send").click()
    way.step(page, "added").locator("#seen").click()
    way.step(page, "status")
    expect(page.locator("#items .item")).to_have_count(2)


def test_the_case_code_opens_the_case_on_the_command_line_too(stage: World) -> None:
    code = way.report(stage.page(), PHOTO)
    service = Service(stage.installation.url)
    found = service.open(case_key(code, service.challenge()["case_key"]))
    assert (found["state"], len(found["items"])) == ("active", 1)


def test_a_code_that_opens_nothing_says_so(stage: World) -> None:
    page = stage.page()
    way.press_next(page, "leave")
    way.step(page, "start").locator("[data-go=enter]").click()
    for typed, said in (
        ("12", "A case code has 16 numbers."),
        ("0000 0000 0000 0000", "We can't find a case with this code."),
    ):
        page.locator("#typed").fill(typed)
        page.locator("#open").click()
        expect(page.locator("#enter-wrong")).to_contain_text(said, timeout=way.WITHIN_MS)
    way.step(page, "enter")


def test_only_some_platforms_are_told(stage: World) -> None:
    page = stage.page()
    way.to_choose(page)
    way.choose(page, PHOTOS / "rocket.jpg")
    way.press_next(page, "choose")
    way.step(page, "where").get_by_label("Picnic").uncheck()
    way.press_next(page, "where")
    way.step(page, "check")
    way.send(page)
    page.locator("#kept").click()
    way.step(page, "status")
    assert list(way.outcomes(page)) == ["Postcard"]


def test_a_link_goes_to_the_one_platform_that_takes_one(stage: World) -> None:
    page = stage.page()
    way.to_choose(page)
    way.choose(page, PHOTOS / "rocket.jpg")
    way.press_next(page, "choose")
    links = way.step(page, "where").locator("[data-link]")
    expect(links).to_have_count(1)
    page.get_by_label("Link or name there").fill("<b>@somebody</b>")
    way.press_next(page, "where")
    expect(way.step(page, "check").locator("#leaves")).to_contain_text("links or names")
    body = json.loads(page.locator("#body").text_content() or "")
    assert body["items"][0]["locations"] == [
        {"platform": stage.other.partner_id, "where_seen": "<b>@somebody</b>"}
    ]
    way.send(page)


ONLY_EXACT = "Ready. But we can only find exact copies of it."
CLIP = ROOT / "tests/vectors/clip.mp4"


def item_to_send(page: Page) -> dict[str, Any]:
    """What the last look before sending shows of the one item."""
    way.step(page, "check")
    (item,) = json.loads(page.locator("#body").text_content() or "")["items"]
    return dict(item)


def test_a_video_is_found_in_a_copy_that_was_encoded_again(stage: World) -> None:
    assert COPY in stage.finder.listed()
    page = stage.page()
    way.to_choose(page)
    way.choose(page, CLIP)
    expect(page.locator("#files .ready")).to_have_text("Ready")
    way.press_next(page, "choose")
    way.press_next(page, "where")
    item = item_to_send(page)
    assert (item["kind"], list(item["hashes"])) == ("video", ["vpdq", "sha256", "md5"])
    frames = Vpdq.of_lines(item["hashes"]["vpdq"]).frames
    assert [frame.number for frame in frames] == [0, 25, 50, 75, 100, 125]
    way.send(page)
    page.locator("#kept").click()
    way.step(page, "status")
    way.until_outcomes(page, BOTH)
    assert COPY not in stage.finder.listed()
    way.withdraw(page)
    way.until_outcomes(page, FORGOTTEN)


def test_a_video_without_frames_goes_by_its_exact_copies_and_says_so(
    stage: World, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(CLIP.read_bytes()[: CLIP.stat().st_size // 2])
    page = stage.page()
    way.to_choose(page)
    way.choose(page, cut)
    expect(page.locator("#files .ready")).to_have_text(ONLY_EXACT)
    way.press_next(page, "choose")
    way.press_next(page, "where")
    assert list(item_to_send(page)["hashes"]) == ["sha256", "md5"]


@pytest.mark.timeout(300)  # making the film is a minute's work for a busy machine
def test_a_video_under_way_shows_how_far_and_can_be_stopped(stage: World, tmp_path: Path) -> None:
    slow = film.write(tmp_path / "slow.mp4", film.scenes() * 8, width=640, crf=20)
    page = stage.page()
    way.to_choose(page)
    page.frame_locator("#box").locator("#file").set_input_files(str(slow))
    bar = page.locator("#files progress")
    expect(bar).to_be_visible(timeout=way.WITHIN_MS)
    give_up_at = time.monotonic() + 20
    while int(bar.get_attribute("value") or 0) < 1:
        assert time.monotonic() < give_up_at
        page.wait_for_timeout(20)
    page.locator("#files button").click()
    expect(page.locator("#files .refused")).to_have_text("You stopped this. Nothing was sent.")


def test_one_photo_is_taken_back_and_the_others_stay(stage: World) -> None:
    page = stage.page()
    way.report(page, PHOTO, PHOTOS / "rocket.jpg")
    page.locator("[data-step=status] [data-go=change]").click()
    change = way.step(page, "change")
    change.locator("#each summary").click()
    expect(change.locator("#each button")).to_have_text(["Take back Photo 1", "Take back Photo 2"])
    change.locator("#each button").nth(1).click()
    withdraw = way.step(page, "withdraw")
    expect(withdraw.locator("#which")).to_contain_text("Photo 2")
    withdraw.locator("#withdraw").click()
    items = way.step(page, "status").locator("#items .item")
    expect(items.nth(1)).to_contain_text("You took this one back.")
    expect(items.nth(0)).not_to_contain_text("took this one back")
    page.locator("[data-step=status] [data-go=change]").click()
    expect(way.step(page, "change").locator("#each")).to_be_hidden()
    page.locator("[data-step=change] [data-go=withdraw]").click()
    expect(way.step(page, "withdraw").locator("#which")).to_contain_text("all that you sent")


def test_what_is_too_much_for_one_body_is_said_kindly(stage: World) -> None:
    page = stage.page()
    way.to_check(page, PHOTO)
    refusal = {"code": "body-too-large", "status": 413}
    page.route("**/v1/reports", lambda route: route.fulfill(status=413, json=refusal))
    page.locator("#send").click()
    expect(way.step(page, "check").locator(".wrong")).to_contain_text("half of it now")


def test_a_photo_of_twelve_megapixels(stage: World, tmp_path: Path) -> None:
    big = tmp_path / "big.jpg"
    Image.open(PHOTO).convert("RGB").resize((4000, 3000)).save(big, quality=85)
    page = stage.page()
    way.to_choose(page)
    way.choose(page, big)
    expect(page.locator("#files .ready")).to_have_count(1)


def test_a_slow_line_takes_long_and_loses_nothing(stage: World) -> None:
    page = stage.context().new_page()
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    slow = {
        "offline": False,
        "latency": 400,
        "downloadThroughput": 50_000,
        "uploadThroughput": 20_000,
    }
    line.send("Network.emulateNetworkConditions", slow)
    page.goto("/en")
    code = way.report(page, PHOTO)
    assert len(code) == 16


def test_adults_and_others_are_shown_where_to_turn(stage: World) -> None:
    page = stage.page()
    for name in ("leave", "start", "safe"):
        way.press_next(page, name)
    way.pick(page, "age", "adult")
    way.pick(page, "then", "over")
    expect(way.step(page, "adult")).to_contain_text("StopNCII.org")
    way.step(page, "adult").locator("[data-go=back]").click()
    way.pick(page, "then", "under")
    way.pick(page, "you", "other")
    way.step(page, "other")


def test_a_question_left_open_is_asked_again(stage: World) -> None:
    page = stage.page()
    for name in ("leave", "start", "safe", "age"):
        way.press_next(page, name)
    expect(way.step(page, "age").locator(".wrong")).to_have_text("Please pick one.")


def test_nothing_is_lost_when_the_line_drops_while_sending(stage: World) -> None:
    page = stage.page()
    way.to_check(page, PHOTO)
    sent: list[tuple[str, bytes]] = []

    def drop_after_arrival(route: Route) -> None:
        """The report arrives; its answer does not."""
        request = route.request
        sent.append((request.headers["idempotency-key"], request.post_data_buffer or b""))
        answer = route.fetch()
        if len(sent) < 3:
            route.abort("connectionreset")
        else:
            route.fulfill(response=answer)

    page.route("**/v1/reports", drop_after_arrival)
    code = way.send(page)
    assert len(sent) == 3
    assert len(set(sent)) == 1  # the same key and the same bytes each time
    page.locator("#kept").click()
    expect(page.locator("#items .item")).to_have_count(1, timeout=way.WITHIN_MS)
    assert len(code) == 16


def test_it_is_asked_again_when_the_service_wants_it(stage: World) -> None:
    page = stage.page()
    way.to_check(page, PHOTO)
    sent: list[float] = []

    def busy_at_first(route: Route) -> None:
        sent.append(time.monotonic())
        if len(sent) > 1:
            route.continue_()
            return
        problem = {"code": "store-unavailable", "status": 503}
        route.fulfill(status=503, headers={"Retry-After": "2"}, json=problem)

    page.route("**/v1/reports", busy_at_first)
    way.send(page)
    assert len(sent) == 2
    assert sent[1] - sent[0] >= 2


def test_without_a_line_it_says_so_and_sends_when_asked_again(stage: World) -> None:
    page = stage.page()
    way.to_check(page, PHOTO)
    page.context.set_offline(True)
    page.locator("#send").click()
    expect(way.step(page, "check").locator(".wrong")).to_contain_text(
        "Nothing is lost", timeout=way.WITHIN_MS
    )
    page.context.set_offline(False)
    way.send(page)


def test_it_hashes_with_the_network_off(stage: World) -> None:
    page = stage.page()
    way.to_choose(page)
    expect(page.frame_locator("#box").locator("#file")).to_be_enabled()
    page.context.set_offline(True)
    way.choose(page, PHOTO)
    expect(page.locator("#files .ready")).to_have_count(1)


def test_a_duplicate_looks_the_same_to_the_sender(stage: World) -> None:
    seen = []
    for _ in range(2):
        page = stage.page()
        way.to_check(page, PHOTO)
        with page.expect_response("**/v1/reports") as answered:
            code = way.send(page)
        screen = way.step(page, "code").inner_text().replace(way.grouped(code), "")
        seen.append((answered.value.json(), screen))
    assert seen[0] == seen[1]
