"""A visit to an age broker: has blinded tokens signed, and never tells it which service asks."""

from __future__ import annotations

import hashlib
import http.client
import http.cookiejar
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

from app.client.privacy_pass import Asked, NoPass, Why, blind, from_b64

MOST = 3  # passes of one visit
_REQUEST_TYPE = "application/private-token-request"
_TIMEOUT = 15.0  # seconds
_MOST_ANSWER = 65_536  # bytes

Prove = Callable[["Broker"], None]


class Broker:
    """A visit to an age broker. Nothing of the service is ever in it."""

    def __init__(self, url: str) -> None:
        """`url` is its address, http or https. Raises NoPass."""
        self.url = url.rstrip("/")
        if urllib.parse.urlsplit(self.url).scheme not in ("http", "https"):
            raise NoPass(Why.UNAVAILABLE)
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)

    def predicate_of(self, key_id: bytes) -> str:
        """What the key of that name says, by the broker's own directory. Raises NoPass."""
        _, body = self.ask("/.well-known/private-token-issuer-directory")
        try:
            for entry in json.loads(body)["token-keys"]:
                if hashlib.sha256(from_b64(entry["token-key"])).digest() == key_id:
                    return str(entry["predicate"])
        except (ValueError, KeyError, TypeError):
            raise NoPass(Why.UNAVAILABLE) from None
        raise NoPass(Why.KEY_UNKNOWN)

    def sign(self, request: bytes) -> bytes:
        """The broker's answer to one token request. Raises NoPass."""
        status, body = self.ask("/token-request", request, _REQUEST_TYPE)
        if status == 200:
            return body
        raise NoPass({403: Why.REFUSED, 429: Why.LIMIT}.get(status, Why.UNAVAILABLE))

    def ask(self, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
        """Status and body of one request. Raises NoPass where there is no answer."""
        headers = {"Content-Type": kind} if kind else {}
        request = urllib.request.Request(self.url + path, body, headers)  # noqa: S310
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                return answer.status, answer.read(_MOST_ANSWER)
        except urllib.error.HTTPError as fault:
            with fault:
                return fault.code, b""
        except (OSError, ValueError, http.client.HTTPException):
            raise NoPass(Why.UNAVAILABLE) from None


def development(years: int, person: str = "") -> Prove:
    """The way through a development broker, which takes anybody's word."""

    def prove(broker: Broker) -> None:
        form = urllib.parse.urlencode({"age": years, "person": person}).encode()
        kind = "application/x-www-form-urlencoded"
        broker.ask("/providers/development/start", form, kind)
        if broker.ask("/grant")[0] != 200:
            raise NoPass(Why.REFUSED)

    return prove


def fetch(url: str, asked: Asked, prove: Prove, count: int = 1) -> list[bytes]:
    """Up to `count` tokens (at most 3), as many as the broker gives. Raises NoPass for none."""
    broker = Broker(url)
    broker.predicate_of(asked.key_id)
    made = [blind(asked) for _ in range(min(count, MOST))]
    prove(broker)
    tokens: list[bytes] = []
    for one in made:
        try:
            tokens.append(one.finalize(broker.sign(one.request)))
        except NoPass:
            if not tokens:
                raise
            break
    return tokens


def wait_a_while(most_seconds: float, sleep: Callable[[float], None] = time.sleep) -> float:
    """Wait a time drawn evenly up to `most_seconds`, and give it.

    For who can wait between fetching and using: the two times are then less alike. Nobody has to.
    """
    seconds = secrets.randbelow(1_000_000) / 1_000_000 * max(0.0, most_seconds)
    sleep(seconds)
    return seconds
