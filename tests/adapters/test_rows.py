"""Every record survives its row: a new field that no column keeps is found here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters import rows
from app.domain.audit import AuditEntry
from app.domain.case import Case, Item
from app.ports import Remembered, SpendToken
from partners.events import Event
from partners.model import Attempt, Message, Notice, Partner, PartnerId

MOMENTS = st.datetimes(timezones=st.just(UTC))
NAMES = st.from_regex(r"[a-z]{3}_[0-9A-Za-z]{1,21}", fullmatch=True).map(PartnerId)


def _values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type, in every field of every record within."""
    if is_dataclass(kind):
        return _records(kind)
    known: dict[Any, st.SearchStrategy[Any]] = {
        datetime: MOMENTS,
        datetime | None: st.none() | MOMENTS,
        timedelta | None: st.none() | st.timedeltas(),
        tuple[PartnerId, ...]: st.lists(NAMES).map(tuple),
    }
    if kind in known:
        return known[kind]
    inner = get_args(kind)
    if inner[1:] == (Ellipsis,):
        return st.lists(_values(inner[0]), max_size=3).map(tuple)
    found: st.SearchStrategy[Any] = st.from_type(kind)
    return found


def _records(kind: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: _values(hints[field.name]) for field in fields(kind)})


PAIRS: list[tuple[Any, Callable[[Any], rows.Row], Callable[[Any], Any]]] = [
    (Case, rows.case_row, rows.case_of),
    (Item, rows.item_row, rows.item_of),
    (Remembered, rows.remembered_row, rows.remembered_of),
    (SpendToken, rows.token_row, rows.token_of),
    (AuditEntry, rows.audit_row, rows.audit_of),
    (Event, rows.event_row, rows.event_of),
    (Notice, rows.notice_row, rows.notice_of),
    (Message, rows.message_row, rows.message_of),
    (Attempt, rows.attempt_row, rows.attempt_of),
    (Partner, rows.partner_row, rows.partner_of),
]


@pytest.mark.parametrize(
    ("kind", "row", "record"), PAIRS, ids=[kind.__name__ for kind, _, _ in PAIRS]
)
@given(data=st.data())
def test_a_record_survives_its_row(
    kind: Any,
    row: Callable[[Any], rows.Row],
    record: Callable[[Any], Any],
    data: st.DataObject,
) -> None:
    original = data.draw(_records(kind))
    stored = row(original)
    assert record(stored) == original
    assert {type(value) for value in stored} <= {str, int, bytes, type(None)}


@given(MOMENTS)
def test_a_moment_is_whole_microseconds(at: datetime) -> None:
    assert rows.moment(rows.micros(at)) == at


@given(MOMENTS, st.timedeltas())
def test_moments_keep_their_order(at: datetime, later: timedelta) -> None:
    try:
        other = at + later
    except OverflowError:
        return
    assert (rows.micros(at) < rows.micros(other)) == (at < other)


def test_a_moment_elsewhere_is_the_same_moment() -> None:
    here = datetime(2026, 5, 17, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert rows.micros(here) == rows.micros(here.astimezone(UTC))
