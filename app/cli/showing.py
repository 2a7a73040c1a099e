"""How a command shows what it found, and how it ends.

Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 the service gave no answer ·
4 nothing usable in a file · 5 bad settings or store.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

import click

FAILED, UNREACHABLE, UNUSABLE, MISCONFIGURED = 1, 3, 4, 5


def give(as_json: bool, value: Any, *lines: str) -> None:
    """Print the value as one JSON line, or the lines for a person."""
    if as_json:
        click.echo(json.dumps(value, default=str))
    else:
        for line in lines:
            click.echo(line)


def stop(exit_code: int, message: str, as_json: bool = False, **more: Any) -> NoReturn:
    """End with that exit code and a sentence on standard error."""
    if as_json:
        click.echo(json.dumps({"error": message, **more}), err=True)
    else:
        click.echo(f"report-remove: {message}", err=True)
    sys.exit(exit_code)


def pairs(facts: Mapping[str, Any]) -> list[str]:
    """One line for each fact that there is; what has parts, as JSON."""
    return [f"{name:12} {_plain(value)}" for name, value in facts.items() if value is not None]


def _plain(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, (dict, list)) else str(value)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


class Moment(click.ParamType[datetime]):
    """An ISO 8601 time; without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail("not a time such as 2026-05-17T12:30:00+00:00", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
