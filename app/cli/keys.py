"""The root keys: made before the first start in the cloud, and one added now and then."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from app.cli.operating import ending_if_refused
from app.cli.showing import give, json_option

if TYPE_CHECKING:
    from app.settings import Settings


@click.group()
def keys() -> None:
    """The root keys that everything is sealed with (docs/RUNBOOK.md)."""


@keys.command()
@json_option
def create(as_json: bool) -> None:
    """Make the first root keys. Never replaces any: all that was sealed would be lost."""
    from app.root_keys import make_root_keys

    with ending_if_refused():
        make_root_keys(_settings())
    give(as_json, {"key": 1}, "The root keys are made; key 1 seals.")


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List the root keys by their ids. Nothing of a key itself is shown."""
    from app.root_keys import root_key_ids

    with ending_if_refused():
        *older, newest = root_key_ids(_settings())
    rows = [{"key": key_id, "seals": False} for key_id in older] + [{"key": newest, "seals": True}]
    lines = [
        f"key {row['key']:5}  {'seals and opens' if row['seals'] else 'opens'}" for row in rows
    ]
    give(as_json, rows, *lines)


_NEXT = """Now:
  1. Back up the root keys, apart from the database. Without the new one nothing that is sealed
     from now on opens.
  2. Restart what reads its keys from a file, before any other command seals something: the file
     is read at the start. What has its keys in the cloud finds the new one by itself.
What was sealed before stays under its older key and is not sealed anew: keep every key. If an
older one leaked, its thief can still read what was sealed under it, having the database too.
Case codes, API keys and the signatures of messages do not change."""


@keys.command()
@json_option
def rotate(as_json: bool) -> None:
    """Add a root key, which seals from now on. The older ones stay, to open."""
    from app.root_keys import add_root_key

    with ending_if_refused():
        key_id = add_root_key(_settings())
    give(
        as_json,
        {"key": key_id},
        f"Key {key_id} seals from now on; the older ones still open.",
        *_NEXT.splitlines(),
    )


def _settings() -> Settings:
    from app.settings import Settings

    return Settings.from_env(os.environ)
