"""A change that another one came before is begun anew, and nothing else is."""

from __future__ import annotations

import pytest

from app.domain.errors import CaseNotFound, Contested
from app.services.house import TRIES, insist


class Act:
    """Refused so many times, then done."""

    def __init__(self, refusals: int, error: Exception) -> None:
        self.refusals, self.error = refusals, error
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.refusals:
            raise self.error
        return "done"


@pytest.mark.parametrize("refusals", [0, 1, 5, TRIES - 1])
def test_it_is_done_once_nobody_comes_between(refusals: int) -> None:
    act = Act(refusals, Contested())
    assert (insist(act), act.calls) == ("done", refusals + 1)


def test_in_the_end_it_says_that_it_could_not() -> None:
    act = Act(TRIES, Contested())
    with pytest.raises(Contested):
        insist(act)
    assert act.calls == TRIES


def test_another_refusal_is_final() -> None:
    act = Act(1, CaseNotFound())
    with pytest.raises(CaseNotFound):
        insist(act)
    assert act.calls == 1
