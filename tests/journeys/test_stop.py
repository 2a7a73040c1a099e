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
from tests.journeys.processes import Installation, Processes, Running, until
from tests.journeys.receiver import Receiver

MISCONFIGURED = 5
ESTABLISHED = "01"
NOT_ACCEPTED, NOTHING = 0, 0


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Processes(tmp_path) as processes:
        yield Installation(processes)


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


def _report(installation: Installation, key: str) -> int:
    with calling(installation.port) as caller:
        return caller.report(key).status


def _opens(installation: Installation, key: str) -> int:
    with calling(installation.port) as caller:
        return caller.open(key).status


def _reporting(installation: Installation, key: str) -> socket.socket:
    """A report that was sent to its last byte, and is not answered yet."""
    body = report_body(key, "declared-v1", "13_15", [a_photo()])
    head = (
        "POST /v1/reports HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Idempotency-Key: {a_key()}",
    )
    connection = socket.create_connection(("127.0.0.1", installation.port), 30)
    connection.sendall("\r\n".join((*head, "", "")).encode() + body)
    return connection


def _read(installation: Installation) -> int:
    """How many connections the service has read all that came of."""
    place = f"0100007F:{installation.port:04X}"
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


def test_reports_in_hand_at_the_end_are_stored_and_answered(installation: Installation) -> None:
    running = installation.start(THREADS="2")  # six of the eight wait for a thread
    keys = [a_case_key() for _ in range(8)]
    with _locked(installation.database):
        asked = [_reporting(installation, key) for key in keys]
        until(lambda: _read(installation) == 8, "all eight are in hand")
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert running.process.poll() is None
        assert select.select(asked, [], [], 0)[0] == []
    assert [_status(connection) for connection in asked] == [201] * 8
    assert running.stop() == 0
    assert _last_event(running)["drained"] is True
    installation.start()
    assert [_opens(installation, key) for key in keys] == [200] * 8


def test_while_nothing_can_be_read_it_says_when_to_ask_again(installation: Installation) -> None:
    installation.start()
    key = a_case_key()
    assert _report(installation, key) == 201
    with (
        closing(sqlite3.connect(installation.database)) as other,
        calling(installation.port) as caller,
    ):
        other.execute("ALTER TABLE cases RENAME TO elsewhere")
        refused = caller.open(key)
        assert (refused.status, refused.code) == (503, "store-unavailable")
        assert int(dict(refused.headers)["Retry-After"]) > 0
        other.execute("ALTER TABLE elsewhere RENAME TO cases")
        assert caller.open(key).status == 200


def _seconds_to_end_idle(installation: Installation) -> float:
    running = installation.start()
    with calling(installation.port) as caller:  # a kept connection does not hold it up
        assert caller.call("GET", "/healthz").status == 200
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGINT)
        assert running.stop() == 0
        seconds = time.monotonic() - began
    assert _last_event(running)["drained"] is True
    return seconds


def test_idle_it_ends_at_once_and_twice_asked_it_ends_once(installation: Installation) -> None:
    """What it waited for would hold it up in each of three tries, a busy machine does not."""
    assert any(_seconds_to_end_idle(installation) < GRACE for _ in range(3))


def _posting(installation: Installation, receiver: Receiver) -> Running:
    """A service with one webhook on its way to a platform that does not answer yet."""
    made = installation.add_platform("one", receiver.url("one"))
    receiver.told["one"].key = made["webhook_key"]
    running = installation.start()
    receiver.holding.set()
    assert _report(installation, a_case_key()) == 201
    until(lambda: receiver.in_hand == 1, "the webhook is on its way")
    return running


def _states(installation: Installation) -> list[tuple[str, int]]:
    with closing(sqlite3.connect(installation.database)) as connection:
        return connection.execute("SELECT state, attempts FROM messages").fetchall()


def _due_at(installation: Installation) -> float:
    """When the one message is to be sent, in seconds since 1970."""
    with closing(sqlite3.connect(installation.database)) as connection:
        return float(connection.execute("SELECT due_at FROM messages").fetchone()[0]) / 1e6


def test_a_webhook_in_hand_at_the_end_is_finished(installation: Installation) -> None:
    with Receiver("one") as receiver:
        running = _posting(installation, receiver)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        receiver.holding.clear()
        assert running.stop() == 0
        assert _last_event(running)["drained"] is True
        assert _states(installation) == [("delivered", 1)]
        assert receiver.told["one"].posts.total() == 1


def test_a_webhook_that_is_not_answered_is_given_back_and_sent_again_soon(
    installation: Installation,
) -> None:
    """Given back and due at once, not left under its lease of a minute."""
    with Receiver("one") as receiver:
        running = _posting(installation, receiver)
        assert running.stop() == 0
        assert _states(installation) == [("pending", 0)]
        assert _due_at(installation) <= time.time() + 2
        receiver.holding.clear()
        installation.start()
        until(lambda: _states(installation) == [("delivered", 1)], "it was sent again")
        assert list(receiver.told["one"].posts.values()) == [2]


