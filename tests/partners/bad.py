"""Every way in which a platform of ours on loopback misbehaves, and what it gets for it.

As a program it serves one of them until it is ended: for a benchmark that wants it in another
process. Its first line of output is JSON with the port.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.partners.http2 import Http2Platform
from tests.partners.platforms import (
    DAY,
    Authority,
    Behaviour,
    Platform,
    Received,
    answer,
    hang,
    raw,
    refusing_port,
    reset,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
METADATA = {"Location": "http://169.254.169.254/latest/meta-data/"}
A_YEAR = {"Retry-After": "31536000"}

Serve = Callable[[Path, Path], AbstractContextManager[str]]
"""From the good certificate and a folder with others: the URL, for as long as it is served."""


@dataclass(frozen=True)
class Bad:
    """One of them. `result` is what each attempt at it is noted as.

    `ends` is what becomes of its messages, `trusted` whether its breaker stays closed, and `slow`
    whether nothing but our time-out ends its answer.
    """

    serve: Serve
    result: str
    ends: str = "pending"
    trusted: bool = False
    slow: bool = False


def behaving(behave: Behaviour, certificate: str | None = None) -> Serve:
    """Over HTTP/1.1, with the good certificate or another of the folder's."""

    @contextmanager
    def serve(good: Path, folder: Path) -> Iterator[str]:
        chosen = folder / f"{certificate}.pem" if certificate else good
        with Platform(behave, chosen) as platform:
            yield platform.url

    return serve


def _reset_mid_answer(platform: Platform, request: Received, connection: socket.socket) -> bool:
    connection.sendall(HEAD[:20])
    return reset(platform, request, connection)


@contextmanager
def _http2(good: Path, _: Path) -> Iterator[str]:
    with Http2Platform(good, goaway_after=3) as platform:
        yield platform.url


@contextmanager
def _refusing(_: Path, __: Path) -> Iterator[str]:
    with refusing_port() as port:
        yield f"https://localhost:{port}/hook"


BAD = {
    "slow headers": Bad(
        behaving(raw(b"HTTP/1.1 200 OK\r\n", *[b"A: b\r\n"] * 100, every=1.0)),
        "timeout",
        slow=True,
    ),
    "never answers": Bad(behaving(hang), "timeout", slow=True),
    "one byte a second": Bad(
        behaving(raw(*[bytes([b]) for b in b"HTTP/1.1 200 OK\r\n\r\n"], every=1.0)),
        "timeout",
        slow=True,
    ),
    "body of a byte a second": Bad(
        behaving(raw(HEAD, *[b"x"] * 100, every=1.0)), "2xx", "delivered", trusted=True, slow=True
    ),
    "never-ending body": Bad(
        behaving(raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 999] * 9, repeat=10_000)),
        "2xx",
        "delivered",
        trusted=True,
    ),
    "10 MB body": Bad(behaving(answer(200, bytes(10_000_000))), "2xx", "delivered", trusted=True),
    "reset mid-answer": Bad(behaving(_reset_mid_answer), "connection-broken"),
    "certificate of a stranger": Bad(behaving(answer(204), "stranger"), "tls"),
    "expired certificate": Bad(behaving(answer(204), "expired"), "tls"),
    "certificate of another host": Bad(behaving(answer(204), "other"), "tls"),
    "redirect to metadata": Bad(behaving(answer(302, headers=METADATA)), "3xx", trusted=True),
    "200 with garbage": Bad(
        behaving(answer(200, b"\x00\xff<html>" * 99)), "2xx", "delivered", trusted=True
    ),
    "410": Bad(behaving(answer(410)), "4xx", "failed", trusted=True),
    "429 for a year": Bad(behaving(answer(429, headers=A_YEAR)), "4xx"),
    "1xx flood": Bad(
        behaving(raw(b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n" * 20, repeat=10_000)),
        "answer-too-long",
    ),
    "http/2 goaway": Bad(_http2, "2xx", "delivered", trusted=True),
    "refuses connections": Bad(_refusing, "connection-refused"),
}


def certificates(authority: Authority) -> Path:
    """The folder with a stranger's, an expired and another host's certificate."""
    folder = authority.folder / "bad"
    if not folder.exists():
        folder.mkdir()
        stranger = Authority(folder).certificate("stranger")
        assert stranger == folder / "stranger.pem"
        for name, path in {
            "expired": authority.certificate("expired", lasts=-DAY),
            "other": authority.certificate("other", hosts=("other.example.org",)),
        }.items():
            path.rename(folder / f"{name}.pem")
    return folder


def main() -> int:
    """Serve one until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(BAD))
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with BAD[options.name].serve(options.certificate, options.folder) as url:
        sys.stdout.write(json.dumps({"port": urlsplit(url).port}) + "\n")
        sys.stdout.flush()
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())
