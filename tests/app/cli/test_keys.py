"""`report-remove keys`: ids are shown and nothing of a key; what was sealed before still opens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.bootstrap import ROOT_KEY
from app.cli.keys import keys
from tests.app.services.world import World


def run(folder: Path, *words: str) -> Result:
    env = {
        "REPORT_REMOVE_ENVIRONMENT": "development",
        "REPORT_REMOVE_DATA_DIR": str(folder / "data"),
    }
    return CliRunner().invoke(keys, list(words), env=env)


def test_a_new_key_seals_and_the_old_one_opens(tmp_path: Path) -> None:
    world = World(tmp_path)
    key = world.report()
    world.close()
    assert json.loads(run(tmp_path, "list", "--json").output) == [{"key": 1, "seals": True}]
    done = run(tmp_path, "rotate")
    assert done.exit_code == 0
    assert "Key 2 seals from now on" in done.output
    assert "not sealed anew" in done.output
    assert json.loads(run(tmp_path, "list", "--json").output) == [
        {"key": 1, "seals": False},
        {"key": 2, "seals": True},
    ]
    assert run(tmp_path, "list").output == "key     1  opens\nkey     2  seals and opens\n"
    world.runtime = world.open()
    try:
        later = world.report()
        sealed = [row[0][1:3] for row in world.rows("SELECT sealed_hashes FROM items")]
        assert sealed == [b"\x00\x01", b"\x00\x02"]
        assert [len(world.services.open_case(k).items) for k in (key, later)] == [1, 1]
    finally:
        world.runtime.close()


def test_nothing_of_a_key_is_ever_shown(tmp_path: Path) -> None:
    World(tmp_path).close()
    shown = run(tmp_path, "rotate").output + run(tmp_path, "list").output
    for line in (tmp_path / "data" / ROOT_KEY).read_text().splitlines()[1:]:
        assert line.split()[-1] not in shown


@pytest.mark.parametrize("command", ["list", "rotate"])
def test_without_a_key_file_none_is_made(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command)
    assert done.exit_code == 5
    assert not (tmp_path / "data" / ROOT_KEY).exists()
