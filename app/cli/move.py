"""`report-remove export` and `import`: from one store to another."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.operating import open_runtime
from app.cli.showing import FAILED, UNUSABLE, give, json_option, stop

if TYPE_CHECKING:
    from app.services.move_records import Sum, Told


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def export_records(file: Path, as_json: bool) -> None:
    """Write everything the store keeps to FILE. Stop the service first.

    Hashes and keys stay sealed in it, under the root keys, which are not in it: keep the two apart.
    Broken off, it goes on where it was. FILE is as sensitive as the database.
    """
    from app.services import move_records

    if file.exists() and not move_records.is_begun(file):
        stop(FAILED, f"{file} exists", as_json)
    with open_runtime() as runtime:
        try:
            sums = move_records.export(runtime.store, file, _telling(as_json))
        except move_records.NotAnExport as fault:
            stop(UNUSABLE, str(fault), as_json)
    give(as_json, _facts(sums), *_lines(sums), f"Written to {file}.")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def import_records(file: Path, as_json: bool) -> None:
    """Put everything in FILE into the store that the settings name. Stop the service first.

    What is there under the same name stays. At the end the store is read again and compared with
    the file, record by record. Broken off, it goes on where it was.
    """
    from app.services import move_records

    with open_runtime(may_begin=True) as runtime:
        keys = runtime.services.house.keys
        try:
            sums = move_records.restore(runtime.store, keys, file, _telling(as_json))
        except (move_records.NotAnExport, move_records.OtherKeys) as fault:
            stop(UNUSABLE, str(fault), as_json)
        found = move_records.sums_of(runtime.store)
    different = [name for name, wanted in sums.items() if found[name] != wanted]
    if different:
        said = "the store does not hold exactly what the file holds: " + ", ".join(different)
        stop(FAILED, said, as_json, file=_facts(sums), store=_facts(found))
    give(as_json, _facts(sums), *_lines(sums), "The store holds exactly what the file holds.")


def _telling(as_json: bool) -> Told:
    def tell(kind: str, count: int) -> None:
        if sys.stderr.isatty() and not as_json:
            click.echo(f"\r\033[K{kind:12} {count:10,}", err=True, nl=False)

    return tell


def _facts(sums: dict[str, Sum]) -> dict[str, object]:
    return {name: asdict(found) for name, found in sums.items()}


def _lines(sums: dict[str, Sum]) -> list[str]:
    return [f"{name:12} {found.count:10,}  {found.digest[:16]}" for name, found in sums.items()]
