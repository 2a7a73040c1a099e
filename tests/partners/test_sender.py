"""The sender against real servers on loopback that misbehave in every way we could think of."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import psutil
import pytest

from partners.egress import EgressGuard
from partners.errors import UnsuitableLibrary
from partners.model import EndpointId
from partners.ports import Answer, Post
from partners.sender import CurlSender, refuse_leaky_libcurl, retry_after_seconds
from tests.partners.conftest import LONG, MakeSender
from tests.partners.http2 import Http2Platform
from tests.partners.platforms import (
    DAY,
    Authority,
    Behaviour,
    Platform,
    answer,
    eventually,
    hang,
    in_turn,
    raw,
    refusing_port,
    reset,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


def a_post(url: str, key: str = "one", body: bytes = b'{"a":1}') -> Post:
    headers = {"webhook-id": "msg_1", "content-type": "application/json"}
    return Post(key, EndpointId("end_1"), url, headers, body)


def collect(sender: CurlSender, count: int, within: float = 2 * LONG) -> list[Answer]:
    ended: list[Answer] = []
    until = time.monotonic() + within
    while len(ended) < count and time.monotonic() < until:
        ended += sender.collect(0.5)
    assert len(ended) == count
    return ended


def post(sender: CurlSender, url: str) -> Answer:
    sender.submit(a_post(url))
    return collect(sender, 1)[0]


@pytest.fixture
def sender(make_sender: MakeSender) -> CurlSender:
    return make_sender()


def test_a_platform_gets_what_was_sent(sender: CurlSender, certificate: Path) -> None:
    began = time.monotonic()
    with Platform(certificate=certificate) as platform:
        ended = post(sender, platform.url)
    (received,) = platform.received
    assert (ended.key, ended.status, ended.error) == ("one", 200, None)
    assert (received.method, received.path, received.body) == ("POST", "/hook", b'{"a":1}')
    assert received.headers["webhook-id"] == "msg_1"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"] == "ReportRemove/1"
    assert "expect" not in received.headers
    assert timedelta(0) < ended.duration < timedelta(seconds=time.monotonic() - began)


def test_connections_are_kept(sender: CurlSender, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        answers = [post(sender, platform.url) for _ in range(10)]
        assert [answer.status for answer in answers] == [200] * 10
        assert platform.connections == 1
    assert [answer.dialled for answer in answers] == [True, *[False] * 9]


def test_a_connection_that_ends_with_its_answer_is_told_of(
    sender: CurlSender, certificate: Path
) -> None:
    with Platform(answer(200, body=bytes(100_000)), certificate) as platform:
        assert [post(sender, platform.url).dialled for _ in range(3)] == [True] * 3


def test_many_posts_go_at_once_and_each_ends_once(sender: CurlSender, certificate: Path) -> None:
    with Platform(certificate=certificate) as platform:
        for n in range(60):
            sender.submit(a_post(platform.url, str(n), f"[{n}]".encode()))
        ended = collect(sender, 60)
    assert sorted(int(a.key) for a in ended) == list(range(60))
    assert {a.status for a in ended} == {200}
    assert sorted(r.body for r in platform.received) == sorted(f"[{n}]".encode() for n in range(60))


def test_http2_shares_one_connection(sender: CurlSender, certificate: Path) -> None:
    with Http2Platform(certificate) as platform:
        for n in range(20):
            sender.submit(a_post(platform.url, str(n)))
        assert {a.status for a in collect(sender, 20)} == {200}
    assert (platform.requests, platform.connections) == (20, 1)


def test_http2_goaway_is_followed_by_another_connection(
    sender: CurlSender, certificate: Path
) -> None:
    with Http2Platform(certificate, goaway_after=3) as platform:
        for _ in range(7):
            assert post(sender, platform.url).status == 200
    assert platform.connections == 3


@pytest.mark.parametrize(
    ("behave", "status", "error"),
    [
        (raw(HEAD, *[b"x"] * 100, every=0.5), 200, None),
        (raw(b"HTTP/1.1 200 OK\r\n", *[b"A: b\r\n"] * 100, every=0.5), None, "timeout"),
        (hang, None, "timeout"),
    ],
)
def test_whoever_is_slow_is_waited_for_until_time_is_up(
    make_sender: MakeSender,
    certificate: Path,
    behave: Behaviour,
    status: int | None,
    error: str | None,
) -> None:
    began = time.monotonic()
    with Platform(behave, certificate) as platform:
        ended = post(make_sender(total_timeout=2.0), platform.url)
    assert (ended.status, ended.error) == (status, error)
    assert ended.duration > timedelta(seconds=1.5)
    assert time.monotonic() - began < LONG  # the slow ones take 50 seconds


@pytest.mark.parametrize(
    ("behave", "status", "error"),
    [
        (answer(204), 204, None),
        (answer(200, b"<html>garbage" * 10), 200, None),
        (answer(302, headers={"Location": "http://169.254.169.254/"}), 302, None),
        (answer(307, headers={"Location": "https://localhost:1/"}), 307, None),
        (answer(410), 410, None),
        (answer(500), 500, None),
        (answer(200, bytes(10_000_000)), 200, None),
        (raw(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 999, repeat=10_000), 200, None),
        (raw(HEAD, b"cut"), 200, None),
        (reset, None, "connection-broken"),
        (raw(b"HTTP/1.1 200 OK\r\nA: b\r\n"), None, "connection-broken"),
        (raw(), None, "connection-broken"),
        (raw(b"HTTP/1.1 100 Continue\r\n\r\n", repeat=200_000), None, "answer-too-long"),
        (raw(b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n", repeat=200_000), None, "answer-too-long"),
        (raw(b"HTTP/1.1 200 OK\r\n", *[b"A: " + b"b" * 997 + b"\r\n"] * 99), None,
         "answer-too-long"),
        (raw(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 500_000), None, "answer-too-long"),
        (raw(b"SSH-2.0-OpenSSH_9\r\n"), None, "answer-not-http"),
        (raw(b"HTTP/1.1 \xff\xff\xff\r\n\r\n"), None, "answer-not-http"),
    ],
)  # fmt: skip
def test_whatever_a_platform_answers_it_ends_without_waiting(
    sender: CurlSender, certificate: Path, behave: Behaviour, status: int | None, error: str | None
) -> None:
    with Platform(behave, certificate) as platform:
        ended = post(sender, platform.url)
        assert (ended.status, ended.error) == (status, error)
        assert ended.duration < timedelta(seconds=LONG / 2)
        assert ended.response_bytes <= 16_384 + 4_096
        assert {request.path for request in platform.received} == {"/hook"}
    with Platform(certificate=certificate) as good:
        assert post(sender, good.url).status == 200


def test_a_connection_broken_at_once_is_dialled_once_more(
    sender: CurlSender, certificate: Path
) -> None:
    with Platform(in_turn(reset, answer(202)), certificate) as platform:
        assert post(sender, platform.url).status == 202
        assert len(platform.received) == 2
    with Platform(reset, certificate) as platform:
        assert post(sender, platform.url).error == "connection-broken"
        assert len(platform.received) == 2


def test_a_kept_connection_that_the_platform_dropped_costs_nothing(
    sender: CurlSender, certificate: Path
) -> None:
    closing = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with Platform(in_turn(answer(200), closing, answer(200)), certificate) as platform:
        assert [post(sender, platform.url).status for _ in range(4)] == [200] * 4


@pytest.mark.parametrize("case", ["expired", "wrong host", "unknown authority"])
def test_a_certificate_that_does_not_hold_gets_nothing(
    sender: CurlSender, authority: Authority, tmp_path: Path, case: str
) -> None:
    certificates = {
        "expired": authority.certificate("expired", lasts=-DAY),
        "wrong host": authority.certificate("other", hosts=("other.example.org",)),
        "unknown authority": Authority(tmp_path).certificate("stranger"),
    }
    with Platform(certificate=certificates[case]) as platform:
        ended = post(sender, platform.url)
        assert (ended.status, ended.error) == (None, "tls")
        assert platform.received == []


def test_a_platform_without_tls_gets_nothing(sender: CurlSender) -> None:
    def greet(link: socket.socket) -> None:
        for _ in range(2):  # it is dialled once more
            with link.accept()[0] as plain:
                plain.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                seen.append(plain.recv(65_536))

    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=greet, args=(listener,))
    thread.start()
    ended = post(sender, f"https://localhost:{listener.getsockname()[1]}/hook")
    thread.join(5)
    listener.close()
    assert (ended.status, ended.error) == (None, "tls")
    assert b"webhook-id" not in b"".join(seen)


def test_nobody_listens(sender: CurlSender) -> None:
    with refusing_port() as port:
        assert post(sender, f"https://localhost:{port}/").error == "connection-refused"


class Trusting(EgressGuard):
    """Lets every URL through, as if its name had been public when it was registered."""

    def check_url(self, url: str) -> str:
        return url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "127.0.0.1."])
def test_the_address_is_judged_when_the_socket_is_opened(
    make_sender: MakeSender, certificate: Path, host: str
) -> None:
    sender = make_sender(Trusting())
    with Platform(certificate=certificate) as platform:
        ended = post(sender, f"https://{host}:{platform.port}/hook")
        assert (ended.status, ended.error) == (None, "address-unsafe")
        assert platform.connections == 0


def test_development_without_tls_is_loopback_only(make_sender: MakeSender) -> None:
    with Platform() as platform:
        assert post(make_sender(), platform.url).status == 200
        assert post(make_sender(EgressGuard()), platform.url).error == "endpoint-refused"
        strict = make_sender(Trusting())
        assert post(strict, platform.url).error in ("answer-not-http", "address-unsafe")
        assert platform.connections == 1


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://10.0.0.1/", "address-unsafe"),
        ("http://example.org/", "endpoint-refused"),
        ("rubbish", "endpoint-refused"),
        ("https://name.that.is.not.there.invalidtld/", "name-unknown"),
    ],
)
def test_a_bad_url_is_an_answer_and_no_exception(sender: CurlSender, url: str, error: str) -> None:
    assert post(sender, url).error == error
    assert sender.room() == 512


def test_the_environments_proxy_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, make_sender: MakeSender, certificate: Path
) -> None:
    with Platform() as proxy, Platform(certificate=certificate) as platform:
        for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://localhost:{proxy.port}")
        assert post(make_sender(), platform.url).status == 200
        assert proxy.connections == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("31536000", 31_536_000.0),
        ("9" * 400, 999_999_999_999.0),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120.0),
        ("Sunday, 01-Mar-26 12:02:00 GMT", 120.0),
        ("Sun Mar  1 12:02:00 2026", 120.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Sun, 99 Mar 2026 12:02:00 GMT", None),
        ("Mon, 01 Jan 99999999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(value: str, seconds: float | None) -> None:
    assert retry_after_seconds(value, datetime(2026, 3, 1, 12, tzinfo=UTC)) == seconds


def test_retry_after_comes_with_the_answer(sender: CurlSender, certificate: Path) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    slow = [answer(429, headers={"retry-After": "77"}), answer(503, headers={"Retry-After": later})]
    with Platform(in_turn(*slow, answer(200)), certificate) as platform:
        assert post(sender, platform.url).retry_after == 77
        assert 50 <= (post(sender, platform.url).retry_after or 0) <= 100
        assert post(sender, platform.url).retry_after is None


def test_another_thread_can_end_a_wait(sender: CurlSender) -> None:
    threading.Timer(0.1, sender.wake).start()
    began = time.monotonic()
    assert sender.collect(LONG) == []
    assert time.monotonic() - began < LONG / 2
    sender.wake()
    assert sender.collect(5) == []


def test_a_wait_with_nothing_to_do_ends_in_time_without_burning(sender: CurlSender) -> None:
    began, used = time.monotonic(), time.process_time()
    assert sender.collect(0.3) == []
    assert 0.29 <= time.monotonic() - began < LONG / 2
    assert time.process_time() - used < 0.1


def test_the_first_answer_does_not_wait_for_the_slow(sender: CurlSender, certificate: Path) -> None:
    with Platform(hang, certificate) as slow, Platform(certificate=certificate) as quick:
        sender.submit(a_post(slow.url, "slow"))
        sender.submit(a_post(quick.url, "quick"))
        began = time.monotonic()
        assert [a.key for a in sender.collect(LONG)] == ["quick"]
        assert time.monotonic() - began < LONG / 2
        assert sender.room() == 511


def test_closing_ends_what_is_in_flight(make_sender: MakeSender, certificate: Path) -> None:
    sender = make_sender()
    with Platform(hang, certificate) as platform:
        for n in range(3):
            sender.submit(a_post(platform.url, str(n)))
        sender.collect(0.2)
        sender.close()
        ended = sender.collect(1)
        assert sorted((a.key, a.error) for a in ended) == [(k, "closed") for k in "012"]
    sender.wake()
    sender.close()
    assert sender.collect(0) == []


@pytest.fixture
def open_sockets() -> Iterator[list[int]]:
    process = psutil.Process()
    before = process.num_fds()
    counts = [before]
    yield counts
    assert eventually(lambda: process.num_fds() <= before + 2)


def test_no_descriptor_is_left_behind(
    open_sockets: list[int], authority: Authority, certificate: Path
) -> None:
    sender = CurlSender(EgressGuard(allow_loopback=True))
    with refusing_port() as port, Platform(reset, certificate) as platform:
        for n in range(40):
            url = platform.url if n % 2 else f"https://localhost:{port}/"
            sender.submit(a_post(url, str(n)))
        collect(sender, 40)
    sender.close()


@pytest.mark.parametrize("version", ["8.21.0", "8.21.1", "8.21.0-DEV"])
def test_a_leaking_libcurl_is_refused(version: str) -> None:
    with pytest.raises(UnsuitableLibrary, match="leaks"):
        refuse_leaky_libcurl(version)


def test_the_installed_libcurl_is_not() -> None:
    refuse_leaky_libcurl()
    refuse_leaky_libcurl("8.2.1")
    refuse_leaky_libcurl("8.22.0")
