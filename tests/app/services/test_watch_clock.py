"""A clock that is put forward is noticed; one that merely goes on is not."""

from __future__ import annotations

import time
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.adapters.system import SystemClock
from app.services.watch_clock import AHEAD_AT_MOST, WatchClock
from tests.app.services.world import DAY, HOUR, HandClock

SECOND = timedelta(seconds=1)


class Machine:
    """How long it has run, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def both(clock: HandClock, machine: Machine, by: timedelta) -> None:
    clock.forward(by)
    machine.seconds += by.total_seconds()


def test_years_of_ordinary_time_are_no_jump() -> None:
    clock, machine = HandClock(), Machine()
    watch = WatchClock(clock, machine)
    for _ in range(100):
        both(clock, machine, 30 * DAY)
        assert watch.may_erase()


def test_put_forward_it_may_not_erase_until_it_is_put_back() -> None:
    clock, machine = HandClock(), Machine()
    watch = WatchClock(clock, machine)
    both(clock, machine, DAY)
    clock.forward(400 * DAY)
    assert not watch.may_erase()
    both(clock, machine, 400 * DAY)  # waiting does not make it true
    assert not watch.may_erase()
    clock.forward(-400 * DAY)
    assert watch.may_erase()


def test_a_small_correction_and_one_backwards_do_no_harm() -> None:
    clock, machine = HandClock(), Machine()
    watch = WatchClock(clock, machine)
    clock.forward(AHEAD_AT_MOST)
    assert watch.may_erase()
    clock.forward(SECOND)
    assert not watch.may_erase()
    clock.forward(-1000 * DAY)
    assert watch.may_erase()


@given(steps=st.lists(st.tuples(st.integers(0, 10**6), st.integers(-(10**7), 10**7)), max_size=30))
def test_however_it_was_moved_nothing_is_erased_more_than_an_hour_early(
    steps: list[tuple[int, int]],
) -> None:
    clock, machine = HandClock(), Machine()
    watch, truth = WatchClock(clock, machine), HandClock()
    for passed, moved in steps:
        both(clock, machine, passed * SECOND)
        truth.forward(passed * SECOND)
        clock.forward(moved * SECOND)
        assert watch.may_erase() == (clock.now() - truth.now() <= HOUR)


def test_the_real_clocks_agree() -> None:
    watch = WatchClock(SystemClock())
    time.sleep(0.05)
    assert abs(watch.ahead()) < SECOND
    assert watch.may_erase()
