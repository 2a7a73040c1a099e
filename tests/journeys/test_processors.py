"""Where the threads of a running service are: on one processor together, or on any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.calls import a_case_key, calling
from tests.journeys.processes import House, Processes

THREADS = 16


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with Processes(tmp_path) as processes:
        yield House(processes)


def _where(process: int) -> list[set[int]]:
    """The processors that each thread of that process may run on."""
    threads = [int(thread.name) for thread in Path(f"/proc/{process}/task").iterdir()]
    return [os.sched_getaffinity(thread) for thread in threads]


def test_all_threads_share_one_processor(house: House) -> None:
    running = house.start()
    with calling(house.port) as caller:
        assert caller.report(a_case_key()).status == 201
    places = _where(running.process.pid)
    assert len(places) > THREADS
    assert all(place == places[0] for place in places)
    assert len(places[0]) == 1
    assert places[0] <= os.sched_getaffinity(0)


def test_an_operator_may_leave_them_all_processors(house: House) -> None:
    running = house.start(PROCESSORS="all")
    places = _where(running.process.pid)
    assert len(places) > THREADS
    assert all(place == os.sched_getaffinity(0) for place in places)