def test_what_another_process_makes_due_is_sent_without_anybody_reporting(
    installation: Installation,
) -> None:
    """`messages replay` beside a running service, which has nothing else to do."""
    with Receiver("one", status=410) as receiver:
        receiver.told["one"].key = installation.add_platform("one", receiver.url("one"))[
            "webhook_key"
        ]
        installation.start()
        assert _report(installation, a_case_key()) == 201
        until(lambda: _states(installation) == [("failed", 1)], "it was given up")
        _enable_again(installation)
        receiver.status = 204
        assert installation.run("messages", "replay", "--all-failed").returncode == 0
        until(lambda: _states(installation) == [("delivered", 1)], "the replay was noticed")


def _enable_again(installation: Installation) -> None:
    """The endpoint that was gone is back: the operator says so."""

    def enable(services: Services) -> None:
        (partner,) = services.house.store.partners()
        (endpoint,) = partner.endpoints
        open_again = (replace(endpoint, status=EndpointStatus.ACTIVE),)
        changed = replace(partner, endpoints=open_again, version=partner.version + 1)
        services.house.store.commit(SavePartner(changed))

    installation.acting(enable)


def test_many_that_start_at_once_on_an_empty_folder_all_start(installation: Installation) -> None:
    running = [installation.launch(PORT="0") for _ in range(4)]
    for started in running:
        started.wait_ready()
    assert [started.stop() for started in running] == [0] * 4


def test_the_folder_and_what_is_in_it_are_private(installation: Installation) -> None:
    installation.start()
    assert installation.data.stat().st_mode & 0o077 == 0
    assert [path.name for path in installation.data.iterdir() if path.stat().st_mode & 0o077] == []


def _refusal(installation: Installation, **more: str) -> str:
    ended = installation.run("serve", "--json", **more)
    assert (ended.returncode, ended.stdout) == (MISCONFIGURED, b"")
    assert b"Traceback" not in ended.stderr
    return ended.stderr.decode()


@pytest.fixture
def used(installation: Installation) -> Installation:
    """A folder with a root key and a database in it."""
    assert installation.run("partner", "add", "Alpha").returncode == 0
    return installation


def test_a_root_key_that_others_may_read_is_refused(used: Installation) -> None:
    key = used.data / "root.key"
    for mode in (0o644, 0o640, 0o604):
        key.chmod(mode)
        assert "may be read by others" in _refusal(used)
    key.chmod(0o600)
    used.start()


def test_a_missing_root_key_beside_a_database_is_refused_and_none_is_made(
    used: Installation,
) -> None:
    key = used.data / "root.key"
    shutil.move(key, used.data / "elsewhere")
    assert "missing beside a database" in _refusal(used)
    assert not key.exists()
    shutil.move(used.data / "elsewhere", key)
    used.start()


def test_a_damaged_root_key_is_refused_without_showing_it(used: Installation) -> None:
    key = used.data / "root.key"
    secret = key.read_text().splitlines()[2].split()[-1]
    key.write_text(key.read_text().replace(secret, secret[:-9]))
    said = _refusal(used)
    assert "line 3" in said
    assert secret[:-9] not in said


def test_what_is_no_database_of_ours_is_refused_and_left_alone(used: Installation) -> None:
    used.database.write_bytes(b"this is no database " * 400)
    assert "cannot be opened" in _refusal(used)
    assert used.database.read_bytes() == b"this is no database " * 400


def test_a_database_of_a_newer_program_is_refused(used: Installation) -> None:
    with closing(sqlite3.connect(used.database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "newer version" in _refusal(used)


def test_every_bad_setting_is_named_at_once(installation: Installation) -> None:
    said = _refusal(
        installation,
        PORT="many",
        LIMIT_CASE="often",
        PROT="1",
        ENVIRONMENT="staging",
        AGE_ISSUERS_FILE="/no/such/file",
        MAX_ITEMS_PER_CASE="51",
    )
    for name in ("PORT", "LIMIT_CASE", "PROT", "ENVIRONMENT", "AGE_ISSUERS_FILE", "MAX_ITEMS"):
        assert f"REPORT_REMOVE_{name}" in said
    assert not installation.data.exists()


def test_a_deadline_policy_that_a_platform_still_has_is_missed(installation: Installation) -> None:
    installation.add_platform("one", "http://127.0.0.1:9/hook", policy="uk-osa-48h")
    fewer = installation.processes.folder / "deadlines.toml"
    fewer.write_text('[policy.none]\njurisdiction = "any"\nrule = "none"\nsource = "none"\n')
    assert "uk-osa-48h" in _refusal(installation, DEADLINES_FILE=str(fewer))


def test_what_may_not_face_the_public_is_refused_there(installation: Installation) -> None:
    assert "ALLOW_LOOPBACK_PARTNERS" in _refusal(installation, ENVIRONMENT="production")


def test_a_taken_port_is_refused(installation: Installation) -> None:
    installation.start()
    assert "cannot listen on port" in _refusal(installation)


def test_a_folder_that_cannot_be_made_is_refused(installation: Installation) -> None:
    (installation.processes.folder / "a-file").touch()
    assert "cannot be made" in _refusal(
        installation, DATA_DIR=str(installation.processes.folder / "a-file")
    )
