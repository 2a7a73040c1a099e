"""When a day's limit is lifted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from infra.broker.grants import LIFETIME, day_of, lifted_in

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=30_000)).map(lambda span: BEGIN + span)


@given(MOMENTS)
def test_the_limit_is_lifted_within_the_first_hour_of_the_next_day(now: datetime) -> None:
    after = now + timedelta(seconds=lifted_in(day_of(now), now))
    assert day_of(after) == day_of(now) + 1
    assert after.hour == 0


@given(MOMENTS, st.timedeltas(timedelta(0), LIFETIME))
def test_all_hear_whole_hours_and_nobody_that_a_grant_is_old(now: datetime, age: timedelta) -> None:
    seconds = lifted_in(day_of(now - age), now)
    assert seconds % 3600 == 0
    assert 3600 <= seconds <= 86_400
