"""The proof kit: what a browser really sends, counted on the wire, against what it may send.

A relay stands between browser and service and keeps every request as it arrived, for a browser's
own tools leave out bodies and refused attempts. It can also hand the browser a dishonest build, so
that the kit can be shown to catch one.
"""

from __future__ import annotations

import functools
import http.client
import json
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from app.adapters.age.private_token import Token, TokenKey
from app.web.child.pages import DEVICE
from hashing.reference import hash_photo
from tests.js.device_engines import run_node, write_bundle

Headers = dict[str, str]
Build = Callable[[str, bytes, Headers], bytes]
HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}
NOT_COPIED = HOP | {"set-cookie"}  # of which an answer may have several

FIXED_BYTES = 2000
BYTES_PER_HASH = 120
HEADER_BYTES = 1200
HEADERS = {
    "accept", "accept-encoding", "accept-language", "cache-control", "connection",
    "content-length", "content-type", "host", "idempotency-key", "origin", "pragma", "priority",
    "purpose", "user-agent", "upgrade-insecure-requests",
}  # fmt: skip
# The longest thing a page of ours puts into a header by itself is the Idempotency-Key.
LONGEST_HEADER = 200
PAGES = {"/en": 1, "/box/en": 1, "/manifest.webmanifest": 1}
CALLS = {
    ("GET", "/v1/age/challenge"): 1,
    ("GET", "/v1/platforms"): 1,
    ("POST", "/v1/reports"): 1,
    ("POST", "/v1/case/open"): 40,
    ("POST", "/v1/case/withdraw"): 1,
}
REQUEST_BYTES = 259
MOST_PASSES = 3
AT_BROKER = (
    r"GET /pass",
    r"GET /static/pass\.(?:js|css)",
    r"GET /\.well-known/private-token-issuer-directory",
    r"GET /grant",
    r"POST /providers/[a-z-]+/start",
    r"POST /token-request",
)
FILE = re.compile(r"/(?:pages|device)/[a-z0-9-]+\.(?:js|css|svg)")
ITEM_KEYS = {"kind", "hashes"}  # all platforms are told, no link was typed in
NEAR = 24  # bits: browsers and Pillow decode a JPEG a little differently


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def size(self) -> int:
        """Bytes on the wire: request line, headers and body."""
        head = sum(len(name) + len(value) + 4 for name, value in self.headers)
        return len(self.method) + len(self.target) + 12 + head + 2 + len(self.body)


@dataclass
class Relay:
    """Where the browser goes, and what it asked for there."""

    url: str
    seen: list[Seen] = field(default_factory=list)
    build: Build = lambda path, body, headers: body

    def size(self) -> int:
        """All bytes so far."""
        return sum(one.size for one in self.seen)


@contextmanager
def relay_to(service: str, port: int = 0) -> Iterator[Relay]:
    """A relay in front of a service."""
    relay = Relay("")
    upstream = urlsplit(service)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __getattr__(self, name: str) -> Any:
            """Every method, also one that nobody has heard of."""
            if name.startswith("do_"):
                return self._pass_on
            raise AttributeError(name)

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            relay.seen.append(Seen(self.command, self.path, tuple(self.headers.items()), body))
            connection = http.client.HTTPConnection(upstream.netloc, timeout=30)
            sent = {n: v for n, v in self.headers.items() if n.lower() not in HOP}
            connection.request(self.command, self.path, body or None, sent)
            answer = connection.getresponse()
            headers = {n: v for n, v in answer.getheaders() if n.lower() not in NOT_COPIED}
            content = relay.build(self.path, answer.read(), headers)
            connection.close()
            self.send_response(answer.status)
            for name, value in headers.items():
                self.send_header(name, value)
            for cookie in answer.headers.get_all("Set-Cookie") or ():
                self.send_header("Set-Cookie", cookie)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        relay.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield relay
        finally:
            server.shutdown()


# ---- what may be sent ----------------------------------------------------------------------------


def faults(
    seen: Sequence[Seen],
    photos: Sequence[Path],
    elsewhere: Sequence[str] = (),
    token_key: bytes | None = None,
) -> list[str]:
    """Everything that an honest page of ours would not have sent. Empty if there is nothing.

    With `token_key` (SPKI) one pass by that key was got and shown: the page was opened once more.
    """
    found = [f"another machine was asked for {path}" for path in elsewhere]
    for one in seen:
        found += _faults_of_request(one, photos, token_key)
    counts = Counter((one.method, urlsplit(one.target).path) for one in seen)
    loads = 1 if token_key is None else 2
    for (method, path), count in counts.items():
        if count > _most(method, path) * (loads if method == "GET" else 1) + _again(path, loads):
            found.append(f"{method} {path} {count} times")
    return found


def _again(path: str, loads: int) -> int:
    """A challenge is asked for anew before it is answered."""
    return loads - 1 if path == "/v1/age/challenge" else 0


def _most(method: str, path: str) -> int:
    if method == "GET" and FILE.fullmatch(path):
        return 2  # once for the page, once for the box
    return CALLS.get((method, path), PAGES.get(path, 0) if method == "GET" else 0)


