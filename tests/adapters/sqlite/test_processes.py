"""Several processes on one file, and one that is killed."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app.adapters.sqlite.schema import MIGRATIONS
from app.adapters.sqlite.store import SqliteStore
from partners.model import CaseId
from tests.adapters.sqlite.numbers import stored

ROOT = Path(__file__).parents[3]
KILLS = 5
COMMAND = [sys.executable, "-m", "tests.adapters.sqlite.processes"]


def _start(task: str, path: Path, *others: str) -> subprocess.Popen[str]:
    command = [*COMMAND, task, str(path), *others]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def _count(path: Path, query: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(query).fetchone()[0])


def test_six_that_start_at_once_make_the_tables_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    started = [_start("open", path) for _ in range(6)]
    for process in started:
        with process:
            assert process.wait(60) == 0
    assert _count(path, "PRAGMA user_version") == len(MIGRATIONS)
    assert _count(path, "SELECT count(*) FROM cases") == 0


def test_a_token_spent_in_two_processes_opens_one_case(tmp_path: Path) -> None:
    path, count = tmp_path / "store.db", 150
    first, second = (_start("spend", path, str(count)) for _ in range(2))
    spent: list[str] = []
    with first, second:
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in (first, second):
            spent += process.communicate(timeout=60)[0].split()
            assert process.returncode == 0
    assert sorted(map(int, spent)) == list(range(count))
    assert _count(path, "SELECT count(*) FROM cases") == count


def test_interrupts_at_any_step_stop_nobody(tmp_path: Path) -> None:
    """As Ctrl-C would in a command, whose other threads go on writing."""
    path = tmp_path / "store.db"
    command = [*COMMAND, "interrupt", str(path)]
    ended = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True, timeout=60
    )
    said = ended.stdout.split()
    done = {int(number) for number in said}
    assert len(done) == len(said)
    assert done <= stored(path)
    assert all(number % 10 == 0 for number in stored(path) - done)  # the interrupted one's
    assert {number % 10 for number in done} == {0, 1, 2, 3}


def _acknowledged_before_a_kill(path: Path, enough: int) -> list[str]:
    """The cases that a process named before it was killed, a moment after `enough` of them."""
    with _start("report", path) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(enough)]
        process.kill()
        said += process.stdout.readlines()
    return [line.strip() for line in said if line.endswith("\n")]


@pytest.mark.slow
def test_a_killed_process_has_lost_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    acknowledged: list[str] = []
    for _ in range(KILLS):
        acknowledged += _acknowledged_before_a_kill(path, random.randrange(20, 400))
        store = SqliteStore(path)
        kept = [store.case(CaseId(case_id)) for case_id in acknowledged]
        store.close()
        assert None not in kept
    _assert_only_whole_units(path)


def _assert_only_whole_units(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    halves = """SELECT count(*) FROM cases WHERE NOT (
        EXISTS (SELECT 1 FROM items WHERE case_id = cases.id)
        AND EXISTS (SELECT 1 FROM audit WHERE case_id = cases.id)
        AND EXISTS (SELECT 1 FROM events WHERE case_id = cases.id)
        AND EXISTS (SELECT 1 FROM answers WHERE tag = cases.key_tag))"""
    assert _count(path, halves) == 0
    cases = _count(path, "SELECT count(*) FROM cases")
    for table in ("items", "audit", "events", "answers"):
        assert _count(path, f"SELECT count(*) FROM {table}") == cases  # noqa: S608
