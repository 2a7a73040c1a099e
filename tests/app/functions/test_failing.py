"""What a function did not foresee is told by its kind and place, and by nothing of what it held."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest

from app.bootstrap import StartRefused
from app.functions import api, purge, relay, sender, sweeper
from app.functions.failing import FunctionFailed, silently
from tests.app.functions.conftest import Context

SECRET = "203.0.113.77 and a case key"


@silently("trial")
def handler(event: dict[str, Any], _context: Any) -> None:
    {"nothing": 1}[event["key"]]


@silently("trial")
def refused(_event: dict[str, Any], _context: Any) -> None:
    raise StartRefused("the root keys: the KMS key is disabled: enable it")


def test_nothing_of_what_it_held_leaves_it(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FunctionFailed) as caught:
        handler({"key": SECRET}, Context())
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    said = capfd.readouterr()
    line = json.loads(said.err)
    assert (line["event"], line["part"], line["error"]) == ("worker.failed", "trial", "KeyError")
    assert line["place"].startswith("test_failing.py:")
    assert SECRET not in said.err + said.out


def test_what_an_operator_must_read_is_said() -> None:
    with pytest.raises(StartRefused, match="disabled"):
        refused({}, Context())


@pytest.mark.parametrize(
    ("function", "starter"),
    [
        (api, "_application"),
        (relay, "_relay"),
        (sender, "_sending"),
        (sweeper, "_sweeper"),
        (purge, "_services"),
    ],
)
def test_every_function_fails_like_this(
    function: Any, starter: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def starting() -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(function, starter, starting)
    event = {"Records": [{"eventName": "INSERT", "dynamodb": {"Keys": {"pk": {"S": "event#e"}}}}]}
    with pytest.raises(FunctionFailed) as caught:
        function.handler(event, Context())
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in "".join(capfd.readouterr())
