"""The broker's log can hold nothing that is not on its list."""

from __future__ import annotations

import json
from io import StringIO

from infra.broker.journal import Event, Journal


def test_a_field_that_is_not_on_the_list_is_left_out() -> None:
    log = StringIO()
    journal = Journal(log)
    journal.note(Event.STARTED, port=8000, address="192.0.2.77")
    journal.failure(Event.REQUEST_FAILED, ValueError("a value"), route="/grant", subject="somebody")
    started, failed = (json.loads(line) for line in log.getvalue().splitlines())
    assert started.keys() == {"at", "event", "port"}
    assert failed.keys() == {"at", "event", "route", "error", "place"}
    assert failed["error"] == "ValueError"
