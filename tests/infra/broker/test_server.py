"""The broker as a process: its start, its end, and two of them at once."""

from __future__ import annotations

import http.client
import json
import signal
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from app.demo.processes import free_port
from infra.broker.issuance import Predicate
from infra.broker.signers.development import DevelopmentSigner
from infra.broker.web import REQUEST_TYPE
from tests.infra.broker.conftest import SoftHsm
from tests.infra.broker.devices import key, listed_key
from tests.infra.broker.running import (
    ask,
    command,
    is_signed,
    passed,
    process,
    process_at,
    request_bytes,
    write,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, keys: Path, number: int) -> None:
    with process(write(tmp_path, keys)) as broker:
        session = passed(broker.url)
        request = request_bytes(key(keys))
        answer = ask(session, broker.url, request)
        assert is_signed(key(keys), request, answer.content)
        code, said = broker.stop(number)
    assert code == 0
    events = [json.loads(line).get("event") for line in said.splitlines()]
    assert events[-1] == "broker.stopped"
    assert "broker.started" in events
    warnings = [line for line in said.splitlines() if "broker.warning" in line]
    assert any("not constant time" in line for line in warnings)
    assert any("checks nobody" in line for line in warnings)


def test_the_limit_outlives_a_restart_and_a_grant_does_not(tmp_path: Path, keys: Path) -> None:
    path = write(tmp_path, keys)
    statuses = []
    for _ in range(3):
        with process_at(path, NOON) as broker:
            answer = requests.post(
                f"{broker.url}/providers/development/start",
                data={"age": "15", "person": "alice"},
                allow_redirects=False,
                timeout=60,
            )
            statuses.append(answer.headers["Location"])
            for _ in range(3):
                requests.post(
                    f"{broker.url}/token-request",
                    data=request_bytes(key(keys)),
                    headers={"Content-Type": REQUEST_TYPE},
                    cookies=answer.cookies,
                    timeout=60,
                )
            grant = answer.cookies
    assert statuses == ["/pass", "/pass", "/pass?problem=limit"]
    with process_at(path, NOON) as broker:
        assert requests.get(f"{broker.url}/grant", cookies=grant, timeout=60).status_code == 404


