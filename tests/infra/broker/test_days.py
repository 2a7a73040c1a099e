"""The counts of a day."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.broker.days import DayBook
from infra.broker.errors import StartRefused
from infra.broker.grants import PersonTag, person_tag
from tests.app.web.running import ROOT

DAY = 20_000


@pytest.fixture
def book(tmp_path: Path) -> DayBook:
    return DayBook(tmp_path / "day.sqlite")


def test_a_person_has_one_tag_a_day_at_each_provider(book: DayBook) -> None:
    tag = book.tag(DAY, "bank", "alice")
    assert book.tag(DAY, "bank", "alice") == tag
    others = {
        book.tag(DAY + 1, "bank", "alice"),
        book.tag(DAY, "wallet", "alice"),
        book.tag(DAY, "bank", "bob"),
    }
    assert len(others | {tag}) == 4


@given(*[st.text(max_size=20)] * 4)
def test_no_two_persons_share_a_tag(a: str, b: str, c: str, d: str) -> None:
    names = [text.replace("\0", "") for text in (a, c)]
    if (names[0], b) != (names[1], d):
        assert person_tag(b"k", names[0], b) != person_tag(b"k", names[1], d)


def test_the_limit_holds(book: DayBook) -> None:
    tag = book.tag(DAY, "bank", "alice")
    assert [book.count_one(DAY, tag, 3) for _ in range(5)] == [True, True, True, False, False]
    assert book.had(DAY, tag) == 3
    book.uncount_one(DAY, tag)
    assert book.count_one(DAY, tag, 3)
    assert not book.count_one(DAY, tag, 3)


def test_counts_outlive_a_restart(tmp_path: Path) -> None:
    book = DayBook(tmp_path / "day.sqlite")
    tag = book.tag(DAY, "bank", "alice")
    book.count_one(DAY, tag, 2)
    book.close()
    again = DayBook(tmp_path / "day.sqlite")
    assert again.tag(DAY, "bank", "alice") == tag
    assert again.count_one(DAY, tag, 2)
    assert not again.count_one(DAY, tag, 2)


def test_what_is_forgotten_is_in_no_byte_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "day.sqlite"
    book = DayBook(path)
    tags = [book.tag(DAY, "bank", str(number)) for number in range(300)]
    for tag in tags:
        book.count_one(DAY, tag, 2)
    with sqlite3.connect(path) as reader:
        (key,) = reader.execute("SELECT key FROM day_key").fetchone()
    reader.close()
    written = path.read_bytes()
    assert key in written
    assert all(bytes(tag) in written for tag in tags)
    book.forget(DAY + 1, DAY)
    assert key not in path.read_bytes()
    written = path.read_bytes()
    assert all(bytes(tag) in written for tag in tags)
    book.forget(DAY + 1, DAY + 1)
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert not any(bytes(tag) in files for tag in tags)
    assert path.stat().st_size < 20_000


def test_a_forgotten_day_has_another_key(book: DayBook) -> None:
    before = book.tag(DAY, "bank", "alice")
    book.forget(DAY + 1, DAY + 1)
    assert book.tag(DAY, "bank", "alice") != before


RACE = """
import sys
from pathlib import Path
from infra.broker.days import DayBook
book = DayBook(Path(sys.argv[1]))
tag = book.tag(20000, "bank", "alice")
sys.stdin.readline()
print(sum(book.count_one(20000, tag, 40) for _ in range(60)))
"""


def test_two_processes_at_once_keep_one_limit(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path / "day.sqlite")]
    racing = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in racing:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [int(process.communicate(timeout=60)[0]) for process in racing]
    assert sum(counts) == 40


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "day.sqlite"
    path.touch()
    path.chmod(0o640)
    with pytest.raises(StartRefused, match="others may read"):
        DayBook(path)


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + bytes(90)])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "day.sqlite"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StartRefused):
        DayBook(path)
    assert path.read_bytes() == content


def test_a_new_file_is_the_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        book = DayBook(tmp_path / "day.sqlite")
    finally:
        os.umask(old)
    book.count_one(DAY, PersonTag(b"x"), 1)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartRefused):
        DayBook(tmp_path / "none" / "day.sqlite")


def test_a_full_disk_is_said_and_survived(book: DayBook) -> None:
    tag = book.tag(DAY, "bank", "alice")
    pages = book._connection.execute("PRAGMA page_count").fetchone()[0]
    book._connection.execute(f"PRAGMA max_page_count = {pages}")
    people = [PersonTag(number.to_bytes(32, "big")) for number in range(500)]
    with pytest.raises(sqlite3.OperationalError):
        list(map(book.count_one, [DAY] * 500, people, [1] * 500))
    book._connection.execute("PRAGMA max_page_count = 1000")
    assert book.count_one(DAY, tag, 1)
    assert book.had(DAY, PersonTag(bytes(32))) == 1
