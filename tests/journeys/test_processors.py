"""Where the threads of a running service are: on one processor together, or on any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters.system import OneProcessor
from app.bootstrap import build
from app.settings import Settings
from tests.journeys.calls import a_case_key, calling
from tests.journeys.processes import Installation, Processes
from tests.partners.test_scribe import a_letter

THREADS = 16
two_processors = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="there is one processor, so nothing to keep to"
)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with Processes(tmp_path) as processes:
        yield Installation(processes)


def _where(process: int) -> list[set[int]]:
    """The processors that each thread of that process may run on."""
    threads = [int(thread.name) for thread in Path(f"/proc/{process}/task").iterdir()]
    return [os.sched_getaffinity(thread) for thread in threads]


@two_processors
def test_all_threads_share_one_processor(installation: Installation) -> None:
    running = installation.start()
    with calling(installation.port) as caller:
        assert caller.report(a_case_key()).status == 201
    places = _where(running.process.pid)
    assert len(places) > THREADS
    assert all(place == places[0] for place in places)
    assert len(places[0]) == 1
    assert places[0] <= os.sched_getaffinity(0)


def test_an_operator_may_leave_them_all_processors(installation: Installation) -> None:
    running = installation.start(PROCESSORS="all")
    places = _where(running.process.pid)
    assert len(places) > THREADS
    assert all(place == os.sched_getaffinity(0) for place in places)


@two_processors
def test_what_seals_a_backlog_takes_the_others(installation: Installation) -> None:
    runtime = build(Settings.from_env(installation.env()))
    before, scribe = os.sched_getaffinity(0), runtime.worker.engine._scribe
    try:
        assert runtime.processor is not None
        assert scribe is not None
        runtime.processor.keep()
        scribe.take([a_letter(1)])
        assert scribe._process is not None
        assert os.sched_getaffinity(scribe._process.pid) == before - runtime.processor.mine
        assert runtime.close()
    finally:
        OneProcessor(frozenset(before), frozenset()).keep()  # as it was