def test_two_brokers_at_once_keep_one_limit(tmp_path: Path, keys: Path) -> None:
    """Each hands out its own grants; the database of the day is one."""
    first = write(tmp_path, keys, more="tokens_per_grant = 20\ntokens_per_day = 10")
    second = tmp_path / "second.toml"
    port = json.dumps(free_port())
    second.write_text(
        "".join(
            f"port = {port}\n" if line.startswith("port = ") else line
            for line in first.read_text().splitlines(keepends=True)
        )
    )
    statuses: list[int] = []
    with process_at(first, NOON) as one, process_at(second, NOON) as two:
        sessions = [(passed(broker.url, "alice"), broker.url) for broker in (one, two) * 2]

        def drain(session: requests.Session, url: str) -> None:
            statuses.extend(
                ask(session, url, request_bytes(key(keys))).status_code for _ in range(8)
            )

        threads = [threading.Thread(target=drain, args=pair) for pair in sessions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses.count(200) == 10
    assert set(statuses) <= {200, 403, 429}


def test_what_waitress_refuses_is_refused(tmp_path: Path, keys: Path) -> None:
    with process(write(tmp_path, keys)) as broker:
        address = urlsplit(broker.url).netloc
        for headers, body in (
            ({"Content-Type": REQUEST_TYPE, "Content-Length": "9999999999"}, b""),
            ({"Content-Type": REQUEST_TYPE}, bytes(1_000_000)),
            ({"Cookie": "pass=" + "x" * 20_000}, b""),
        ):
            connection = http.client.HTTPConnection(address, timeout=60)
            try:
                connection.request("POST", "/token-request", body, headers)
                assert connection.getresponse().status in (413, 431)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it hung up while we were still sending
            finally:
                connection.close()
        assert requests.get(f"{broker.url}/healthz", timeout=60).status_code == 204
        _, said = broker.stop()
    assert "xxx" not in said


def test_no_body_is_written_to_a_file(tmp_path: Path, keys: Path) -> None:
    """waitress would put a long one into a temporary file."""
    with process(write(tmp_path, keys), env={"TMPDIR": str(tmp_path / "none")}) as broker:
        answer = requests.post(
            f"{broker.url}/token-request",
            data=bytes(65_000),
            headers={"Content-Type": REQUEST_TYPE},
            timeout=60,
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_with_a_real_device_it_signs(tmp_path: Path, keys: Path, softhsm: SoftHsm) -> None:
    """The ceremony of the README: a configuration, its keys made at the device, the broker."""
    path = write(tmp_path, keys)
    text = path.read_text()
    start, end = text.index("[signer]"), text.index("[[key]]")
    path.write_text(text[:start] + softhsm.signer + text[end:])
    options = ("--config", str(path), "--development")
    code, _, said = command("serve", *options, env=softhsm.env)
    assert (code, said.count("no key pair of that label")) == (5, 2)
    made = [command("keys", "make", label, *options, env=softhsm.env) for label in
            ("document", "estimate")]  # fmt: skip
    assert [code for code, _, _ in made] == [0, 0]
    shown = command("keys", "show", *options, env=softhsm.env)
    assert shown[:2] == (0, made[0][1] + made[1][1])
    assert command("keys", "make", "document", *options, env=softhsm.env)[0] == 5
    assert command("keys", "make", "other", *options, env=softhsm.env)[0] == 5
    with process(path, env=softhsm.env) as broker:
        url = f"{broker.url}/.well-known/private-token-issuer-directory"
        listed = requests.get(url, timeout=60).json()["token-keys"]
        assert f'spki = "{listed[0]["token-key"].rstrip("=")}"' in made[0][1]
        session = passed(broker.url)
        device_key = listed_key(listed[0]["token-key"])
        request = request_bytes(device_key)
        answer = ask(session, broker.url, request)
        assert is_signed(device_key, request, answer.content)
        code, said = broker.stop()
    assert code == 0
    assert "not constant time" not in said
    assert softhsm.pin not in said


def test_a_wrong_pin_is_said_without_it(tmp_path: Path, keys: Path, softhsm: SoftHsm) -> None:
    wrong = tmp_path / "pin"
    wrong.write_text("wrong-pin-4711")
    wrong.chmod(0o600)
    path = write(tmp_path, keys)
    text = path.read_text()
    start, end = text.index("[signer]"), text.index("[[key]]")
    signer = softhsm.signer.replace(str(softhsm.pin_file), str(wrong))
    path.write_text(text[:start] + signer + text[end:])
    code, out, said = command("serve", "--config", str(path), "--development", env=softhsm.env)
    assert (code, out) == (5, "")
    assert "token cannot be opened" in said
    assert "4711" not in said


def test_every_key_that_is_wrong_is_told(tmp_path: Path, keys: Path) -> None:
    path = write(tmp_path, tmp_path)
    code, out, said = command("serve", "--config", str(path), "--development")
    assert (code, out, len(said.splitlines())) == (5, "", 2)
    assert "Traceback" not in said


def test_a_taken_port_is_said(tmp_path: Path, keys: Path) -> None:
    path = write(tmp_path, keys)
    with process(path):
        code, _, said = command("serve", "--config", str(path), "--development")
    assert (code, said.splitlines()[-1]) == (5, "port: it cannot be listened on")


def test_a_broker_for_one_machine_needs_nothing(tmp_path: Path) -> None:
    from infra.broker.development import configuration_for

    port = free_port()
    first = configuration_for(tmp_path / "new", port, ["http://127.0.0.1:8080"])
    again = configuration_for(tmp_path / "new", port, ["http://127.0.0.1:8080"])
    assert first == again
    signer = DevelopmentSigner(tmp_path / "new")
    assert {signer.public(p).exponent for p in Predicate} == {65537}
    with process(tmp_path / "new" / "broker.toml") as broker:
        for provider, predicate in (
            ("development", "under18-document"),
            ("development-estimate", "under18-estimate"),
        ):
            session = passed(broker.url, provider=provider)
            grant = session.get(f"{broker.url}/grant").json()
            assert grant == {"predicate": predicate, "left": 3}
    with sqlite3.connect(tmp_path / "new" / "day.sqlite") as book:
        assert book.execute("SELECT count(*) FROM granted").fetchone() == (0,)
    book.close()


@pytest.mark.parametrize("words", [[], ["serve"], ["keys"], ["--help"], ["keys", "make"]])
def test_the_command_line_explains_itself(words: list[str]) -> None:
    code, out, said = command(*words)
    assert code == (0 if words == ["--help"] else 2)
    assert "usage: python -m infra.broker" in out + said
