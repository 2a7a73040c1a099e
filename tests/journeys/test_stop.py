"""How a service ends, starts again, and when it refuses to start at all."""

from __future__ import annotations

import http.client
import json
import select
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from app.client.service import report_body
from app.ports import SavePartner
from app.services.catalogue import Services
from app.wsgi import GRACE
from partners.model import EndpointStatus
from tests.journeys.calls import a_case_key, a_key, a_photo, calling
from tests.journeys.processes import House, Processes, Running, until
from tests.journeys.receiver import Receiver

MISCONFIGURED = 5
ESTABLISHED = "01"
NOT_ACCEPTED, NOTHING = 0, 0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Processes(tmp_path) as processes:
        yield House(processes)


def _last_event(running: Running) -> dict[str, object]:
    last: dict[str, object] = json.loads(running.err.read_text().splitlines()[-1])
    return last


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Nothing can be stored in that file for as long."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def _report(house: House, key: str) -> int:
    with calling(house.port) as caller:
        return caller.report(key).status


def _opens(house: House, key: str) -> int:
    with calling(house.port) as caller:
        return caller.open(key).status


def _reporting(house: House, key: str) -> socket.socket:
    """A report that was sent to its last byte, and is not answered yet."""
    body = report_body(key, "declared-v1", "13_15", [a_photo()])
    head = (
        "POST /v1/reports HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Idempotency-Key: {a_key()}",
    )
    connection = socket.create_connection(("127.0.0.1", house.port), 30)
    connection.sendall("\r\n".join((*head, "", "")).encode() + body)
    return connection


def _read(house: House) -> int:
    """How many connections the service has read all that came of."""
    place = f"0100007F:{house.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(
        int(row[4].split(":")[1], 16) == NOTHING and int(row[9]) != NOT_ACCEPTED
        for row in rows
        if (row[1], row[3]) == (place, ESTABLISHED)
    )


def _status(connection: socket.socket) -> int:
    """Of the answer, once it is there."""
    with closing(connection), http.client.HTTPResponse(connection) as answer:
        answer.begin()
        return answer.status


def test_reports_in_hand_at_the_end_are_stored_and_answered(house: House) -> None:
    running = house.start(THREADS="2")  # six of the eight wait for a thread
    keys = [a_case_key() for _ in range(8)]
    with _locked(house.database):
        asked = [_reporting(house, key) for key in keys]
        until(lambda: _read(house) == 8, "all eight are in hand")
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert running.process.poll() is None
        assert select.select(asked, [], [], 0)[0] == []
    assert [_status(connection) for connection in asked] == [201] * 8
    assert running.stop() == 0
    assert _last_event(running)["drained"] is True
    house.start()
    assert [_opens(house, key) for key in keys] == [200] * 8


def test_while_nothing_can_be_read_it_says_when_to_ask_again(house: House) -> None:
    house.start()
    key = a_case_key()
    assert _report(house, key) == 201
    with closing(sqlite3.connect(house.database)) as other, calling(house.port) as caller:
        other.execute("ALTER TABLE cases RENAME TO elsewhere")
        refused = caller.open(key)
        assert (refused.status, refused.code) == (503, "store-unavailable")
        assert int(dict(refused.headers)["Retry-After"]) > 0
        other.execute("ALTER TABLE elsewhere RENAME TO cases")
        assert caller.open(key).status == 200


def _seconds_to_end_idle(house: House) -> float:
    running = house.start()
    with calling(house.port) as caller:  # a kept connection does not hold it up
        assert caller.call("GET", "/healthz").status == 200
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGINT)
        assert running.stop() == 0
        seconds = time.monotonic() - began
    assert _last_event(running)["drained"] is True
    return seconds


def test_idle_it_ends_at_once_and_twice_asked_it_ends_once(house: House) -> None:
    """What it waited for would hold it up in each of three tries, a busy machine does not."""
    assert any(_seconds_to_end_idle(house) < GRACE for _ in range(3))


def _posting(house: House, receiver: Receiver) -> Running:
    """A service with one webhook on its way to a platform that does not answer yet."""
    made = house.add_platform("one", receiver.url("one"))
    receiver.told["one"].key = made["webhook_key"]
    running = house.start()
    receiver.holding.set()
    assert _report(house, a_case_key()) == 201
    until(lambda: receiver.in_hand == 1, "the webhook is on its way")
    return running


def _states(house: House) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(house.database)) as connection:
        return connection.execute("SELECT state, attempts FROM messages").fetchall()


def _due_at(house: House) -> float:
    """When the one message is to be sent, in seconds since 1970."""
    with closing(sqlite3.connect(house.database)) as connection:
        return float(connection.execute("SELECT due_at FROM messages").fetchone()[0]) / 1e6


def test_a_webhook_in_hand_at_the_end_is_finished(house: House) -> None:
    with Receiver("one") as receiver:
        running = _posting(house, receiver)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        receiver.holding.clear()
        assert running.stop() == 0
        assert _last_event(running)["drained"] is True
        assert _states(house) == [("delivered", 1)]
        assert receiver.told["one"].posts.total() == 1


