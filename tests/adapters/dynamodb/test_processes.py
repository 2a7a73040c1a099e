"""Several processes at one table: each thing is had by one of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest

from app.ports import AddMessage
from tests.adapters.dynamodb.conftest import Rig
from tests.contract.cloud import endpoint
from tests.contract.samples import a_message

COUNT = 40


def _race(rig: Rig, task: str, *others: str, processes: int = 3) -> list[list[str]]:
    """What each of some processes had, all started together."""
    command = [sys.executable, "-m", "tests.adapters.dynamodb.processes", task]
    started = [
        subprocess.Popen(
            [*command, endpoint(), rig.table, *others],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    return [_rest(process) for process in _let_go(started)]


def _let_go(started: Sequence[subprocess.Popen[str]]) -> Sequence[subprocess.Popen[str]]:
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return started


def _rest(process: subprocess.Popen[str]) -> list[str]:
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said.split()


@pytest.mark.parametrize("task", ["spend", "open"])
def test_each_token_and_each_key_is_had_by_one_process(rig: Rig, task: str) -> None:
    had = _race(rig, task, str(COUNT))
    assert sorted(map(int, chain.from_iterable(had))) == list(range(COUNT))
    rows = rig.client.scan(TableName=rig.table, ConsistentRead=True)["Items"]
    cases = [row for row in rows if row["sk"]["S"] == "case"]
    assert len(cases) == COUNT  # none of the losers' cases stayed


def test_each_message_is_taken_up_by_one_process(rig: Rig) -> None:
    messages = [a_message() for _ in range(150)]
    for start in (0, 75):
        rig.store.commit(*map(AddMessage, messages[start : start + 75]))
    had = _race(rig, "claim")
    assert sorted(chain.from_iterable(had)) == sorted(message.id for message in messages)
    assert {message.claim for message in rig.store.messages(limit=200)[0]} == {1}
