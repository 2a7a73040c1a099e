"""Somebody who means harm: to the limit of a day, to the clock, to the disk, to the process."""

from __future__ import annotations

import json
import random
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from infra.broker.days import DayBook
from infra.broker.grants import PersonTag
from infra.broker.held import Held
from infra.broker.journal import FIELDS, Event
from infra.broker.web import REQUEST_TYPE
from tests.infra.broker.devices import key
from tests.infra.broker.running import (
    Hands,
    Here,
    Process,
    ask,
    here,
    passed,
    process,
    request_bytes,
    write,
)

START = "/providers/development/start"
DAY = 20_000

# ---- grants and their cookies ------------------------------------------------------------------


def test_a_grant_id_that_was_brought_is_never_the_grants(broker: Here) -> None:
    """Session fixation: who plants a cookie does not know what it becomes."""
    broker.client.set_cookie("pass", "planted")
    broker.client.set_cookie("visit", "planted")
    broker.passed()
    cookie = broker.client.get_cookie("pass")
    assert cookie is not None
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", cookie.value)
    broker.client.set_cookie("pass", "planted")
    assert broker.ask(request_bytes(broker.key())).status_code == 403


def test_with_tls_no_neighbour_can_plant_a_cookie(tmp_path: Path, keys: Path) -> None:
    """RFC 6265bis, section 4.1.3.2: __Host- asks for Secure, Path=/ and no Domain."""
    path = write(tmp_path, keys)
    path.write_text(path.read_text().replace('public_url = "http:', 'public_url = "https:'))
    running = here(path)
    started = running.client.post(START, data={"age": 3}, base_url="https://localhost")
    (given,) = started.headers.getlist("Set-Cookie")
    assert given.startswith("__Host-pass=")
    parts = given.split("; ")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(parts)
    assert not [part for part in parts if part.startswith("Domain")]
    url = "https://localhost/grant"
    assert running.client.get(url).status_code == 200
    name = given.partition(";")[0].partition("=")[2]
    plain = {"Cookie": f"pass={name}"}
    assert running.client.get(url, headers=plain).status_code == 200  # its own is still sent
    running.client.delete_cookie("__Host-pass")
    assert running.client.get(url, headers=plain).status_code == 404
    running.days.close()


def test_two_tabs_share_the_newer_grant(broker: Here) -> None:
    """The second tab's grant takes the first's place: nothing is gained, and nothing breaks."""
    broker.passed(person="alice")
    broker.passed(person="alice")
    statuses = [broker.ask(request_bytes(broker.key())).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 403]


def test_one_grant_at_once_gives_no_more_than_it_has(tmp_path: Path, keys: Path) -> None:
    with process(write(tmp_path, keys)) as broker:
        session = passed(broker.url, "alice")
        cookies = session.cookies
        body, url = request_bytes(key(keys)), f"{broker.url}/token-request"
        headers = {"Content-Type": REQUEST_TYPE}

        def take(_: int) -> int:
            return requests.post(
                url, data=body, cookies=cookies, headers=headers, timeout=30
            ).status_code

        with ThreadPoolExecutor(12) as threads:
            statuses = list(threads.map(take, range(36)))
    assert statuses.count(200) == 3
    assert set(statuses) == {200, 403}


def test_spelling_a_name_otherwise_is_another_person_only_if_the_provider_says_so(
    broker: Here,
) -> None:
    """The broker compares nothing loosely: what a provider calls two names are two persons."""
    for person in ("alice", "alice\u200b"):
        for _ in range(2):
            broker.passed(person=person)
            for _ in range(3):
                assert broker.ask(request_bytes(broker.key())).status_code == 200
        answer = broker.client.post(START, data={"age": "9", "person": person})
        assert answer.headers["Location"] == "/pass?problem=limit"


# ---- the clock ---------------------------------------------------------------------------------


def test_around_midnight_nobody_has_more_than_two_days_give(broker: Here) -> None:
    """Asked for every minute from 23:40 to 00:30, by grants old and new."""
    broker.clock.now = datetime(2026, 11, 20, 23, 40, tzinfo=UTC)
    had, cookies = 0, []
    for _ in range(50):
        answer = broker.client.post(START, data={"age": "15", "person": "alice"})
        if answer.headers["Location"] == "/pass":
            cookie = broker.client.get_cookie("pass")
            assert cookie is not None
            cookies.append(cookie.value)
        for value in cookies:
            broker.client.set_cookie("pass", value)
            had += broker.ask(request_bytes(broker.key())).status_code == 200
        broker.clock.forward(minutes=1)
        broker.desk.tidy()
    assert had == 12


