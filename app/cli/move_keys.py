"""Root keys on their way between a file and KMS, with the records that they seal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.operating import ending_if_refused
from app.cli.showing import give, json_option

if TYPE_CHECKING:
    from app.settings import Settings


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def import_keys(file: Path, as_json: bool) -> None:
    """Have KMS wrap the root keys of FILE, instead of `keys create`.

    For a service that moves here: what was sealed opens, and case codes stay good. Refused if there
    are root keys already. FILE is a root-key file, such as DATA_DIR/root.key of the old service.
    """
    from app.root_keys import root_key_ids, take_root_keys

    with _wrapped_keys() as settings:
        take_root_keys(settings, file)
        ids = root_key_ids(settings)
    give(as_json, {"keys": ids}, f"KMS has wrapped {len(ids)} root keys; key {ids[-1]} seals.")


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def export_keys(file: Path, as_json: bool) -> None:
    """Write the root keys that KMS wraps to FILE, unwrapped: with them everything opens.

    Mode 0600, and never in the place of a file that is there.
    """
    from app.root_keys import write_root_keys

    with _wrapped_keys() as settings:
        write_root_keys(settings, file)
    give(as_json, {"file": str(file)}, f"Written to {file}. Keep it apart from the records.")


@contextmanager
def _wrapped_keys() -> Iterator[Settings]:
    """The settings, if they name root keys that KMS wraps; every refusal as one sentence."""
    from app.bootstrap import StartRefused
    from app.settings import PREFIX, Settings

    with ending_if_refused():
        settings = Settings.from_env(os.environ)
        if settings.keys != "kms":
            raise StartRefused(f"this is for {PREFIX}KEYS=kms; a root-key file is copied as it is")
        yield settings