def _faults_of_request(one: Seen, photos: Sequence[Path], token_key: bytes | None) -> Iterator[str]:
    place = f"{one.method} {urlsplit(one.target).path[:60]}"
    if _most(one.method, urlsplit(one.target).path) == 0:
        yield f"{place} is not on the list"
    if not re.fullmatch(r"/[a-z0-9./-]*", one.target):
        yield f"{place} has a query"
    shows = token_key if one.target == "/v1/reports" else None
    yield from (f"{place}: {fault}" for fault in _faults_of_headers(one.headers, shows))
    if one.method == "GET" and one.body:
        yield f"{place} has a body"
    if one.method == "POST":
        yield from (f"{place}: {fault}" for fault in _faults_of_body(one, photos))


def _faults_of_headers(
    headers: Sequence[tuple[str, str]], token_key: bytes | None = None
) -> Iterator[str]:
    shown = [value for name, value in headers if name.lower() == "authorization"]
    if token_key is not None and len(shown) == 1 and _is_pass(shown[0], token_key):
        headers = [(name, value) for name, value in headers if value != shown[0]]
    for name, value in headers:
        if name.lower() not in HEADERS and not name.lower().startswith("sec-"):
            yield f"header {name}"
        if len(value) > LONGEST_HEADER:
            yield f"header {name} has {len(value)} bytes"
        if name.lower() == "idempotency-key" and not re.fullmatch("[0-9a-f]{48}", value):
            yield "an Idempotency-Key that we do not make"
    if sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES:
        yield "headers are too large"


def _is_pass(value: str, token_key: bytes) -> bool:
    """A genuine one and nothing more. 32 of its bytes are anybody's choice: its nonce."""
    match = re.fullmatch(r'PrivateToken token="([A-Za-z0-9_-]{472})"', value)
    return match is not None and TokenKey.parse(token_key).verifies(Token.parse(match[1]))


def faults_at_broker(seen: Sequence[Seen], service: str) -> list[str]:
    """Everything by which the broker would learn who asks, or more than it must. Empty if nothing.

    `service` is the host and port that the young person came from.
    """
    found = []
    for one in seen:
        place = f"{one.method} {urlsplit(one.target).path[:60]}"
        if not any(re.fullmatch(pattern, place) for pattern in AT_BROKER):
            found.append(f"{place} is not on the list")
        names = {name.lower() for name, _ in one.headers}
        said = repr((one.target, one.headers, one.body))
        if "referer" in names or service in said:
            found.append(f"{place} tells where somebody came from")
        if one.target == "/token-request" and len(one.body) != REQUEST_BYTES:
            found.append(f"{place} has {len(one.body)} bytes")
    if sum(one.target == "/token-request" for one in seen) > MOST_PASSES:
        found.append("more passes than are asked for")
    return found


def _faults_of_body(one: Seen, photos: Sequence[Path]) -> Iterator[str]:
    try:
        body = json.loads(one.body)
    except ValueError:
        yield "a body that is not JSON"
        return
    if one.target != "/v1/reports":
        if set(body) != {"case_key"}:
            yield "more than a case key"
        return
    yield from _faults_of_report(body, photos)
    hashes = sum(number_of_hashes(item.get("hashes", {})) for item in body.get("items", ()))
    if one.size > FIXED_BYTES + BYTES_PER_HASH * hashes:
        yield f"{one.size} bytes for {hashes} hashes"


def _faults_of_report(body: Mapping[str, Any], photos: Sequence[Path]) -> Iterator[str]:
    if set(body) != {"case_key", "age", "items"} or set(body["age"]) != {"profile", "band"}:
        yield "keys that are not on the list"
        return
    if len(body["items"]) != len(photos):
        yield f"{len(body['items'])} items for {len(photos)} photos"
        return
    for item, photo in zip(body["items"], photos, strict=True):
        if set(item) != ITEM_KEYS:
            yield "an item with more than its hashes"
        yield from _faults_of_hashes(item["hashes"], photo)


def number_of_hashes(hashes: Mapping[str, Any]) -> int:
    """How many hashes an item of a report has."""
    return sum(1 if isinstance(of, str) else len(of) for of in hashes.values())


def _faults_of_hashes(hashes: Mapping[str, Any], photo: Path) -> Iterator[str]:
    """Every hash is computed anew from the photo, by Meta's own code and by our library in node."""
    known = _known(photo, tuple(hashes.get("pdq", {})))
    for kind, of in hashes.items():
        if kind not in ("pdq", "pdq-512"):
            if known.get((kind, "original")) != of:
                yield f"a {kind} that is no hash of the photo"
            continue
        for name, copy in of.items():
            mine = known.get((kind, name))
            near = mine is not None and _apart(mine, copy["value"]) <= NEAR
            if not near or set(copy) != {"quality", "value"}:
                yield f"a {kind} that is no hash of the photo"


@functools.cache
def _known(photo: Path, names: tuple[str, ...]) -> dict[tuple[str, str], str]:
    entries = hash_photo(photo).entries
    known = {(str(e.type), "original"): str(e.value) for e in entries if e.variant == "original"}
    ladder = (DEVICE / "ladder.js").read_text()
    ours = [name for name in names if f'"{name}"' in ladder]
    with Image.open(photo) as picture, tempfile.TemporaryDirectory() as folder:
        index = write_bundle(Path(folder), [np.asarray(picture.convert("RGB"))])
        request = Path(folder) / "request.json"
        request.write_text(json.dumps({"names": ours}))
        made = run_node("variants_of_bundle.mjs", index, request)[0]
    return known | {("pdq", name): value for name, value in zip(ours, made, strict=True)}


def _apart(left: str, right: str) -> int:
    return (int(left, 16) ^ int(right, 16)).bit_count()