def test_the_day_is_utcs_wherever_the_machine_is(tmp_path: Path, keys: Path) -> None:
    path = write(tmp_path, keys)
    left, began = [], int(time.time()) // 86_400
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # 25 hours apart
        with process(path, env={"TZ": zone}) as broker:
            session = passed(broker.url, "alice")
            left += [ask(session, broker.url, request_bytes(key(keys))).status_code
                     for _ in range(3)]  # fmt: skip
            days = [row[0] for row in rows(tmp_path, "SELECT DISTINCT day FROM granted")]
    assert left == [200] * 6
    assert set(days) <= {began, int(time.time()) // 86_400}
    assert days


def test_what_was_made_while_the_clock_was_ahead_does_not_stay(tmp_path: Path) -> None:
    book = DayBook(tmp_path / "day.sqlite")
    for day in (DAY - 1, DAY, DAY + 1, DAY + 400):
        book.count_one(day, book.tag(day, "bank", "alice"), 9)
    book.forget(DAY, DAY - 1)
    assert days_of(book, "day_key") == [DAY, DAY + 1]
    assert days_of(book, "granted") == [DAY - 1, DAY, DAY + 1]
    book.close()


def test_a_grant_made_while_the_clock_was_ahead_has_ended() -> None:
    clock = Hands()
    held: Held[str] = Held(timedelta(minutes=10), 5, clock)
    clock.forward(days=400)
    name = held.put("grant")
    clock.forward(days=-400)
    assert held.get(name) is None
    held.sweep()
    assert len(held) == 0


def test_a_clock_that_is_set_right_by_seconds_ends_nothing() -> None:
    clock = Hands()
    held: Held[str] = Held(timedelta(minutes=10), 5, clock)
    name = held.put("grant")
    clock.forward(seconds=-30)
    assert held.get(name) == "grant"


def test_a_clock_that_jumps_gives_each_day_its_limit_and_no_more(broker: Here) -> None:
    chance = random.Random(5)
    days: dict[int, int] = {}
    for _ in range(16):
        day = broker.clock.now.toordinal()
        answer = broker.client.post(START, data={"age": "15", "person": "alice"})
        while answer.headers["Location"] == "/pass":
            if broker.ask(request_bytes(broker.key())).status_code != 200:
                break
            days[day] = days.get(day, 0) + 1
        broker.clock.forward(hours=chance.choice([1, 5, 30]))
        broker.desk.tidy()
    assert max(days.values()) == 6
    assert len(days) > 4


# ---- the disk ----------------------------------------------------------------------------------


@contextmanager
def broken(broker: Here, how: str) -> Iterator[None]:
    connection = broker.days._connection
    if how == "read-only":
        connection.execute("PRAGMA query_only = ON")
        yield
        connection.execute("PRAGMA query_only = OFF")
    elif how == "full":
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        people = (PersonTag(number.to_bytes(32, "big")) for number in range(10_000))
        with pytest.raises(sqlite3.OperationalError):
            all(broker.days.count_one(1, person, 1) for person in people)
        yield
        connection.execute("PRAGMA max_page_count = 1000000")
    else:
        connection.execute("PRAGMA busy_timeout = 20")
        with closing(sqlite3.connect(broker.configuration.database)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield


@pytest.mark.parametrize("how", ["read-only", "full", "locked"])
def test_without_a_disk_nothing_is_signed_and_nothing_lost(broker: Here, how: str) -> None:
    broker.passed(person="alice")
    with broken(broker, how):
        for _ in range(9):
            answer = broker.ask(request_bytes(broker.key()))
            assert answer.status_code == 500
            assert json.loads(answer.data)["code"] == "internal"
        assert broker.client.get("/healthz").status_code == 204
    said = [json.loads(line) for line in broker.log.getvalue().splitlines()]
    assert {line["event"] for line in said} == {"request.failed"}
    assert {line["error"] for line in said} == {"OperationalError"}
    statuses = [broker.ask(request_bytes(broker.key())).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 403]


@pytest.mark.parametrize("how", ["read-only", "locked"])
def test_without_a_disk_a_person_is_told_kindly(broker: Here, how: str) -> None:
    """They are at a page and not at a script: no JSON for them."""
    with broken(broker, how):
        answer = broker.client.post(START, data={"age": "15"})
        assert (answer.status_code, answer.headers["Location"]) == (
            303,
            "/pass?problem=unavailable",
        )
    broker.passed()


@pytest.mark.slow
def test_killed_while_counting_it_never_gives_more_than_it_counted(
    tmp_path: Path, keys: Path
) -> None:
    more = "tokens_per_grant = 20\ntokens_per_day = 100"
    path, chance, signed = write(tmp_path, keys, more=more), random.Random(5), 0
    for _ in range(6):
        with process(path) as broker:
            signed += _until_killed(broker, keys, chance.uniform(0.05, 0.5))
        (count,) = rows(tmp_path, "SELECT coalesce(sum(count), 0) FROM granted")[0]
        assert signed <= count <= 100
        assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    assert signed > 0


def _until_killed(broker: Process, keys: Path, seconds: float) -> int:
    """How many tokens somebody has when the broker dies under them."""
    session, signed = passed(broker.url, "alice"), 0
    killer = threading.Timer(seconds, broker.kill)
    killer.start()
    try:
        for _ in range(20):
            signed += ask(session, broker.url, request_bytes(key(keys))).status_code == 200
    except requests.RequestException:
        pass
    finally:
        killer.join()
    return signed


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "day.sqlite")) as connection:
        return connection.execute(query).fetchall()


