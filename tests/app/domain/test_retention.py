"""When a case must be looked at, and what is due then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.domain.case import CaseState
from app.domain.retention import Retention, Sweep, due
from tests.contract.samples import DAY, NOW, a_case, an_item

RULES = Retention(timedelta(730), timedelta(30), timedelta(365))


def test_a_case_is_looked_at_for_the_first_item_that_was_taken_back() -> None:
    case = a_case()
    end = case.created_at + 730 * DAY
    assert RULES.next_sweep(case, [an_item(case)]) == end
    items = [an_item(case, n, withdrawn_at=NOW + n * DAY) for n in (2, 1)]
    assert RULES.next_sweep(case, items) == NOW + 31 * DAY
    late = an_item(case, withdrawn_at=end - DAY)
    assert RULES.next_sweep(case, [late]) == end


@pytest.mark.parametrize(
    ("case", "item", "what"),
    [
        ({}, {}, Sweep.SCRUB),
        ({"sweep_at": NOW + 30 * DAY}, {"withdrawn_at": NOW}, Sweep.SCRUB_ITEMS),
        ({"sweep_at": NOW + 730 * DAY}, {"withdrawn_at": NOW}, Sweep.SCRUB),
        ({"sweep_at": NOW + 30 * DAY}, {"withdrawn_at": NOW, "sealed_hashes": None}, Sweep.SCRUB),
        ({"state": CaseState.WITHDRAWN}, {"withdrawn_at": NOW}, Sweep.SCRUB),
        ({"state": CaseState.SCRUBBED}, {"withdrawn_at": NOW}, Sweep.PURGE),
    ],
)
def test_what_is_due(case: dict[str, Any], item: dict[str, Any], what: Sweep) -> None:
    made = a_case(**case)
    assert due(made, [an_item(made, **item)], RULES) is what


def test_a_scrubbed_item_keeps_only_that_it_was_there() -> None:
    case = a_case()
    item = an_item(case, sealed_locations=b"x", withdrawn_at=NOW)
    assert item.waits_to_be_forgotten
    bare = item.scrubbed()
    assert (bare.sealed_hashes, bare.sealed_locations, bare.duplicate_tag) == (None, None, None)
    assert (bare.number, bare.kind, bare.withdrawn_at) == (item.number, item.kind, NOW)
    assert not bare.waits_to_be_forgotten
