from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.age.windows import DayWindow
from tests.adapters.age.minting import NOW

WINDOW = DayWindow(b"k" * 32, "a-profile")
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)


@given(st.integers(0, 86_399))
def test_one_value_serves_the_whole_utc_day(second: int) -> None:
    assert WINDOW.current(MIDNIGHT + timedelta(seconds=second)) == WINDOW.current(MIDNIGHT)


def test_the_value_changes_at_midnight_and_yesterdays_still_counts() -> None:
    before = WINDOW.current(MIDNIGHT - timedelta(seconds=1))
    assert before != WINDOW.current(MIDNIGHT)
    assert WINDOW.accepted(MIDNIGHT) == (WINDOW.current(MIDNIGHT), before)
    assert before not in WINDOW.accepted(MIDNIGHT + timedelta(days=1))


def test_another_label_or_secret_gives_another_value() -> None:
    values = {
        window.current(NOW)
        for window in (WINDOW, DayWindow(b"k" * 32, "b-profile"), DayWindow(b"j" * 32, "a-profile"))
    }
    assert len(values) == 3
    assert {len(value) for value in values} == {32}


def test_a_short_secret_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        DayWindow(b"k" * 31, "a-profile")
    assert "kkkk" not in repr(WINDOW)
