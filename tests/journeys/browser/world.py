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
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from app.web.child.operator import SHIPPED
from tests.journeys.processes import ROOT, House, Processes
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

    house: House
    finder: Platform  # holds an edited copy of the photo
    other: Platform  # does not
    browser: Browser
    folder: Path
    weather: str
    contexts: list[BrowserContext] = field(default_factory=list)

    def context(self, **options: Any) -> BrowserContext:
        """A fresh profile; every one is closed at the end of its test."""
        made = self.browser.new_context(**{"base_url": self.house.url, **options})
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


def edited_copies(source: Path) -> dict[str, Image.Image]:
    """The photo as people pass it on: cropped, mirrored, as a screenshot with bars."""
    picture = Image.open(source).convert("RGB")
    width, height = picture.size
    margin = round(width * 0.04), round(height * 0.04)
    cropped = picture.crop((margin[0], margin[1], width - margin[0], height - margin[1]))
    screen = Image.new("RGB", (width, round(width * 19.5 / 9)))
    screen.paste(picture, (0, (screen.height - height) // 2))
    return {
        "cropped.jpg": cropped,
        "mirrored.jpg": picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "screenshot.jpg": screen,
    }


class _Weather(BaseHTTPRequestHandler):
    """An ordinary site, for before and after."""

    def do_GET(self) -> None:
        body = f"<!doctype html><title>Weather</title><h1>Sunny</h1><p>{self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def weather_site() -> Iterator[str]:
    """The neutral site's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Weather) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def write_pages(data: Path, weather: str) -> None:
    """The operator's file: as shipped, but leaving leads to our own neutral site."""
    data.mkdir(mode=0o700)
    shipped = SHIPPED.read_text()
    (data / "pages.toml").write_text(
        shipped.replace("https://www.bbc.co.uk/weather", f"{weather}/today")
    )


@contextmanager
def world(folder: Path, **settings: str) -> Iterator[World]:
    """Everything started; ended again when the block is left."""
    edits = {}
    for name, picture in edited_copies(PHOTO).items():
        edits[name] = folder / name
        picture.save(edits[name], quality=92)
    strangers = {name: PHOTOS / name for name in ("chelsea.jpg", "hubble.jpg")}
    with weather_site() as weather, Processes(folder) as processes:
        house = House(processes, settings)
        write_pages(house.data, weather)
        finder = start_platform(processes, "Picnic", {**strangers, **edits}, sealed=True)
        other = start_platform(processes, "Postcard", strangers, sealed=False)
        for platform in (finder, other):
            enrol(house, platform)
        house.start()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            yield World(house, finder, other, browser, folder, weather)
            browser.close()