def days_of(book: DayBook, table: str) -> list[int]:
    query = f"SELECT DISTINCT day FROM {table} ORDER BY day"  # noqa: S608 - a constant
    return [row[0] for row in book._connection.execute(query)]


# ---- the wire ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Process]:
    with process(write(tmp_path_factory.mktemp("hostile"), keys)) as broker:
        yield broker


def say(broker: Process, raw: bytes, wait: float = 30.0) -> bytes:
    """What comes back until the connection ends, or nothing more comes."""
    address = urlsplit(broker.url)
    with socket.create_connection((address.hostname, address.port or 0), 10) as connection:
        connection.sendall(raw)
        connection.settimeout(wait)
        said = b""
        try:
            while piece := connection.recv(65_536):
                said += piece
        except (TimeoutError, ConnectionResetError):
            pass
    return said


FORM = "Host: evil.example\r\nContent-Type: application/x-www-form-urlencoded\r\n"
HIDDEN = b"GET /.well-known/private-token-issuer-directory HTTP/1.1\r\nHost: x\r\n\r\n"
TWO_LENGTHS = {
    "two lengths": b"Content-Length: 0\r\nContent-Length: 70\r\n",
    "a list of lengths": b"Content-Length: 0, 70\r\n",
    "a signed length": b"Content-Length: +70\r\n",
    "a length in hexadecimal": b"Content-Length: 0x46\r\n",
    "a length of other digits": "Content-Length: ٧٠\r\n".encode(),
    "a space before the colon": b"Content-Length : 70\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "two codings": b"Transfer-Encoding: identity, chunked\r\n",
    "a coding behind a tab": b"Transfer-Encoding:\tchunked\r\nContent-Length: 70\r\n",
    "a line that ends alone": b"X: y\nContent-Length: 70\r\n",
    "a zero in a name": b"X\0: y\r\n",
}


@pytest.mark.parametrize("name", TWO_LENGTHS)
def test_a_request_that_can_be_read_in_two_ways_ends_the_connection(
    server: Process, name: str
) -> None:
    """Whatever a proxy in front takes for its body must not be answered as a request of its own.

    Either it is refused and the connection ends, or nothing but the very same reading is left.
    """
    head = b"POST /token-request HTTP/1.1\r\nHost: x\r\n" + TWO_LENGTHS[name] + b"\r\n"
    said = say(server, head + HIDDEN, wait=1.0)
    assert b"issuer-request-uri" not in said, said[:200]
    assert b" 200 " not in said


