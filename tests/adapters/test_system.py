"""Names that nobody can guess, and the time in UTC."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC

import pytest

from app.adapters.system import OneProcessor, RandomIds, SystemClock


def test_an_id_is_its_prefix_and_21_letters_of_62() -> None:
    made = [RandomIds().new("case") for _ in range(2000)]
    assert len(set(made)) == 2000
    assert all(re.fullmatch(r"case_[0-9A-Za-z]{21}", id_) for id_ in made)


def test_no_letter_is_favoured() -> None:
    """Chi-squared over 62 letters: 61 degrees of freedom, 150 is beyond 1 in 100 million."""
    seen = Counter("".join(RandomIds().new("x")[2:] for _ in range(5000)))
    expected = 5000 * 21 / 62
    assert len(seen) == 62
    assert sum((count - expected) ** 2 / expected for count in seen.values()) < 150


def test_ordered_ids_sort_by_the_time_of_their_making() -> None:
    ids = RandomIds()
    made = []
    for _ in range(5):
        made.append(ids.ordered("case"))
        time.sleep(0.002)
    assert made == sorted(made)
    assert all(re.fullmatch(r"case_[0-9a-f]{12}[0-9A-Za-z]{21}", id_) for id_ in made)


def test_the_clock_is_aware_and_utc() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert first.tzinfo is UTC
    assert first <= second


two_processors = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="there is one processor, so nothing to keep to"
)


@two_processors
def test_all_threads_of_a_process_keep_to_one_processor() -> None:
    """Those that are there, those that come, and no other process."""
    program = """
import json, os, threading
from app.adapters.system import OneProcessor
stop, places = threading.Event(), []
def place():
    stop.wait()
    places.append(sorted(os.sched_getaffinity(0)))
before = [threading.Thread(target=place) for _ in range(3)]
for thread in before: thread.start()
OneProcessor.drawn().keep()
after = threading.Thread(target=place)
after.start()
stop.set()
for thread in (*before, after): thread.join()
print(json.dumps([*places, sorted(os.sched_getaffinity(0))]))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    places = json.loads(ran.stdout)
    assert len(places) == 5
    assert all(place == places[0] for place in places)
    assert len(places[0]) == 1
    assert set(places[0]) <= os.sched_getaffinity(0)


@pytest.fixture
def drawn() -> Iterator[OneProcessor]:
    """One that this thread keeps to."""
    before = os.sched_getaffinity(0)
    processor = OneProcessor.drawn()
    processor.keep()
    yield processor
    OneProcessor(frozenset(before), frozenset()).keep()  # as it was


@contextmanager
def another_process() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process:
        yield process.pid


@two_processors
def test_a_process_that_is_sent_away_leaves_ours(drawn: OneProcessor) -> None:
    with another_process() as child:
        assert os.sched_getaffinity(child) == drawn.mine
        drawn.send_away(child)
        assert os.sched_getaffinity(child) == drawn.others
    assert os.sched_getaffinity(0) == drawn.mine


@two_processors
def test_where_an_operator_has_moved_us_nobody_is_sent_away(drawn: OneProcessor) -> None:
    anywhere = drawn.mine | drawn.others
    os.sched_setaffinity(0, anywhere)
    with another_process() as child:
        drawn.send_away(child)
        assert os.sched_getaffinity(child) == anywhere


def test_of_one_processor_that_one_is_drawn() -> None:
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        assert OneProcessor.drawn() == OneProcessor(frozenset({min(everywhere)}), frozenset())
    finally:
        os.sched_setaffinity(0, everywhere)
