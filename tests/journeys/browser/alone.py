"""Run inside a network namespace that has loopback only: what the kernel counted, as JSON.

`unshare --net python -m tests.journeys.browser.alone FOLDER PHOTO`. There is no other machine, no
other program and no other interface, so every byte that anything sends is in the one counter.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.journeys.browser import way
from tests.journeys.browser.proof import number_of_hashes
from tests.journeys.browser.world import launched
from tests.journeys.processes import Installation, Processes

SETTLE_MS = 400


def counted() -> int:
    """Bytes that passed through loopback since the namespace was made."""
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    names = [line.split(":")[0].strip() for line in lines]
    assert names == ["lo"], names
    return int(lines[0].split(":")[1].split()[0])


def main(folder: Path, photo: Path) -> dict[str, int]:
    """The way from choosing to sent. Bytes; `sending` holds the answer too, `answered`."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with Processes(folder) as processes, sync_playwright() as driver:
        installation = Installation(processes)
        installation.start()
        browser = launched(driver)
        page = browser.new_page(base_url=installation.url)
        page.goto("/en")
        way.to_choose(page)
        expect(page.frame_locator("#box").locator("#file")).to_be_enabled()
        page.wait_for_timeout(SETTLE_MS)
        before = counted()
        way.choose(page, photo)
        page.wait_for_timeout(SETTLE_MS)
        hashed = counted()
        way.press_next(page, "choose")
        way.press_next(page, "where")
        way.step(page, "check")
        (item,) = json.loads(page.locator("#body").text_content() or "")["items"]
        hashes = number_of_hashes(item["hashes"])
        page.wait_for_timeout(SETTLE_MS)
        ready = counted()
        with page.expect_request_finished(lambda made: "/v1/reports" in made.url) as finished:
            way.send(page)
        page.wait_for_timeout(SETTLE_MS)
        sent = counted()
        sizes = finished.value.sizes()
        browser.close()
    return {
        "photo": photo.stat().st_size,
        "before": before,
        "choosing": hashed - before,
        "sending": sent - ready,
        "answered": sizes["responseHeadersSize"] + sizes["responseBodySize"],
        "hashes": hashes,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
