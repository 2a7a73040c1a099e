"""Passes fetched ahead: so that asking for one and sending a report are not at the same hour."""

from __future__ import annotations

from pathlib import Path

import click

from app.cli.asking import asking, service_at, url_option
from app.cli.showing import FAILED, give, json_option, stop


@click.command("fetch-passes")
@url_option
@click.option("--broker", required=True, help="Address of a development age broker.")
@click.option("--years", type=int, required=True, help="Age to tell it; it checks nobody.")
@click.option("--count", type=click.IntRange(1, 3), default=3, show_default=True)
@click.option(
    "--pass-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Where to keep them. Each counts once, today and tomorrow.",
)
@json_option
def fetch_passes(
    url: str, broker: str, years: int, count: int, pass_file: Path, as_json: bool
) -> None:
    """Fetch under-18 passes to use later with `submit --pass-file`.

    Whoever goes through a real provider does so in a browser: the service's own pages do it.
    """
    from app.client.privacy_pass import NoPass
    from app.client.shown_pass import fetch_ahead

    challenge = asking(service_at(url).challenge, as_json)
    try:
        kept = fetch_ahead(broker, challenge, years, count, pass_file)
    except NoPass as fault:
        stop(FAILED, f"no pass: {fault}", as_json, code=str(fault.why))
    give(as_json, {"passes": kept}, f"Passes kept: {kept}. Each counts once, today and tomorrow.")
