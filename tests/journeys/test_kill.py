"""A service that is killed again and again loses nothing that it acknowledged."""

from __future__ import annotations

import http.client
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.journeys.calls import Caller, a_case_key, a_key, a_pdq, a_photo, calling
from tests.journeys.processes import Installation, Processes, until
from tests.journeys.receiver import Receiver, Told

ROUNDS = 20
REPORTS = 3000
DEVICES = 8
A_ROUND = range(90, 240)  # reports that are acknowledged before a kill
LEASE = 60.0  # seconds for which a message that was in hand at a kill stays so

T = TypeVar("T")


@dataclass
class Sent:
    """A report that a device made; it is sent again, the same, until it is acknowledged."""

    case_key: str = field(default_factory=a_case_key)
    pdq: str = field(default_factory=a_pdq)
    key: str = field(default_factory=a_key)


@dataclass
class Load:
    """Devices that report for as long as they may, each over a connection of its own."""

    port: int
    serving: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[Sent] = field(default_factory=list)
    again: Counter[str] = field(default_factory=Counter)
    unexpected: list[tuple[int, bytes]] = field(default_factory=list)

    def device(self) -> None:
        caller = Caller(self.port, timeout=20)
        report = Sent()
        while not self.ending.is_set() or self.again[report.key]:
            if not self.serving.wait(0.1):
                continue
            try:
                answer = caller.report(report.case_key, a_photo(report.pdq), key=report.key)
            except (OSError, http.client.HTTPException):
                self.again[report.key] += 1
                time.sleep(0.01)
                continue
            if answer.status == 201:
                self.acknowledged.append(report)
            else:
                self.unexpected.append((answer.status, answer.body))
            report = Sent()
        caller.close()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The devices, until the block ends and each has its last answer."""
        devices = [threading.Thread(target=self.device) for _ in range(DEVICES)]
        for device in devices:
            device.start()
        try:
            yield
        finally:
            self.ending.set()
            for device in devices:
                device.join(30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_acknowledged_report_survives_and_reaches_both_platforms(tmp_path: Path) -> None:
    began = time.monotonic()
    with Receiver("one", "two", slow=0.02) as receiver, Processes(tmp_path) as processes:
        installation = Installation(processes)
        keys = _enrol(installation, receiver)
        load = Load(installation.port)
        with load.running():
            kills = _kill_again_and_again(installation, load)
            installation.start()
            load.serving.set()
        loaded = time.monotonic() - began
        assert load.unexpected == []
        assert len(load.acknowledged) >= REPORTS
        everything = len(load.acknowledged)
        for told in receiver.told.values():
            until(
                lambda told=told: len(told.items()) >= everything,  # type: ignore[misc]
                "each platform was told of each report",
                LEASE + 60,
            )
        # What was told just before a kill is in hand until its lease ends, and then told again.
        until(
            lambda: _undelivered(installation) == 0,
            "the service knows of each that it was told",
            LEASE + 60,
        )
        _check_every_case(installation, load.acknowledged)
        _check_every_item(installation, receiver, keys, load.acknowledged)
        _check_the_file(installation, everything)
    _check_repeats(receiver)
    repeats = sum(told.posts.total() - len(told.posts) for told in receiver.told.values())
    print(  # noqa: T201 - the figures, shown by -s
        f"\n{kills} kills, {everything} acknowledged, {len(load.again)} sent again, "
        f"{repeats} webhooks repeated, {loaded:.0f} s of load, {time.monotonic() - began:.0f} s"
    )


def _enrol(installation: Installation, receiver: Receiver) -> dict[str, str]:
    """Two platforms, one for each signature scheme. Their API keys."""
    keys = {}
    for name, scheme in (("one", "v1a"), ("two", "v1")):
        made = installation.add_platform(name, receiver.url(name), scheme=scheme)
        receiver.told[name].key = made["webhook_key"]
        keys[name] = str(made["api_key"])
    return keys


def _kill_again_and_again(installation: Installation, load: Load) -> int:
    kills = 0
    while kills < ROUNDS or len(load.acknowledged) < REPORTS:
        if kills % 5 == 4:
            _kill_while_starting(installation)
        running = installation.start()
        load.serving.set()
        enough = len(load.acknowledged) + random.choice(A_ROUND)
        until(lambda enough=enough: len(load.acknowledged) >= enough, "reports come in", 60)  # type: ignore[misc]
        time.sleep(random.uniform(0, 0.05))
        running.kill()
        load.serving.clear()
        kills += 1
    return kills


def _kill_while_starting(installation: Installation) -> None:
    running = installation.launch()
    time.sleep(random.uniform(0.2, 2.0))
    running.kill()


def _check_every_case(installation: Installation, acknowledged: list[Sent]) -> None:
    """Each opens with its key, and both platforms have it."""

    def look(caller: Caller, report: Sent) -> tuple[int, list[str]]:
        answer = caller.open(report.case_key)
        rows = answer.json["items"][0]["platforms"] if answer.status == 200 else []
        return answer.status, [row["outcome"] for row in rows]

    seen = _each(installation.port, look, acknowledged)
    assert Counter(map(str, seen)) == {str((200, ["they_have_it"] * 2)): len(acknowledged)}


def _check_every_item(
    installation: Installation, receiver: Receiver, keys: dict[str, str], acknowledged: list[Sent]
) -> None:
    """What each platform was told of are these reports, each one once."""
    reported = sorted(report.pdq for report in acknowledged)
    for name, told in receiver.told.items():
        headers = {"Authorization": f"Bearer {keys[name]}"}

        def fetch(caller: Caller, item: str, headers: dict[str, str] = headers) -> str:
            answer = caller.call("GET", f"/v1/partner/items/{item}", headers=headers)
            assert answer.status == 200
            return str(answer.json["hashes"][0]["value"])

        assert sorted(_each(installation.port, fetch, sorted(told.items()))) == reported


def _each(port: int, act: Callable[[Caller, Any], T], values: list[Any]) -> list[T]:
    """The results for all values, asked over a few connections."""

    def some(part: list[Any]) -> list[T]:
        with calling(port) as caller:
            return [act(caller, value) for value in part]

    with ThreadPoolExecutor(4) as pool:
        return [
            found for part in pool.map(some, [values[n::4] for n in range(4)]) for found in part
        ]


def _undelivered(installation: Installation) -> int:
    with closing(sqlite3.connect(installation.database)) as connection:
        query = "SELECT count(*) FROM messages WHERE state != 'delivered'"
        return int(connection.execute(query).fetchone()[0])


def _check_the_file(installation: Installation, everything: int) -> None:
    """Whole, with nothing waiting, and no report there twice because it was sent twice."""
    with closing(sqlite3.connect(installation.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for table, count in {
            "cases": everything,
            "items": everything,
            "audit": everything,
            "answers": everything,
            "events": 0,
            "notices": 2 * everything,
            "messages": 2 * everything,
            "messages WHERE state != 'delivered'": 0,
        }.items():
            query = f"SELECT count(*) FROM {table}"  # noqa: S608 - constants
            assert connection.execute(query).fetchone() == (count,), table


def _check_repeats(receiver: Receiver) -> None:
    """At least once, and whatever came again came under the same webhook-id."""
    for told in receiver.told.values():
        assert told.forged == 0
        assert {len(ids) for ids in told.ids.values()} == {1}
    assert any(_repeats(told) for told in receiver.told.values())


def _repeats(told: Told) -> int:
    return told.posts.total() - len(told.posts)
