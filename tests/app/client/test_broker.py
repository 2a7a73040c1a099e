"""The command line's way to passes: with a real broker, and with ones that answer anything."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click import UsageError

from app.adapters.age.private_token import Token, TokenKey, token_challenge
from app.cli.proving import Proof
from app.client.broker import Broker, development, fetch, wait_a_while
from app.client.pass_file import PassFile
from app.client.privacy_pass import Asked, NoPass, Why, b64, from_b64
from app.client.service import Refused, Unreachable
from app.client.shown_pass import fetch_ahead, from_broker, from_file
from tests.journeys.browser.broker import key_of, start_broker
from tests.journeys.processes import ROOT, Processes

CHALLENGE = token_challenge("under18.broker.example", "young.example", bytes(32))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Processes(tmp_path_factory.mktemp("broker")) as processes:
        yield str(start_broker(processes, ["http://127.0.0.1:1"]).facts["url"])


@pytest.fixture
def asked(broker: str) -> Asked:
    return Asked(CHALLENGE, from_b64(key_of(broker)))


def offered(asked: Asked) -> dict[str, Any]:
    """As the service says it."""
    issuer = {"challenge": b64(asked.challenge), "token_key": b64(asked.spki)}
    return {"profiles": [{"profile": "pp-under18-v1", "issuers": [issuer]}]}


def token_of(headers: Mapping[str, str]) -> Token:
    return Token.parse(headers["Authorization"].removeprefix('PrivateToken token="')[:-1])


def why(call: Callable[[], object]) -> Why:
    with pytest.raises(NoPass) as refused:
        call()
    return refused.value.why


# ---- a real broker -------------------------------------------------------------------------------


def test_as_many_as_are_asked_for_and_each_another(broker: str, asked: Asked) -> None:
    tokens = fetch(broker, asked, development(15), 3)
    assert len(set(tokens)) == 3
    key = TokenKey.parse(asked.spki)
    assert all(key.verifies(Token.parse(b64(token))) for token in tokens)


def test_a_grown_up_gets_none(broker: str, asked: Asked) -> None:
    assert why(lambda: fetch(broker, asked, development(40))) is Why.REFUSED


def test_nobody_gets_more_than_a_day_allows(broker: str, asked: Asked) -> None:
    prove = development(15, "somebody")
    got = [len(fetch(broker, asked, prove, 3)) for _ in range(2)]
    assert got == [3, 3]
    assert why(lambda: fetch(broker, asked, prove)) in (Why.LIMIT, Why.REFUSED)


def test_without_showing_an_age_nothing_is_signed(broker: str, asked: Asked) -> None:
    assert why(lambda: fetch(broker, asked, lambda _: None)) is Why.REFUSED


def test_a_key_that_the_broker_does_not_have_is_not_used(broker: str, asked: Asked) -> None:
    vectors = (ROOT / "tests/vectors/age/rfc9578-type2.json").read_text()
    other = bytes.fromhex(json.loads(vectors)["vectors"][0]["token_key"])
    shown: list[Broker] = []
    wish = Asked(CHALLENGE, other)
    assert why(lambda: fetch(broker, wish, shown.append)) is Why.KEY_UNKNOWN
    assert shown == []  # nobody was sent to a provider for it


def test_fetched_ahead_and_used_one_by_one(broker: str, asked: Asked, tmp_path: Path) -> None:
    path = tmp_path / "passes"
    assert fetch_ahead(broker, offered(asked), 15, 2, path) == 2
    for _ in range(2):
        with from_file(path) as headers:
            assert TokenKey.parse(asked.spki).verifies(token_of(headers))
    assert why(lambda: from_file(path).__enter__()) is Why.NONE_LEFT


def test_one_fresh_from_the_broker(broker: str, asked: Asked) -> None:
    headers = from_broker(broker, offered(asked), 15)
    assert TokenKey.parse(asked.spki).verifies(token_of(headers))


def test_who_wants_to_wait_does_so_between_pass_and_report(
    broker: str, asked: Asked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("app.client.shown_pass.wait_a_while", waited.append)
    for wait in (0.0, 1.5):
        proof = Proof(None, None, None, broker, 15, wait)
        with proof.headers(offered(asked), "http://x", "13_15", b"{}", as_json=False) as headers:
            assert TokenKey.parse(asked.spki).verifies(token_of(headers))
    assert waited == [0, 90]
    assert capsys.readouterr().err == "Sending within the next 1.5 minutes.\n"
    with pytest.raises(UsageError, match="--wait goes with --broker"):
        Proof(None, None, None, None, 15, 1.5)


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        (Refused(422, {"code": "too-much"}), 1),
        (Refused(401, {"code": "age-refused"}), 0),
        (Refused(401, {"code": "age-token-spent"}), 0),
        (Unreachable(), 1),
        (KeyboardInterrupt(), 1),
        (None, 0),
    ],
)
def test_a_pass_goes_back_unless_it_was_taken_or_wrong(
    tmp_path: Path, fault: BaseException | None, left: int
) -> None:
    file = PassFile(tmp_path / "passes")
    file.add([bytes(354)], time.time())
    if fault is None:
        with from_file(file.path):
            pass
    else:
        with pytest.raises(type(fault)), from_file(file.path):
            raise fault
    assert file.add([], time.time()) == left


# ---- brokers that answer anything ----------------------------------------------------------------


@contextmanager
def answering(answers: Mapping[str, tuple[int, bytes]]) -> Iterator[str]:
    """A server that gives these answers by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answers.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


DIRECTORY = "/.well-known/private-token-issuer-directory"
SHOWN = {"/grant": (200, b"{}")}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"token-keys": 3}', b'{"token-keys": [{"token-key": 7}]}', b"\xff"],
)
def test_a_directory_that_is_none(asked: Asked, body: bytes) -> None:
    with answering({DIRECTORY: (200, body)}) as url:
        assert why(lambda: fetch(url, asked, development(15))) is Why.UNAVAILABLE


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, b""), Why.SIGNATURE_LENGTH),
        ((200, bytes(257)), Why.SIGNATURE_LENGTH),
        ((200, b"\xff" * 256), Why.SIGNATURE_RANGE),
        ((200, bytes(256)), Why.SIGNATURE_WRONG),
        ((200, bytes(100_000)), Why.SIGNATURE_LENGTH),
        ((403, b""), Why.REFUSED),
        ((429, b""), Why.LIMIT),
        ((500, b""), Why.UNAVAILABLE),
    ],
)
def test_an_answer_that_is_no_signature(
    asked: Asked, answer: tuple[int, bytes], reason: Why
) -> None:
    entry = {"token-key": b64(asked.spki), "predicate": "under18-document"}
    listed = json.dumps({"token-keys": [entry]}).encode()
    with answering({DIRECTORY: (200, listed), "/token-request": answer, **SHOWN}) as url:
        assert why(lambda: fetch(url, asked, development(15))) is reason


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "file:///etc/passwd", "ftp://x", "", "x"])
def test_an_address_where_there_is_no_broker(asked: Asked, url: str) -> None:
    assert why(lambda: fetch(url, asked, development(15))) is Why.UNAVAILABLE


def test_a_wait_is_drawn_and_bounded() -> None:
    slept: list[float] = []
    waits = [wait_a_while(600, slept.append) for _ in range(200)]
    assert waits == slept
    assert 0 <= min(waits) < 200 < 400 < max(waits) < 600
    assert wait_a_while(0, slept.append) == 0
