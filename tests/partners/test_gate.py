"""How hard an endpoint is pushed, in simulated time."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from partners.gate import BreakerState, Gate, GateSettings
from partners.model import Endpoint, EndpointId, SigningScheme
from partners.ports import Answer
from tests.partners.memory import SetClock

NOW = SetClock().now()
SECOND = timedelta(seconds=1)
ONE = Endpoint(EndpointId("end_one"), "https://a.example.org/", SigningScheme.V1A, ())
OTHER = Endpoint(EndpointId("end_two"), "https://b.example.org/", SigningScheme.V1A, ())
SLOW = Endpoint(
    EndpointId("end_slow"), "https://c.example.org/", SigningScheme.V1A, (), rate_per_minute=60
)


def an_answer(status: int | None = 200, retry_after: float | None = None) -> Answer:
    error = None if status else "timeout"
    return Answer("k", status, error, 0, timedelta(milliseconds=20), retry_after)


def fail(gate: Gate, times: int, now: datetime = NOW, status: int | None = None) -> None:
    for _ in range(times):
        assert gate.admit(ONE, now) is None
        gate.answered(ONE.id, an_answer(status), now)


def let_through(gate: Gate, endpoint: Endpoint, now: datetime, tries: int = 100) -> int:
    return sum(gate.admit(endpoint, now) is None for _ in range(tries))


def test_no_more_at_once_than_the_cap_and_each_end_makes_room() -> None:
    gate = Gate(GateSettings(at_once=4))
    assert let_through(gate, ONE, NOW) == 4
    assert let_through(gate, OTHER, NOW) == 4
    gate.answered(ONE.id, an_answer(), NOW)
    gate.released(ONE.id)
    assert let_through(gate, ONE, NOW) == 2


def test_those_sent_away_come_back_one_after_the_other_within_two_minutes() -> None:
    gate = Gate(GateSettings(at_once=1))
    assert gate.admit(ONE, NOW) is None
    again = [gate.admit(ONE, NOW) for _ in range(5_000)]
    times = [at for at in again if at is not None]
    assert len(times) == 5_000
    assert times[:100] == sorted(set(times[:100]))
    assert min(times) > NOW
    assert max(times) <= NOW + timedelta(seconds=121)


def test_one_that_got_slow_is_believed_at_once_and_one_that_got_quick_by_and_by() -> None:
    """What waits for it would be taken up in vain otherwise, at two commits a time."""
    gate = Gate()
    for _ in range(100):
        assert gate.admit(ONE, NOW) is None
        gate.answered(ONE.id, an_answer(), NOW)
    assert let_through(gate, ONE, NOW) == 16
    slow = Answer("k", 200, None, 0, 15 * SECOND)
    gate.answered(ONE.id, slow, NOW)
    assert gate.admit(ONE, NOW) is None
    assert _spacing(gate, NOW) > SECOND / 3
    for _ in range(50):
        gate.answered(ONE.id, an_answer(), NOW)
        assert gate.admit(ONE, NOW) is None
    assert _spacing(gate, NOW) < SECOND / 100


def _spacing(gate: Gate, now: datetime) -> timedelta:
    first, second = gate.admit(ONE, now), gate.admit(ONE, now)
    assert first is not None
    assert second is not None
    return second - first


def test_the_granted_rate_is_kept() -> None:
    gate = Gate(GateSettings(at_once=1_000))
    assert [gate.admit(SLOW, NOW) for _ in range(4)] == [
        None,
        None,  # two seconds' worth may come together
        NOW + SECOND,
        NOW + 2 * SECOND,
    ]
    through = sum(let_through(gate, SLOW, NOW + n * SECOND / 4, 3) for n in range(1, 241))
    assert through in range(59, 62)


@given(steps=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5)), max_size=60))
def test_no_minute_ever_holds_more_than_the_rate_and_its_burst(
    steps: list[tuple[int, int]],
) -> None:
    gate, now, sent = Gate(GateSettings(at_once=10_000)), NOW, []
    for wait, tries in steps:
        now += timedelta(milliseconds=wait)
        sent += [now] * let_through(gate, SLOW, now, tries)
    for begin in sent:
        assert sum(begin <= at < begin + 60 * SECOND for at in sent) <= 62


def test_five_failures_in_a_row_open_the_breaker_and_a_success_between_does_not() -> None:
    gate = Gate()
    fail(gate, 4)
    assert gate.admit(ONE, NOW) is None
    gate.answered(ONE.id, an_answer(404), NOW)
    fail(gate, 4, status=500)
    assert gate.state(ONE.id) == "closed"
    fail(gate, 1)
    assert gate.state(ONE.id) == "open"
    assert gate.admit(ONE, NOW) == NOW + 5 * SECOND
    assert gate.admit(OTHER, NOW) is None


def test_one_real_message_tries_an_open_breaker_and_success_ramps_up() -> None:
    changes: list[BreakerState] = []
    gate = Gate(GateSettings(at_once=8), lambda _, state: changes.append(state))
    fail(gate, 5)
    later = NOW + 5 * SECOND
    assert let_through(gate, ONE, later) == 1
    assert gate.state(ONE.id) == "half-open"
    for expected in (2, 3, 5):  # the limit doubles with each answer, one of them just ended
        gate.answered(ONE.id, an_answer(), later)
        assert let_through(gate, ONE, later) + 1 >= expected - 1
    assert changes == ["open", "half-open", "ramp", "closed"]


def test_a_failed_trial_waits_twice_as_long_each_time_up_to_five_minutes() -> None:
    gate, now, pauses = Gate(), NOW, []
    fail(gate, 5)
    for _ in range(9):
        at = gate.admit(ONE, now)
        assert at is not None
        pauses.append((at - now).total_seconds())
        now = at
        fail(gate, 1, now)
        assert gate.state(ONE.id) == "open"
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_what_was_sent_before_it_opened_does_not_spoil_the_trial() -> None:
    gate = Gate()
    assert let_through(gate, ONE, NOW, 10) == 10
    for _ in range(5):
        gate.answered(ONE.id, an_answer(None), NOW)
    assert gate.state(ONE.id) == "open"
    later = NOW + 6 * SECOND
    assert let_through(gate, ONE, later) == 0
    for _ in range(5):
        gate.answered(ONE.id, an_answer(None), later)
    assert let_through(gate, ONE, later) == 1


def test_a_throttled_endpoint_gets_half_as_much_and_not_before_it_said() -> None:
    gate = Gate(GateSettings(at_once=8))
    assert gate.admit(ONE, NOW) is None
    gate.answered(ONE.id, an_answer(429, 30), NOW)
    assert gate.admit(ONE, NOW + 29 * SECOND) == NOW + 30 * SECOND
    assert let_through(gate, ONE, NOW + 31 * SECOND) == 4


def test_an_endpoint_that_was_busy_for_a_moment_is_soon_given_as_much_as_before() -> None:
    gate = Gate(GateSettings(at_once=8))
    fail(gate, 4, status=503)  # one short of opening the breaker
    assert let_through(gate, ONE, NOW) == 1
    for _ in range(3):
        gate.answered(ONE.id, an_answer(), NOW)
    assert gate.state(ONE.id) == BreakerState.CLOSED
    assert let_through(gate, ONE, NOW) == 8


def test_a_retry_after_of_a_year_shuts_the_endpoint_for_a_quarter_of_an_hour() -> None:
    gate = Gate()
    assert gate.admit(ONE, NOW) is None
    gate.answered(ONE.id, an_answer(429, 31_536_000), NOW)
    assert let_through(gate, ONE, NOW + timedelta(minutes=14)) == 0
    assert let_through(gate, ONE, NOW + timedelta(minutes=15)) > 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "answer", "release"]),
        st.one_of(st.none(), st.sampled_from([200, 404, 410, 429, 500, 503])),
        st.one_of(st.none(), st.floats(0, 1e9)),
        st.integers(0, 20_000),
    ),
    max_size=80,
)


@given(steps=STEPS)
def test_under_any_sequence_it_keeps_the_cap_and_lets_somebody_through_in_the_end(
    steps: list[tuple[str, int | None, float | None, int]],
) -> None:
    gate, now, under_way = Gate(GateSettings(at_once=4)), NOW, 0
    for kind, status, retry_after, wait in steps:
        now += timedelta(milliseconds=wait)
        if kind == "admit":
            again_at = gate.admit(ONE, now)
            under_way += again_at is None
            assert again_at is None or again_at > now
        elif under_way and kind == "answer":
            gate.answered(ONE.id, an_answer(status, retry_after), now)
            under_way -= 1
        elif under_way:
            gate.released(ONE.id)
            under_way -= 1
        assert under_way <= 4
    for _ in range(under_way):
        gate.released(ONE.id)
    assert gate.admit(ONE, now + timedelta(minutes=15)) is None
