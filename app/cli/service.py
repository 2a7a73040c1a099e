"""The service itself: start it, list its settings, see it work."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from app.cli.operating import built, ending_if_refused
from app.cli.showing import give, json_option


@click.command()
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once it answers.")
@json_option
def serve(ready_file: Path | None, as_json: bool) -> None:
    """Start the service: the API, the worker and the metrics, in one process.

    Settings come from the environment: see `report-remove settings`. Stop it with SIGTERM; what is
    in flight is finished or given back.
    """
    from app.wsgi import serve as run

    def ready(facts: dict[str, Any]) -> None:
        give(
            as_json,
            facts,
            f"API            {facts['url']}",
            f"Documentation  {facts['url']}/docs",
            f"Metrics        {facts['metrics']}",
        )
        if ready_file:
            ready_file.write_text(json.dumps(facts))

    with ending_if_refused():
        run(built(may_begin=True), ready)


@click.command()
@json_option
def settings(as_json: bool) -> None:
    """List every setting with its default."""
    from dataclasses import fields

    from app.settings import PREFIX, Settings

    rows = [
        {
            "name": PREFIX + spec.name.upper(),
            "default": spec.metadata["default"],
            "meaning": spec.metadata["meaning"],
        }
        for spec in fields(Settings)
    ]
    lines = [f"{row['name']}={row['default']}\n    {row['meaning']}" for row in rows]
    give(as_json, rows, *lines)


@click.command()
@click.option("--once", is_flag=True, help="Stop after the walk: 0 if every step happened.")
@click.option("--photo", type=click.Path(path_type=Path, exists=True), help="Another photo.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the API; 0: any.")
def demo(once: bool, photo: Path | None, port: int) -> None:
    """Walk one real report from a photo to its removal at two platforms, on this machine."""
    from functools import partial

    from app.demo import here, walk

    sys.exit(walk.run(partial(here.start, port=port), once=once, photo=photo))
