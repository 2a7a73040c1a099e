"""What comes of adding an endpoint: whether it is verified, and what is handed over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from app.cli.showing import give, pairs

if TYPE_CHECKING:
    from app.bootstrap import Runtime

unverified_option = click.option(
    "--unverified", is_flag=True, help="Do not ask the endpoint now; it is told nothing meanwhile."
)


def verified(
    runtime: Runtime, made: Mapping[str, Any], wanted: bool
) -> tuple[dict[str, Any], list[str]]:
    """What came of verifying a new endpoint: as facts, and as lines for a person."""
    from partners.errors import EnrolmentRefused

    again = f"report-remove partner verify {made['endpoint_id']}"
    if not wanted:
        return {"verified": False}, [f"Not verified: it gets no messages before {again}"]
    try:
        (row,) = runtime.services.manage_endpoints.verify(str(made["endpoint_id"]))
    except EnrolmentRefused as fault:
        facts = {"verified": False, "refusal": str(fault)}
        return facts, [f"Not verified ({fault}). Once it holds its key: {again}"]
    return {"verified": True}, [verified_line(row)]


def verified_line(row: Mapping[str, Any]) -> str:
    """One verified endpoint, for a person."""
    rate = row["rate_per_minute"]
    granted = "no limit of its own" if rate is None else f"{rate} a minute"
    return f"{row['endpoint_id']} is verified ({granted}); {row['resumed']} message(s) are due now."


def hand_over(facts: Mapping[str, Any], said: list[str], as_json: bool) -> None:
    """Show secrets to an operator, this once."""
    shown = {n: v for n, v in facts.items() if n not in ("verified", "refusal")}
    head = "Hand this over, by a way you trust. It is shown this once."
    give(as_json, facts, head, *pairs(shown), *said)
