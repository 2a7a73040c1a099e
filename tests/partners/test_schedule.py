"""The retry schedule under any sequence of answers, in simulated time."""

from __future__ import annotations

import heapq
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.ports import Answer
from partners.schedule import (
    DELAYS,
    RETRY_AFTER_LIMIT,
    Accepted,
    Disable,
    GiveUp,
    RetryAt,
    bounded_retry_after,
    next_attempt,
    throttles,
)
from tests.partners.memory import SetClock

NOW = SetClock().now()
STATUSES = st.one_of(st.none(), st.integers(100, 599))
RETRY_AFTER = st.one_of(st.none(), st.floats())
JITTER = st.floats(0, 1, exclude_max=True)
ANSWERS = st.builds(
    lambda status, wait, ms: Answer(
        "k", status, None if status else "timeout", 0, timedelta(milliseconds=ms), wait
    ),
    STATUSES,
    RETRY_AFTER,
    st.integers(0, 15_000),
)


def an_answer(status: int | None, retry_after: float | None = None) -> Answer:
    return Answer("k", status, None if status else "timeout", 0, timedelta(0), retry_after)


def test_the_schedule_is_the_one_in_docs() -> None:
    hours = [round(delay.total_seconds() / 3600, 4) for delay in DELAYS]
    assert hours == [0, 0.0014, 0.0833, 0.5, 2, 5, 10, 14, 20, 24]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_success(status: int) -> None:
    assert next_attempt(1, an_answer(status), NOW, 0) == Accepted()


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 304, 400, 401, 404, 409, 500, 599])
def test_everything_else_is_tried_again_redirects_too(status: int | None) -> None:
    assert isinstance(next_attempt(1, an_answer(status), NOW, 0.5), RetryAt)


@pytest.mark.parametrize("attempts", [1, 5, 10])
def test_gone_disables_at_any_time(attempts: int) -> None:
    assert next_attempt(attempts, an_answer(410, 60), NOW, 0.5) == Disable()


@pytest.mark.parametrize("attempts", range(1, 10))
def test_all_of_the_step_is_random_and_nothing_before_it(attempts: int) -> None:
    first = next_attempt(attempts, an_answer(500), NOW, 0)
    last = next_attempt(attempts, an_answer(500), NOW, 1)
    assert first == RetryAt(NOW + DELAYS[attempts - 1])
    assert last == RetryAt(NOW + DELAYS[attempts])


@pytest.mark.parametrize("attempts", [10, 11, 1000])
def test_after_the_last_try_it_gives_up(attempts: int) -> None:
    assert next_attempt(attempts, an_answer(500), NOW, 0) == GiveUp()


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (None, 0),
        (-5, 0),
        (0, 0),
        (90, 90),
        (float("nan"), 0),
        (31_536_000, 86_400),
        (1e308, 86_400),
    ],
)
def test_retry_after_is_honoured_within_a_day(asked: float | None, seconds: int) -> None:
    assert bounded_retry_after(an_answer(429, asked)) == timedelta(seconds=seconds)
    waited = next_attempt(1, an_answer(429, asked), NOW, 0)
    assert waited == RetryAt(NOW + timedelta(seconds=seconds))


def test_who_asks_for_less() -> None:
    assert [s for s in range(100, 600) if throttles(an_answer(s))] == [429, 502, 503, 504]
    assert not throttles(an_answer(None))


@given(attempts=st.integers(1, 12), answer=ANSWERS, jitter=JITTER)
def test_a_retry_is_never_sooner_nor_later_than_promised(
    attempts: int, answer: Answer, jitter: float
) -> None:
    decision = next_attempt(attempts, answer, NOW, jitter)
    if isinstance(decision, RetryAt):
        wait = decision.at - NOW
        assert DELAYS[attempts - 1] <= wait <= max(DELAYS[attempts], RETRY_AFTER_LIMIT)
        assert wait >= bounded_retry_after(answer)


@given(
    messages=st.lists(
        st.lists(st.tuples(ANSWERS, JITTER), min_size=len(DELAYS), max_size=len(DELAYS)),
        min_size=1,
        max_size=8,
    )
)
def test_in_simulated_time_no_message_is_lost_starved_or_sent_twice_at_once(
    messages: list[list[tuple[Answer, float]]],
) -> None:
    """Each message ends, within its tries and days, and has one try at a time."""
    due = [(NOW, number, 0) for number in range(len(messages))]
    busy_until = dict.fromkeys(range(len(messages)), NOW)
    ended: dict[int, type] = {}
    while due:
        at, number, tried = heapq.heappop(due)
        assert number not in ended
        assert at >= busy_until[number]
        answer, jitter = messages[number][tried]
        busy_until[number] = at + answer.duration
        decision = next_attempt(tried + 1, answer, busy_until[number], jitter)
        if isinstance(decision, RetryAt):
            heapq.heappush(due, (decision.at, number, tried + 1))
        else:
            ended[number] = type(decision)
    assert ended.keys() == set(range(len(messages)))
    longest = len(DELAYS) * (RETRY_AFTER_LIMIT + timedelta(seconds=15))
    assert max(busy_until.values()) <= NOW + longest
    for number, script in enumerate(messages):
        statuses = [answer.status for answer, _ in script]
        happy = any(s is not None and 200 <= s < 300 for s in statuses)
        assert (ended[number] is GiveUp) == (not happy and 410 not in statuses)
