"""`report-remove audit`: exit code 1 for a chain that is not whole."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.audit import audit
from partners.model import Word
from tests.app.services.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def run(world: World, *words: str) -> Result:
    env = {
        "REPORT_REMOVE_ENVIRONMENT": "development",
        "REPORT_REMOVE_DATA_DIR": str(world.folder / "data"),
    }
    return CliRunner().invoke(audit, list(words), env=env)


def test_all_chains_whole_is_zero(world: World) -> None:
    for _ in range(3):
        world.report()
    done = run(world, "check")
    assert (done.exit_code, done.output) == (0, "3 chain(s), 3 entries: all whole.\n")
    found = json.loads(run(world, "check", "--json").output)
    assert found == {"chains": 3, "entries": 3, "faults": {}}


def test_a_broken_chain_is_named_and_is_one(world: World) -> None:
    good, bad = (world.case(world.report()).id for _ in range(2))
    with closing(sqlite3.connect(world.database)) as connection, connection:
        connection.execute("UPDATE audit SET actor = 'operator' WHERE case_id = ?", (bad,))
    done = run(world, "check")
    assert done.exit_code == 1
    assert done.output == f"{bad}  broken\n2 chain(s), 2 entries: 1 broken.\n"
    assert run(world, "check", bad).exit_code == 1
    assert run(world, "check", good).exit_code == 0


def test_a_case_that_never_was_has_no_chain_to_be_whole(world: World) -> None:
    done = run(world, "check", "case_of_nobody")
    assert done.exit_code == 1
    assert "no such case" in done.output


def test_an_empty_store_is_whole(world: World) -> None:
    assert run(world, "check").output == "0 chain(s), 0 entries: all whole.\n"


def test_a_chain_is_shown_with_every_word_of_a_platform(world: World) -> None:
    partner, key = world.platform(), world.report()
    world.expand()
    world.say(partner, key, Word.NOT_FOUND)
    case_id = world.case(key).id
    rows = json.loads(run(world, "show", case_id, "--json").output)
    assert [row["action"] for row in rows] == ["reported", "feedback"]
    assert rows[1]["reason"] == f"not_found {world.notice(key, partner).id}"
    assert len(run(world, "show", case_id).output.splitlines()) == 2


def test_a_chain_that_is_not_there_is_not_shown(world: World) -> None:
    done = run(world, "show", "case_of_nobody", "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no chain" in json.loads(done.stderr)["error"]
