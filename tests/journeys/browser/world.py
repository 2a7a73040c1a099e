"""A service, two sandbox platforms and a real Chromium, for stories told by clicking."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from app.demo.processes import free_port
from app.web.child.operator import SHIPPED
from tests.hashing import film
from tests.journeys.browser import way
from tests.journeys.browser.broker import start_broker, trust_broker
from tests.journeys.processes import ROOT, Installation, Processes, Running
from tests.journeys.sandbox import Platform, enrol, start_platform

PHOTOS = ROOT / "infra/sandbox/photos"
PHOTO = PHOTOS / "coffee.jpg"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class World:
    """What a story may use."""

    installation: Installation
    finder: Platform  # holds an edited copy of the photo
    other: Platform  # does not
    browser: Browser
    folder: Path
    weather: str  # the neutral site
    asked_elsewhere: list[str]  # what it was asked for
    broker: Running | None = None  # gives passes, where the world was made with one
    relay_port: int = 0  # where a relay may stand that the broker lets passes go to
    contexts: list[BrowserContext] = field(default_factory=list)

    def context(self, **options: Any) -> BrowserContext:
        """A fresh profile; every one is closed at the end of its test."""
        made = self.browser.new_context(**{"base_url": self.installation.url, **options})
        self.contexts.append(made)
        return made

    def page(self, path: str = "/en", **options: Any) -> Page:
        """A page that has been opened, ready to be used."""
        page = self.context(**options).new_page()
        page.goto(path)
        return page

    def close_contexts(self) -> None:
        while self.contexts:
            self.contexts.pop().close()


def _cropped(picture: Image.Image) -> Image.Image:
    across, down = round(picture.width * 0.04), round(picture.height * 0.04)
    return picture.crop((across, down, picture.width - across, picture.height - down))


def _mirrored(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _screenshot(picture: Image.Image) -> Image.Image:
    """On a phone's screen of 19.5:9, between bars."""
    screen = Image.new("RGB", (picture.width, round(picture.width * 19.5 / 9)))
    screen.paste(picture, (0, (screen.height - picture.height) // 2))
    return screen


EDITS = {"cropped": _cropped, "mirrored": _mirrored, "screenshot": _screenshot}
COPY = "copy-clip.mp4"  # of tests/vectors/clip.mp4, encoded again
EDITED = ("coffee.jpg", "chelsea.jpg")
STRANGERS = ("hubble.jpg", "rocket.jpg")


def edited_copies(folder: Path) -> dict[str, Path]:
    """Photos as people pass them on, and no copy of them as they were."""
    copies = {}
    for photo in EDITED:
        picture = Image.open(PHOTOS / photo).convert("RGB")
        for edit, made in EDITS.items():
            path = copies[f"{edit}-{photo}"] = folder / f"{edit}-{photo}"
            made(picture).save(path, quality=92)
    return copies


class _Weather(BaseHTTPRequestHandler):
    """An ordinary site, for before and after."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        body = f"<!doctype html><title>Weather</title><h1>Sunny</h1><p>{self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def weather_site() -> Iterator[tuple[str, list[str]]]:
    """The neutral site's address, and what it was asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Weather) as server:
        asked = server.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def write_pages(data: Path, weather: str) -> None:
    """The operator's file: as shipped, but leaving leads to our own neutral site."""
    data.mkdir(mode=0o700)
    shipped = SHIPPED.read_text()
    (data / "pages.toml").write_text(
        shipped.replace("https://www.bbc.co.uk/weather", f"{weather}/today")
    )


def launched(driver: Playwright) -> Browser:
    """The browser. Whatever is expected of its pages may take as long as on a busy machine."""
    expect.set_options(timeout=way.WITHIN_MS)
    return driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@contextmanager
def world(folder: Path, *, with_broker: bool = False, **settings: str) -> Iterator[World]:
    """Everything started; ended again when the block is left."""
    copies = edited_copies(folder)
    copies[COPY] = film.write(folder / COPY, film.scenes(), width=192, crf=28)
    strangers = {name: PHOTOS / name for name in STRANGERS}
    with weather_site() as (weather, asked), Processes(folder) as processes:
        installation = Installation(processes, {"TAKE_LOCATIONS": "yes", **settings})
        write_pages(installation.data, weather)
        relay_port, broker = free_port(), None
        if with_broker:
            broker = start_broker(processes, [installation.url, f"http://127.0.0.1:{relay_port}"])
            trust_broker(installation, broker)
        finder = start_platform(processes, "Picnic", {**strangers, **copies}, sealed=True)
        other = start_platform(processes, "Postcard", strangers, sealed=False)
        enrol(installation, finder)
        enrol(installation, other, takes_location=True)
        installation.start()
        with sync_playwright() as driver:
            browser = launched(driver)
            yield World(
                installation, finder, other, browser, folder, weather, asked, broker, relay_port
            )
            browser.close()