def test_the_hidden_request_would_be_answered_if_it_were_one(server: Process) -> None:
    """The positive control of the test above."""
    first = b"POST /token-request HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    last = HIDDEN.replace(b"Host: x", b"Host: x\r\nConnection: close")
    assert b"issuer-request-uri" in say(server, first + last)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /pass HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET http://evil.example/pass HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET //evil.example/pass HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /pass HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: evil.example\r\n\r\n",
        b"GET /pass HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: evil.example\r\n\r\n",
        b"GET /pass HTTP/1.1\r\nHost: x\r\nForwarded: host=evil.example\r\n\r\n",
        f"POST {START} HTTP/1.1\r\n{FORM}Content-Length: 5\r\n\r\nage=9".encode(),
        f"POST {START}/ HTTP/1.1\r\n{FORM}Content-Length: 0\r\n\r\n".encode(),
        b"GET /providers/evil.example/return?evil HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ],
)
def test_no_name_that_is_sent_comes_back(server: Process, raw: bytes) -> None:
    """Neither in a page nor in a Location: what the broker is called, its own file says."""
    said = say(server, raw.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
    assert said.startswith(b"HTTP/1.1 ")
    assert b"evil" not in said


@pytest.mark.parametrize(
    "word", ["../x", "//evil.example", "%0d%0aX: y", "refused%00", "__proto__"]
)
def test_a_problem_that_is_no_word_of_ours_is_not_said(server: Process, word: str) -> None:
    answer = requests.get(f"{server.url}/pass?problem={word}", timeout=60)
    assert answer.status_code == 200
    assert 'id="problem"' not in answer.text
    assert "evil" not in answer.text


PATHS = ("/pass", "/grant", "/healthz", "/nowhere", "/providers/none/return", "/token-request")


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_is_kept_framed_or_guessed_at(server: Process, path: str) -> None:
    answer = requests.get(server.url + path, allow_redirects=False, timeout=60)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post", "G\tT"])
def test_another_method_does_nothing(server: Process, method: str) -> None:
    raw = f"{method} /token-request HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    status = int(say(server, raw).split(b" ")[1])
    assert status in ((200,) if method == "OPTIONS" else (400, 405, 415))


def test_two_hundred_that_never_finish_hold_up_nobody(server: Process) -> None:
    address = urlsplit(server.url)
    head = b"POST /token-request HTTP/1.1\r\nHost: x\r\nContent-Length: 259\r\nContent-Type: "
    slow = []
    try:
        for number in range(200):
            slow.append(socket.create_connection((address.hostname, address.port or 0), 10))
            slow[-1].sendall(head[: 30 + number % 60] if number % 2 else head + b"x\r\n\r\nslow")
        began = time.monotonic()
        for _ in range(10):
            assert requests.get(f"{server.url}/healthz", timeout=60).status_code == 204
        assert time.monotonic() - began < 10  # a channel is given up after 20 seconds
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("size", [65_537, 200_000])
def test_a_body_beyond_64_kb_is_refused_in_waitress_words(server: Process, size: int) -> None:
    """Before it is read: plain text, and nothing of what was sent."""
    head = b"POST /token-request HTTP/1.1\r\nHost: x\r\nCookie: pass=Secret\r\n"
    said = say(server, head + b"Content-Length: %d\r\n\r\n" % size + b"Secret" * 100)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"text/plain" in said
    assert b"Secret" not in said


def test_nothing_of_that_breaks_a_line_of_the_log(tmp_path: Path, keys: Path) -> None:
    lines = b'\n{"at": "x", "event": "broker.stopped"}\r\n'
    with process(write(tmp_path, keys)) as broker:
        for raw in (
            b"GET /%0a%7b%22event%22:1%7d HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: " + lines + b"\r\n",
            b"GET / HTTP/1.1\r\nCookie: pass=" + lines + b"\r\n",
            lines * 3,
            b"\x16\x03\x01\x02\x00" + bytes(300),
            b"GET /" + b"\xff\xfe%ff%0a" * 30 + b" HTTP/1.1\r\n\r\n",
        ):
            say(broker, raw, wait=0.3)
        code, said = broker.stop()
    assert code == 0
    told = [json.loads(line) for line in said.splitlines()[1:]]
    assert [line["event"] for line in told].count("broker.stopped") == 1
    for line in told:
        assert line.keys() - {"at", "event"} <= FIELDS[Event(line["event"])]
