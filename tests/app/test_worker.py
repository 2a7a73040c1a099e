"""What goes on beside requests, one round at a time: erasure held, events that are stuck."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from app.domain.case import CaseState
from app.services.watch_clock import WatchClock
from tests.app.services.world import DAY, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def log(world: World, monkeypatch: pytest.MonkeyPatch) -> StringIO:
    stream = StringIO()
    monkeypatch.setattr(world.runtime.context.journal, "_stream", stream)
    return stream


def events(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def metric(world: World, name: str) -> float:
    text = generate_latest(world.runtime.context.metrics.registry).decode()
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[-1])


def watch(world: World) -> WatchClock:
    """The world's clock beside a machine that has just been switched on."""
    return WatchClock(world.clock, lambda: 0.0)


def test_nothing_is_erased_while_the_clock_is_ahead_and_all_of_it_once_it_is_put_back(
    world: World, log: StringIO
) -> None:
    key = world.report()
    clock, worker = watch(world), world.runtime.worker
    world.clock.forward(1_000 * DAY)
    assert [worker._erase(clock) for _ in range(3)] == [0, 0, 0]
    assert world.case(key).state is CaseState.ACTIVE
    assert world.count("answers") == 1
    assert metric(world, "report_remove_erasure_held") == 1
    (told,) = events(log)
    assert (told["event"], told["ahead_seconds"]) == ("erasure.held", 1_000 * 86_400)
    world.clock.forward(-1_000 * DAY)
    assert worker._erase(clock) == 0
    assert metric(world, "report_remove_erasure_held") == 0
    assert world.case(key).state is CaseState.ACTIVE


def test_a_restart_takes_the_clock_of_that_moment_for_true(world: World) -> None:
    key = world.report()
    before, worker = watch(world), world.runtime.worker
    world.clock.forward(1_000 * DAY)
    assert worker._erase(before) == 0
    assert worker._erase(watch(world)) > 0
    assert world.case(key).state is CaseState.SCRUBBED


def test_an_event_that_is_stuck_is_told_of_once_and_counted_until_it_is_not(
    world: World, log: StringIO
) -> None:
    world.platform()
    world.report()
    (name,) = world.rows("SELECT id FROM events")[0]
    _write(world, "UPDATE events SET type = 'removal.unheard_of'")
    worker = world.runtime.worker
    for _ in range(3):
        worker.services.expand_events()
        worker._tell_stuck(worker.services.expand_events.stuck)
    (told,) = events(log)
    assert (told["event"], told["id"], told["error"]) == ("event.stuck", name, "ValueError")
    assert metric(world, "report_remove_events_stuck") == 1
    _write(world, "UPDATE events SET type = 'removal.requested'")
    assert worker.services.expand_events() == 1
    worker._tell_stuck(worker.services.expand_events.stuck)
    assert metric(world, "report_remove_events_stuck") == 0


def _write(world: World, statement: str) -> None:
    with closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute(statement)
