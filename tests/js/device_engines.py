"""Runs the on-device library on pictures made in Python, in node and in Chromium.

A picture travels as raw RGBA in one file for all; the answers come back as JSON. The browser is
served from loopback and sees nothing else.
"""

import functools
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Pixels = NDArray[np.uint8]


def write_bundle(folder: Path, pictures: Sequence[Pixels]) -> Path:
    """Writes HxWx3 pictures as one file of RGBA rows beside a JSON list of their places."""
    places = []
    with (folder / "pictures.rgba").open("wb") as out:
        for picture in pictures:
            height, width, _ = picture.shape
            places.append({"width": width, "height": height, "offset": out.tell()})
            opaque = np.full((height, width, 1), 255, np.uint8)
            out.write(np.concatenate([picture, opaque], axis=2).tobytes())
    index = folder / "pictures.json"
    index.write_text(json.dumps(places))
    return index


def run_node(script: str, *arguments: str | Path) -> Any:
    """Runs tests/js/SCRIPT in node and reads the JSON it prints."""
    command = ["node", str(ROOT / "tests" / "js" / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        extra = getattr(self.server, "extra", None)
        if path.startswith("/extra/") and extra is not None:
            return str(extra / path.removeprefix("/extra/"))
        return super().translate_path(path)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        # A frame of opaque origin may load modules only from a server that says so.
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing: a request is no news."""


@contextmanager
def served(extra: Path | None = None) -> Iterator[str]:
    """The work tree over loopback, `extra` below /extra/; yields the base URL."""
    handler = functools.partial(_Quiet, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.extra = extra  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


class DevicePage:
    """A page driven from a thread of its own: playwright allows one driver a thread, and other
    tests of the same run have theirs."""

    def __init__(self, thread: ThreadPoolExecutor, page: Any) -> None:
        self._thread = thread
        self._page = page

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """What the script's function returns, or resolves to."""
        return self._thread.submit(self._page.evaluate, script, argument).result()


@contextmanager
def chromium_page(extra: Path | None = None) -> Iterator[DevicePage]:
    """An empty page of the loopback server in Debian's Chromium, ready to import modules."""
    with served(extra) as base, ThreadPoolExecutor(1) as thread, ExitStack() as opened:
        page = thread.submit(_open, opened, f"{base}/tests/js/blank.html").result()
        try:
            yield DevicePage(thread, page)
        finally:
            thread.submit(opened.close).result()


def _open(opened: ExitStack, address: str) -> Any:
    from playwright.sync_api import sync_playwright

    playwright = opened.enter_context(sync_playwright())
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_ARGUMENTS))
    opened.callback(browser.close)
    page = browser.new_page()
    page.goto(address)
    return page
