from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from app.domain.age import AgeBand, AgeBasis
from app.domain.case import CASE_FOLLOWS, Case, CaseState
from app.domain.errors import CaseClosed
from app.domain.retention import Retention, Sweep, due
from partners.model import CaseId

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)


def a_case(state: CaseState = CaseState.ACTIVE) -> Case:
    return Case(
        id=CaseId("case_1"),
        key_tag=b"t" * 32,
        basis=AgeBasis.DECLARED,
        band=AgeBand.FROM_13_TO_15,
        profile="declared-v1",
        created_at=NOW,
        sweep_at=NOW,
        item_count=1,
        state=state,
    )


ALLOWED = {
    (CaseState.ACTIVE, CaseState.WITHDRAWN),
    (CaseState.ACTIVE, CaseState.SCRUBBED),
    (CaseState.WITHDRAWN, CaseState.SCRUBBED),
}


@pytest.mark.parametrize(("before", "after"), list(product(CaseState, CaseState)))
def test_every_pair_of_states(before: CaseState, after: CaseState) -> None:
    case = a_case(before)
    if (before, after) in ALLOWED:
        moved = case.moved(after, NOW, NOW + timedelta(days=1))
        assert moved.state is after
        assert moved.sweep_at == NOW + timedelta(days=1)
    else:
        with pytest.raises(CaseClosed):
            case.moved(after, NOW, NOW)


def test_the_table_names_every_state() -> None:
    assert set(CASE_FOLLOWS) == set(CaseState)


def test_a_withdrawal_keeps_its_time_when_the_case_is_scrubbed() -> None:
    later = NOW + timedelta(days=3)
    scrubbed = a_case().moved(CaseState.WITHDRAWN, NOW, NOW).moved(CaseState.SCRUBBED, later, later)
    assert (scrubbed.withdrawn_at, scrubbed.scrubbed_at) == (NOW, later)


@pytest.mark.parametrize("state", [CaseState.WITHDRAWN, CaseState.SCRUBBED])
def test_nothing_is_added_to_a_case_that_is_not_active(state: CaseState) -> None:
    with pytest.raises(CaseClosed):
        a_case(state).require_open()


@pytest.mark.parametrize(
    ("state", "days", "what"),
    [
        (CaseState.ACTIVE, 100, Sweep.SCRUB),
        (CaseState.WITHDRAWN, 10, Sweep.SCRUB),
        (CaseState.SCRUBBED, 5, Sweep.PURGE),
    ],
)
def test_each_state_has_its_own_time_and_end(state: CaseState, days: int, what: Sweep) -> None:
    retention = Retention(timedelta(days=100), timedelta(days=10), timedelta(days=5))
    assert retention.sweep_at(state, NOW) == NOW + timedelta(days=days)
    assert due(a_case(state), [], retention) is what
