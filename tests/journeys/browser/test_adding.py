"""What is added to a case is told to those that the young person chose, and to no other."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from app.client.case_code import case_key, new_code
from app.client.service import Service, report_body
from tests.journeys.browser import way
from tests.journeys.browser.world import PHOTO, PHOTOS, World
from tests.journeys.sandbox import Platform

pytestmark = pytest.mark.browser

BOTH = ["Picnic", "Postcard"]
ROCKET = PHOTOS / "rocket.jpg"
# What is said of the ticks, of whom we tell, and of the key. No code comes, so none is promised.
SAID = {
    "en": (
        "You chose the ticked apps before. You can change that.",
        "Who we tell: Postcard",
        "The key to your case.",
    ),
    "cy": (
        "Fe ddewisaist ti'r apiau sydd wedi'u ticio o'r blaen. Gelli di newid hynny.",
        "Pwy rydyn ni'n dweud wrthyn nhw: Postcard",
        "Yr allwedd i dy achos.",
    ),
    "ar": (
        "اخترت التطبيقات المحددة من قبل. يمكنك تغيير ذلك.",
        "من نخبرهم: Postcard",
        "مفتاح طلبك.",
    ),
}
PICK = {
    "en": "Please pick who should get this.",
    "cy": "Dewisa pwy ddylai gael hwn.",
    "ar": "اختر من فضلك من يحصل على هذا.",
}


def to_where(page: Page, photo: Path = PHOTO) -> Locator:
    """From the status screen to the list of platforms, with another photo."""
    page.locator("[data-step=status] [data-go=change]").click()
    way.step(page, "change").locator("[data-go=add]").click()
    way.step(page, "choose")
    way.choose(page, photo)
    way.press_next(page, "choose")
    return way.step(page, "where")


def ticked(where: Locator) -> list[str]:
    """The names of the platforms that are ticked."""
    names = "boxes => boxes.map(box => box.dataset.name)"
    return list(where.locator("#platforms input:checked").evaluate_all(names))


def to_send(page: Page) -> dict[str, Any]:
    """What the last look before sending shows of the one item."""
    way.step(page, "check")
    (item,) = json.loads(page.locator("#body").text_content() or "")["items"]
    return dict(item)


def send_more(page: Page) -> None:
    way.step(page, "check").locator("#send").click()
    way.step(page, "added").locator("#seen").click()
    way.step(page, "status")


def told_of(page: Page, number: int) -> list[str]:
    """Whom the status screen names for that photo or video."""
    return page.locator("#items .item").nth(number - 1).locator(".app").all_inner_texts()


def until_answered(page: Page, number: int, *words: str) -> None:
    """Look again until the platforms of that photo or video have answered so."""
    row = page.locator("#items .item").nth(number - 1).locator("[data-outcome]")
    give_up_after = way.WITHIN_MS // 200
    for _ in range(give_up_after):
        found = row.evaluate_all("rows => rows.map(row => row.dataset.outcome)")
        if found == list(words):
            return
        page.locator("#look").click()
        expect(page.locator("#look[aria-busy]")).to_have_count(0)
        page.wait_for_timeout(200)
    raise AssertionError(found)


def told(stage: World, platform: Platform) -> int:
    """How many photos and videos of the newest case it was told of, by the service's own record."""
    newest = "select id from cases order by created_at desc limit 1"
    count = f"select count(*) from notices where partner_id = ? and case_id = ({newest})"  # noqa: S608
    with closing(sqlite3.connect(stage.installation.database)) as rows:
        return int(rows.execute(count, (platform.partner_id,)).fetchone()[0])


def a_case(stage: World, *items: Sequence[Platform]) -> tuple[str, str]:
    """A case with an item for each list of platforms, by another device; its code and its key."""
    service, code = Service(stage.installation.url), new_code()
    key = case_key(code, service.challenge()["case_key"])
    drafts = [
        {
            "kind": "photo",
            "hashes": {"sha256": secrets.token_hex(32)},
            "platforms": [platform.partner_id for platform in chosen],
        }
        for chosen in items
    ]
    service.send("/v1/reports", report_body(key, "declared-v1", "13_15", drafts), {})
    return code, key