def test_a_webhook_that_is_not_answered_is_given_back_and_sent_again_soon(house: House) -> None:
    """Given back and due at once, not left under its lease of a minute."""
    with Receiver("one") as receiver:
        running = _posting(house, receiver)
        assert running.stop() == 0
        assert _states(house) == [("pending", 0)]
        assert _due_at(house) <= time.time() + 2
        receiver.holding.clear()
        house.start()
        until(lambda: _states(house) == [("delivered", 1)], "it was sent again")
        assert list(receiver.told["one"].posts.values()) == [2]


def test_what_another_process_makes_due_is_sent_without_anybody_reporting(house: House) -> None:
    """`messages replay` beside a running service, which has nothing else to do."""
    with Receiver("one", status=410) as receiver:
        receiver.told["one"].key = house.add_platform("one", receiver.url("one"))["webhook_key"]
        house.start()
        assert _report(house, a_case_key()) == 201
        until(lambda: _states(house) == [("failed", 1)], "it was given up")
        _enable_again(house)
        receiver.status = 204
        assert house.run("messages", "replay", "--all-failed").returncode == 0
        until(lambda: _states(house) == [("delivered", 1)], "the replay was noticed")


def _enable_again(house: House) -> None:
    """The endpoint that was gone is back: the operator says so."""

    def enable(services: Services) -> None:
        (partner,) = services.house.store.partners()
        (endpoint,) = partner.endpoints
        open_again = (replace(endpoint, status=EndpointStatus.ACTIVE),)
        changed = replace(partner, endpoints=open_again, version=partner.version + 1)
        services.house.store.commit(SavePartner(changed))

    house.acting(enable)


def test_many_that_start_at_once_on_an_empty_folder_all_start(house: House) -> None:
    running = [house.launch(PORT="0") for _ in range(4)]
    for started in running:
        started.wait_ready()
    assert [started.stop() for started in running] == [0] * 4


def test_the_folder_and_what_is_in_it_are_private(house: House) -> None:
    house.start()
    assert house.data.stat().st_mode & 0o077 == 0
    assert [path.name for path in house.data.iterdir() if path.stat().st_mode & 0o077] == []


def _refusal(house: House, **more: str) -> str:
    ended = house.run("serve", "--json", **more)
    assert (ended.returncode, ended.stdout) == (MISCONFIGURED, b"")
    assert b"Traceback" not in ended.stderr
    return ended.stderr.decode()


@pytest.fixture
def used(house: House) -> House:
    """A folder with a root key and a database in it."""
    assert house.run("partner", "list").returncode == 0
    return house


def test_a_root_key_that_others_may_read_is_refused(used: House) -> None:
    key = used.data / "root.key"
    for mode in (0o644, 0o640, 0o604):
        key.chmod(mode)
        assert "may be read by others" in _refusal(used)
    key.chmod(0o600)
    used.start()


def test_a_missing_root_key_beside_a_database_is_refused_and_none_is_made(used: House) -> None:
    key = used.data / "root.key"
    shutil.move(key, used.data / "elsewhere")
    assert "missing beside a database" in _refusal(used)
    assert not key.exists()
    shutil.move(used.data / "elsewhere", key)
    used.start()


def test_a_damaged_root_key_is_refused_without_showing_it(used: House) -> None:
    key = used.data / "root.key"
    secret = key.read_text().splitlines()[2].split()[-1]
    key.write_text(key.read_text().replace(secret, secret[:-9]))
    said = _refusal(used)
    assert "line 3" in said
    assert secret[:-9] not in said


def test_what_is_no_database_of_ours_is_refused_and_left_alone(used: House) -> None:
    used.database.write_bytes(b"this is no database " * 400)
    assert "cannot be opened" in _refusal(used)
    assert used.database.read_bytes() == b"this is no database " * 400


def test_a_database_of_a_newer_program_is_refused(used: House) -> None:
    with closing(sqlite3.connect(used.database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "newer version" in _refusal(used)


def test_every_bad_setting_is_named_at_once(house: House) -> None:
    said = _refusal(
        house,
        PORT="many",
        LIMIT_CASE="often",
        PROT="1",
        ENVIRONMENT="staging",
        AGE_ISSUERS_FILE="/no/such/file",
        MAX_ITEMS_PER_CASE="51",
    )
    for name in ("PORT", "LIMIT_CASE", "PROT", "ENVIRONMENT", "AGE_ISSUERS_FILE", "MAX_ITEMS"):
        assert f"REPORT_REMOVE_{name}" in said
    assert not house.data.exists()


def test_a_deadline_policy_that_a_platform_still_has_is_missed(house: House) -> None:
    house.add_platform("one", "http://127.0.0.1:9/hook", policy="uk-osa-48h")
    fewer = house.processes.folder / "deadlines.toml"
    fewer.write_text('[policy.none]\njurisdiction = "any"\nrule = "none"\nsource = "none"\n')
    assert "uk-osa-48h" in _refusal(house, DEADLINES_FILE=str(fewer))


def test_what_may_not_face_the_public_is_refused_there(house: House) -> None:
    assert "ALLOW_LOOPBACK_PARTNERS" in _refusal(house, ENVIRONMENT="production")


def test_a_taken_port_is_refused(house: House) -> None:
    house.start()
    assert "cannot listen on port" in _refusal(house)


def test_a_folder_that_cannot_be_made_is_refused(house: House) -> None:
    (house.processes.folder / "a-file").touch()
    assert "cannot be made" in _refusal(house, DATA_DIR=str(house.processes.folder / "a-file"))
