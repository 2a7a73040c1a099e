"""Every alarm has an entry, every command exists, and the backup recipe works."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from prometheus_client import Counter

from app.bootstrap import DATABASE, ROOT_KEY, build
from app.cli.main import main
from app.observability import FIELDS, Metrics
from app.settings import PREFIX, Settings
from partners.sender import Failure
from tests.app.services.world import World, a_photo
from tests.app.web.running import ROOT
from tests.rules.pages import blocks, headings, section, table, text_of, words

PAGE = text_of("RUNBOOK")


def metric_names() -> set[str]:
    """As they are scraped."""
    metrics = Metrics()
    counters = {
        family.name
        for value in vars(metrics).values()
        if isinstance(value, Counter)
        for family in value.describe()
    }
    found = {family.name for family in metrics.registry.collect()}
    return {f"{name}_total" if name in counters else name for name in found}


def test_every_metric_has_an_entry_and_no_other() -> None:
    assert sorted(headings(section(PAGE, "Metrics"), 3)) == sorted(metric_names())


def test_every_log_event_has_an_entry_and_no_other() -> None:
    assert sorted(headings(section(PAGE, "Log events"), 3)) == sorted(map(str, FIELDS))


@pytest.mark.parametrize("event", sorted(FIELDS), ids=str)
def test_an_entry_names_its_fields(event: str) -> None:
    told = re.search(r"^Fields: (.*?)\.\s", section(PAGE, event).strip(), re.DOTALL)
    assert told
    fields = next(fields for name, fields in FIELDS.items() if name == event)
    assert set(words(told[1])) == fields


def test_every_way_in_which_a_post_fails_has_a_row() -> None:
    rows = table(section(PAGE, "report_remove_delivery_attempts_total"))
    told = {word for row in rows for word in words(row[0])}
    assert told | {str(Failure.OTHER)} == {*map(str, Failure), "not-composed"}


def commands() -> list[str]:
    found = re.findall(
        r"`(?:report-remove )((?:partner|endpoint|messages|serve|settings)\b[^`]*)`", PAGE
    )
    found += [w for row in table(section(PAGE, "Suspected leak")) for w in words(row[1])]
    return [c for c in found if c.split()[0] in main.commands]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_is_one(command: str) -> None:
    """Parsed as the shell and click would, and not run."""
    group: click.Command = main
    left = shlex.split(command)
    context = click.Context(group)
    while isinstance(group, click.Group) and left:
        found = group.get_command(context, left[0])
        assert found, command
        group, left = found, left[1:]
    for option in [word for word in left if word.startswith("--")]:
        assert any(option in parameter.opts for parameter in group.params), option


def test_there_are_commands_to_look_at() -> None:
    assert len(set(commands())) > 8
    assert CliRunner().invoke(main, ["--help"]).exit_code == 0


def test_the_backup_recipe_makes_a_copy_that_opens(tmp_path: Path) -> None:
    """Made while the service has the file open; restored beside the key as the page says."""
    world = World(tmp_path)
    try:
        world.platform()
        key = world.report(a_photo())
        copy = tmp_path / "copy.db"
        script = blocks(section(PAGE, "Backup"), "sh")[0]
        data = world.database.parent
        env = {"PATH": os.environ["PATH"], "DATA": str(data), "OUT": str(copy)}
        subprocess.run(["sh", "-eu", "-c", script], env=env, check=True, timeout=60)
    finally:
        world.close()
    assert copy.stat().st_mode & 0o077 == 0
    restored = tmp_path / "restored"
    restored.mkdir(mode=0o700)
    shutil.copy(copy, restored / DATABASE)
    shutil.copy(data / ROOT_KEY, restored / ROOT_KEY)
    runtime = build(Settings.from_env({f"{PREFIX}DATA_DIR": str(restored)}), world.clock)
    try:
        assert len(runtime.services.open_case(key).items) == 1
        assert runtime.services.expand_events() == 1
    finally:
        runtime.close()


def test_the_copy_holds_nothing_that_was_erased(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        world.platform()
        key = world.report(a_photo())
        (sealed,) = world.rows("SELECT sealed_hashes FROM items")[0]
        world.services.withdraw_case(key)
        world.expand()
        copy = tmp_path / "copy.db"
        script = blocks(section(PAGE, "Backup"), "sh")[0]
        env = {
            "PATH": os.environ["PATH"],
            "DATA": str(world.database.parent),
            "OUT": str(copy),
        }
        subprocess.run(["sh", "-eu", "-c", script], env=env, check=True, timeout=60)
        assert world.rows("SELECT sealed_hashes FROM items") == [(None,)]
    finally:
        world.close()
    assert sealed not in copy.read_bytes()


def test_adding_a_root_key_is_as_written(tmp_path: Path) -> None:
    world = World(tmp_path)
    key = world.report(a_photo())
    world.close()
    assert "`report-remove keys rotate`" in section(PAGE, "Change keys")
    data = world.database.parent
    made = subprocess.run(
        [sys.executable, "-m", "app.cli", "keys", "rotate", "--json"],
        cwd=ROOT,
        env={**os.environ, f"{PREFIX}DATA_DIR": str(data)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert json.loads(made.stdout) == {"key": 2}
    runtime = build(Settings.from_env({f"{PREFIX}DATA_DIR": str(data)}), world.clock)
    try:
        assert len(runtime.services.open_case(key).items) == 1
    finally:
        runtime.close()
