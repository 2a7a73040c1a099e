"""What is refused before the application is asked, over real sockets."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.app.web.running import Running, running

MARK = b"a-mark-nobody-else-writes"
CLOSE = b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("service"), PUBLIC_URL="https://remove.example") as made:
        yield made


def said(service: Running, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case) and body of the answer to these bytes."""
    with socket.create_connection(service.address, timeout=60) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()


def post(*lines: bytes, body: bytes = b"") -> bytes:
    head = (b"POST /v1/reports HTTP/1.1", b"Host: remove.example", *lines)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def get(target: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join((b"GET " + target + b" HTTP/1.1", b"Host: x", *lines)) + b"\r\n" + CLOSE


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "negative length": (post(b"Content-Length: -5"), 400, "request-malformed"),
    "length in words": (post(b"Content-Length: many"), 400, "request-malformed"),
    "length of 5,000 digits": (post(b"Content-Length: " + b"9" * 5_000), 400, "request-malformed"),
    "two lengths": (post(b"Content-Length: 5", b"Content-Length: 6"), 400, "request-malformed"),
    "length and chunks": (
        post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
        "request-malformed",
    ),
    "no chunks": (
        post(b"Transfer-Encoding: chunked", body=MARK + b"\r\n"),
        400,
        "request-malformed",
    ),
    "unknown coding": (post(b"Transfer-Encoding: gzip"), 501, "transfer-unsupported"),
    "no header": (post(MARK), 400, "request-malformed"),
    "folded first header": (
        get(b"/", b" x: y").replace(b"Host: x\r\n", b""),
        400,
        "request-malformed",
    ),
    "nul in a header": (get(b"/healthz", b"X: a\0b"), 400, "request-malformed"),
    "line feed in a header": (get(b"/healthz", b"X: a\nb"), 400, "request-malformed"),
    "method in lower case": (get(b"/").replace(b"GET", b"get"), 400, "request-malformed"),
    "TLS": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", 400, "request-malformed"),
    "unclosed brackets": (get(b"http://[::1/healthz"), 400, "request-malformed"),
    "a flood of headers": (
        get(b"/", *(b"X-%d: %s" % (n, MARK * 30) for n in range(600))),
        431,
        "headers-too-large",
    ),
    "a long address": (get(b"/" + MARK * 1_000), 431, "headers-too-large"),
    "2 MB": (post(b"Content-Length: 2000000", body=MARK * 80_000), 413, "body-too-large"),
    "2 MB in chunks": (
        post(
            b"Transfer-Encoding: chunked",
            body=(b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 31 + b"0\r\n\r\n",
        ),
        413,
        "body-too-large",
    ),
    "2 MB that wait to be asked for": (
        post(b"Content-Length: 2000000", b"Expect: 100-continue"),
        413,
        "body-too-large",
    ),
    "nul in the address": (get(b"/v1/\0"), 404, "not-found"),
    "nul in the address, escaped": (get(b"/static/%00"), 404, "not-found"),
    "half an escape": (get(b"/v1/%zz%f"), 404, "not-found"),
    "not UTF-8": (get(b"/v1/%ff%fe"), 404, "not-found"),
    "up and away": (get(b"/static/..%2f..%2fwsgi.py"), 404, "not-found"),
    "a doubled slash": (get(b"/v1//platforms"), 404, "not-found"),
    "a slash too many": (get(b"/v1/platforms/"), 404, "not-found"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, "not-found"),
    "a part that is not there": (
        get(b"/static/docs.css", b"Range: bytes=99999999-"),
        400,
        "request-malformed",
    ),
    "TRACE": (get(b"/v1/platforms").replace(b"GET", b"TRACE"), 405, "method-not-allowed"),
    "a method of one's own": (
        get(b"/v1/platforms").replace(b"GET", MARK.upper()),
        405,
        "method-not-allowed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_refusal_is_a_problem(service: Running, name: str) -> None:
    sent, status, code = REFUSED[name]
    logged = service.logged()
    answered, headers, body = said(service, sent)
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    problem = json.loads(body)
    assert problem["type"] == f"https://remove.example/docs#problem-{code}"
    assert (problem["status"], problem["code"]) == (status, code)
    assert headers["connection"] == "close"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "via" not in headers
    assert b"generated by" not in body
    assert MARK not in body
    assert service.logged() == logged, "a refusal is no event"
    assert (status == 405) == ("allow" in headers)


TAKEN = {
    "HTTP/1.0": b"GET /healthz HTTP/1.0\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n" + CLOSE,
    "a strange host": b"GET /healthz HTTP/1.1\r\nHost: a b<>c\r\n" + CLOSE,
    "absolute form": b"GET http://another.example/healthz HTTP/1.1\r\nHost: x\r\n" + CLOSE,
    "header names in any case": b"GET /healthz HTTP/1.1\r\nhOsT: x\r\ncOnNeCtIoN: close\r\n\r\n",
}


@pytest.mark.parametrize("name", TAKEN)
def test_http_is_read_generously(service: Running, name: str) -> None:
    status, headers, body = said(service, TAKEN[name])
    assert (status, json.loads(body)) == (200, {"status": "ok"})
    assert "location" not in headers


def test_a_client_that_sends_two_megabytes_reads_its_answer(service: Running) -> None:
    """Closing at once would reset the connection and take the answer away from the sender."""
    for _ in range(20):
        connection = http.client.HTTPConnection(*service.address, timeout=60)
        connection.request("POST", "/v1/reports", b"x" * 2_000_000)
        assert connection.getresponse().status == 413
        connection.close()


def test_a_client_that_never_stops_sending_is_cut_off(service: Running) -> None:
    with socket.create_connection(service.address, timeout=60) as connection:
        connection.sendall(post(b"Content-Length: 999000000"))
        # Reset or broken pipe, as the kernel likes.
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall(b"x" * 60_000_000)


def test_nothing_after_a_refused_request_is_obeyed(service: Running) -> None:
    again = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + CLOSE
    with socket.create_connection(service.address, timeout=60) as connection:
        connection.sendall(post(b"Content-Length: 2000000") + again)
        connection.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answers.count(b"HTTP/1.1 ") == 1
    assert b'"ok"' not in answers


def test_a_body_on_its_way_is_not_written_to_a_file(service: Running) -> None:
    with socket.create_connection(service.address, timeout=60) as connection:
        connection.sendall(post(b"Content-Length: 990000", body=MARK * 39_000))
        with urlopen(f"{service.url}/healthz", timeout=60):
            pass  # the loop that reads has come round since
        files = [path.readlink() for path in Path(f"/proc/{service.process.pid}/fd").iterdir()]
    opened = [
        str(path) for path in files if path.is_absolute() and not str(path).startswith("/dev")
    ]
    assert opened, "nothing was seen at all"
    assert {Path(path).parent for path in opened} <= {service.data, service.log.parent}


def test_the_largest_body_is_taken_and_one_byte_more_is_not(service: Running) -> None:
    kind = b"Content-Type: application/json"
    for size, status in ((1_000_000, 400), (1_000_001, 413)):
        sent = post(kind, b"Content-Length: %d" % size, body=b"x" * size)
        assert said(service, sent)[0] == status


def test_a_method_that_was_made_up_is_not_counted_by_its_name(service: Running) -> None:
    said(service, REFUSED["a method of one's own"][0])
    with urlopen(service.metrics, timeout=60) as answer:
        text = answer.read().decode()
    methods = set(re.findall(r'report_remove_requests_total\{method="([^"]+)"', text))
    assert methods <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
    assert "other" in methods


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/platforms", {"GET", "HEAD", "OPTIONS"}), ("/v1/reports", {"POST", "OPTIONS"})],
)
def test_options_names_the_methods_and_says_nothing_else(
    service: Running, path: str, allowed: set[str]
) -> None:
    request = get(path.encode()).replace(b"GET", b"OPTIONS")
    status, headers, body = said(service, request)
    assert (status, body) == (204, b"")
    assert set(headers["allow"].split(", ")) == allowed
    assert "content-type" not in headers
    assert "access-control-allow-origin" not in headers


def test_head_says_what_get_would(service: Running) -> None:
    _, by_get, body = said(service, get(b"/v1/platforms"))
    with socket.create_connection(service.address, timeout=60) as connection:
        connection.sendall(get(b"/v1/platforms").replace(b"GET", b"HEAD"))
        answers = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, rest = answers.partition(b"\r\n\r\n")
    assert rest == b""
    assert f"Content-Length: {len(body)}".encode() in head
    assert by_get["content-type"] == "application/json"
