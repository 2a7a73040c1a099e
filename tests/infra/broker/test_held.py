"""What is remembered for some minutes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from infra.broker.held import Held
from tests.infra.broker.running import Hands

TEN = timedelta(minutes=10)


def test_a_value_is_there_until_its_end() -> None:
    clock = Hands()
    held: Held[str] = Held(TEN, 5, clock)
    name = held.put("word")
    clock.forward(minutes=9, seconds=59)
    assert held.get(name) == "word"
    clock.forward(seconds=1)
    assert held.get(name) is None
    assert held.take(name) is None


def test_a_change_does_not_lengthen_a_life() -> None:
    clock = Hands()
    held: Held[int] = Held(TEN, 5, clock)
    name = held.put(1)
    clock.forward(minutes=9)
    assert held.change(name, lambda value: value + 1) == 2
    clock.forward(minutes=1)
    assert held.change(name, lambda value: value + 1) is None


def test_what_has_ended_is_forgotten() -> None:
    clock = Hands()
    held: Held[int] = Held(TEN, 5, clock)
    held.put(1)
    clock.forward(minutes=5)
    kept = held.put(2)
    clock.forward(minutes=5)
    held.sweep()
    assert len(held) == 1
    assert held.get(kept) == 2


def test_there_are_never_more_than_the_most() -> None:
    held: Held[int] = Held(TEN, 3, Hands())
    names = [held.put(number) for number in range(5)]
    assert [held.get(name) for name in names] == [None, None, 2, 3, 4]


def test_one_of_many_takes_it() -> None:
    held: Held[int] = Held(TEN, 3, Hands())
    name = held.put(1)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: held.take(name), range(50)))
    assert sum(value == 1 for value in taken) == 1


def test_names_are_long_and_never_the_same() -> None:
    held: Held[int] = Held(TEN, 1000, Hands())
    names = {held.put(1) for _ in range(500)}
    assert len(names) == 500
    assert {len(name) for name in names} == {43}
