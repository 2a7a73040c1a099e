"""Where a platform's messages go."""

from __future__ import annotations

import click

from app.cli.enrolling import hand_over, unverified_option, verified
from app.cli.operating import changed, deciding, open_runtime
from app.cli.showing import give, json_option

event_types_option = click.option(
    "--event",
    "event_types",
    multiple=True,
    type=click.Choice(
        ["removal.requested", "removal.updated", "removal.withdrawn", "removal.reminder"]
    ),
    help="Only these; all if not given.",
)


@click.group()
def endpoint() -> None:
    """Where a platform's messages go. One platform may have several."""


@endpoint.command("list")
@click.argument("partner_id")
@json_option
def endpoint_list(partner_id: str, as_json: bool) -> None:
    """List a platform's endpoints."""
    with open_runtime() as runtime:
        rows = deciding(lambda: runtime.services.manage_endpoints.rows(partner_id), as_json)
    lines = [
        f"{r['id']}  {r['status']:10} {r['scheme']:4} {r['url'] or 'to be pulled'}"
        f"  {', '.join(r['event_types']) or 'every event'}"
        for r in rows
    ]
    give(as_json, rows, *lines)


@endpoint.command("add")
@click.argument("partner_id")
@click.argument("url", required=False)
@click.option("--scheme", type=click.Choice(["v1a", "v1"]), default="v1a", show_default=True)
@event_types_option
@unverified_option
@json_option
def endpoint_add(
    partner_id: str,
    url: str | None,
    scheme: str,
    event_types: tuple[str, ...],
    unverified: bool,
    as_json: bool,
) -> None:
    """Add an endpoint; without a URL its messages wait to be pulled. Prints its key, once."""
    with open_runtime() as runtime:
        manage = runtime.services.manage_endpoints
        made = deciding(lambda: manage.add(partner_id, url, scheme, event_types), as_json)
        facts, said = verified(runtime, made, bool(url) and not unverified)
    hand_over({**made, **facts}, said if url else [], as_json)


@endpoint.command("pause")
@click.argument("endpoint_id")
@json_option
def endpoint_pause(endpoint_id: str, as_json: bool) -> None:
    """Post nothing there for now. Its messages wait."""
    changed(
        lambda to: to.manage_endpoints.pause(endpoint_id),
        endpoint_id,
        "paused",
        "is paused.",
        as_json,
    )


@endpoint.command("resume")
@click.argument("endpoint_id")
@json_option
def endpoint_resume(endpoint_id: str, as_json: bool) -> None:
    """Post there again after a pause, first what waited."""
    with open_runtime() as runtime:
        due = deciding(lambda: runtime.services.manage_endpoints.resume(endpoint_id), as_json)
    facts = {"id": endpoint_id, "status": "active", "resumed": due}
    give(as_json, facts, f"{endpoint_id} is posted to again; {due} message(s) are due now.")


@endpoint.command("disable")
@click.argument("endpoint_id")
@json_option
def endpoint_disable(endpoint_id: str, as_json: bool) -> None:
    """Post nothing there any more. It comes back by `partner verify`."""
    changed(
        lambda to: to.manage_endpoints.disable(endpoint_id),
        endpoint_id,
        "disabled",
        "is disabled.",
        as_json,
    )


@endpoint.command("filter")
@click.argument("endpoint_id")
@event_types_option
@json_option
def endpoint_filter(endpoint_id: str, event_types: tuple[str, ...], as_json: bool) -> None:
    """Tell it of some event types only; of every one if none is given."""
    with open_runtime() as runtime:
        manage = runtime.services.manage_endpoints
        deciding(lambda: manage.filter(endpoint_id, event_types), as_json)
    facts = {"id": endpoint_id, "event_types": list(event_types)}
    give(as_json, facts, f"{endpoint_id} gets {', '.join(event_types) or 'every event'}.")
