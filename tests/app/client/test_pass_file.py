"""Passes kept in a file: each is used once, the past ones go, and nobody else can read it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.client.pass_file import Pass, PassFile
from app.client.privacy_pass import NoPass, Why

DAY = 86_400
NOW = 20_000.5 * DAY
TOKENS = [bytes([number]) * 354 for number in (1, 2, 3)]


@pytest.fixture
def kept(tmp_path: Path) -> PassFile:
    return PassFile(tmp_path / "passes")


def test_each_is_taken_once(kept: PassFile) -> None:
    assert kept.add(TOKENS, NOW) == 3
    assert [kept.take(NOW).token for _ in TOKENS] == TOKENS
    with pytest.raises(NoPass) as refused:
        kept.take(NOW)
    assert refused.value.why is Why.NONE_LEFT


def test_one_that_was_not_used_is_there_again(kept: PassFile) -> None:
    kept.add(TOKENS[:1], NOW)
    taken = kept.take(NOW)
    kept.put_back(taken, NOW + DAY)
    assert kept.take(NOW + DAY) == taken == Pass(20_000, TOKENS[0])


@pytest.mark.parametrize(("days", "counts"), [(0, True), (1, True), (2, False), (-2, False)])
def test_a_pass_counts_on_its_day_and_the_day_after(
    kept: PassFile, days: int, counts: bool
) -> None:
    kept.add(TOKENS[:1], NOW)
    assert (kept.add([], NOW + days * DAY) == 1) is counts


def test_only_its_owner_can_read_it(kept: PassFile) -> None:
    kept.add(TOKENS, NOW)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600


def test_many_at_once_never_take_the_same(kept: PassFile) -> None:
    many = [number.to_bytes(2, "big") * 177 for number in range(40)]
    kept.add(many, NOW)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: kept.take(NOW).token, many))
    assert sorted(taken) == sorted(many)


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"passes": 3}', '{"passes": [{"day": "x", "token": ""}]}', '{"passes": [7]}',
     '{"passes": [{"day": 1, "token": "AAAA"}]}', "\0" * 9],
)  # fmt: skip
def test_a_file_that_is_none_is_left_as_it_was(kept: PassFile, content: str) -> None:
    kept.path.write_text(content)
    with pytest.raises(NoPass) as refused:
        kept.add(TOKENS, NOW)
    assert refused.value.why is Why.FILE
    assert kept.path.read_text() == content


def test_a_link_is_not_followed(kept: PassFile, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("")
    kept.path.symlink_to(other)
    with pytest.raises(NoPass):
        kept.add(TOKENS, NOW)
    assert other.read_text() == ""


def test_a_pass_is_not_written_down() -> None:
    assert "token" not in repr(Pass(1, TOKENS[0]))