@pytest.mark.parametrize("language", list(SAID))
def test_one_that_was_unticked_is_never_told_of_what_is_added(stage: World, language: str) -> None:
    page = stage.page(f"/{language}")
    errors = way.errors_of(page)
    way.to_choose(page)
    way.choose(page, ROCKET)
    way.press_next(page, "choose")
    way.step(page, "where").get_by_label("Picnic").uncheck()
    way.press_next(page, "where")
    way.send(page)
    page.locator("#kept").click()
    way.step(page, "status")
    where = to_where(page)
    about, names, key = SAID[language]
    expect(where.locator("#where-about")).to_have_text(about)
    assert ticked(where) == ["Postcard"]
    expect(where.get_by_label("Picnic")).to_be_visible()
    way.press_next(page, "where")
    assert to_send(page)["platforms"] == [stage.other.partner_id]
    leaves = page.locator("#leaves li")
    assert leaves.all_inner_texts()[1:] == [names, key]
    send_more(page)
    until_answered(page, 2, "not_found")
    assert [told_of(page, 1), told_of(page, 2)] == [["Postcard"], ["Postcard"]]
    assert (told(stage, stage.other), told(stage, stage.finder)) == (2, 0)
    assert errors == []


def test_whoever_chose_all_tells_all_again_by_name_and_without_the_old_link(stage: World) -> None:
    page = stage.page()
    way.to_choose(page)
    way.choose(page, ROCKET)
    way.press_next(page, "choose")
    way.step(page, "where").locator(".link input").fill("@somebody")
    way.press_next(page, "where")
    assert "platforms" not in to_send(page)
    expect(page.locator("#leaves")).to_contain_text("You get the code for it next.")
    way.send(page)
    page.locator("#kept").click()
    way.step(page, "status")
    where = to_where(page)
    assert ticked(where) == BOTH
    expect(where.locator(".link input")).to_have_value("")
    way.press_next(page, "where")
    item = to_send(page)
    assert item["platforms"] == [stage.finder.partner_id, stage.other.partner_id]
    assert "locations" not in item
    expect(page.locator("#leaves")).to_contain_text("Who we tell: Picnic, Postcard")


def test_one_more_is_ticked_with_the_keyboard_alone(stage: World) -> None:
    code, _ = a_case(stage, [stage.other])
    page = stage.page()
    way.open_case(page, code)
    where = to_where(page)
    picnic = f"#platforms input[value={stage.finder.partner_id}]"
    way.tab_to(page, picnic)
    page.keyboard.press("Space")
    assert ticked(where) == BOTH
    for screen, button in (("where", "[data-go=next]"), ("check", "[data-go=back]")):
        way.step(page, screen)
        way.tab_to(page, f"[data-step={screen}] {button}")
        page.keyboard.press("Enter")
    way.step(page, "where")
    assert ticked(where) == BOTH  # the way back keeps what was ticked
    for screen, button in (
        ("where", "[data-go=next]"),
        ("check", "#send"),
        ("added", "#seen"),
    ):
        way.step(page, screen)
        way.tab_to(page, f"[data-step={screen}] {button}")
        page.keyboard.press("Enter")
    way.step(page, "status")
    assert [told_of(page, 1), told_of(page, 2)] == [["Postcard"], BOTH]


def test_what_was_taken_back_ticks_nobody(stage: World) -> None:
    code, key = a_case(stage, [stage.other], [stage.finder])
    Service(stage.installation.url).withdraw_item(key, 2)
    page = stage.page()
    way.open_case(page, code)
    assert ticked(to_where(page)) == ["Postcard"]


@pytest.mark.parametrize("language", list(PICK))
def test_where_nothing_is_known_of_before_it_asks(stage: World, language: str) -> None:
    code, key = a_case(stage, [stage.other])
    Service(stage.installation.url).withdraw_item(key, 1)
    page = stage.page(f"/{language}")
    way.open_case(page, code)
    where = to_where(page)
    expect(where.locator("#where-about")).to_have_text(PICK[language])
    assert ticked(where) == []
    way.press_next(page, "where")
    expect(where.locator(".wrong")).not_to_be_empty()
    where.get_by_label("Picnic").check()
    way.press_next(page, "where")
    assert to_send(page)["platforms"] == [stage.finder.partner_id]


def test_another_case_starts_from_its_own_choice(stage: World) -> None:
    first, _ = a_case(stage, [stage.other])
    page = stage.page()
    way.open_case(page, first)
    where = to_where(page)
    where.get_by_label("Picnic").check()
    for screen in ("where", "choose"):
        way.step(page, screen).locator("[data-go=back]").click()
    way.step(page, "change").locator("[data-go=status]").click()
    way.step(page, "status")
    assert ticked(to_where(page)) == ["Postcard"]
