"""The root-key file: private or refused, rotated without losing a row."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from app.adapters import file_keys
from app.adapters.derived_keys import RootKeys
from app.adapters.file_keys import (
    FileKeyRing,
    KeyFileRefused,
    add_root_key,
    create_root_key,
)
from app.domain.errors import SealBroken
from partners.ports import Place, Purpose

PLACE = Place("items", "sealed_hashes", "case_a/1")
ROOT = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
HEAD = "report-remove-keys 1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "root-keys"


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def test_a_new_file_is_private_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        create_root_key(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    FileKeyRing(path)


def test_a_file_that_is_there_is_never_replaced(path: Path) -> None:
    create_root_key(path)
    before = path.read_text()
    with pytest.raises(FileExistsError):
        create_root_key(path)
    assert path.read_text() == before


def test_two_files_share_nothing(tmp_path: Path) -> None:
    rings = []
    for name in ("one", "two"):
        create_root_key(tmp_path / name)
        rings.append(FileKeyRing(tmp_path / name))
    with pytest.raises(SealBroken):
        rings[1].open(PLACE, rings[0].seal(PLACE, b"x"))
    assert rings[0].tag(Purpose.CASE_KEY, b"x") != rings[1].tag(Purpose.CASE_KEY, b"x")


def test_it_opens_again_after_a_restart(path: Path) -> None:
    create_root_key(path)
    sealed = FileKeyRing(path).seal(PLACE, b"x")
    assert FileKeyRing(path).open(PLACE, sealed) == b"x"


def test_a_rotation_keeps_old_values_and_every_tag(path: Path) -> None:
    create_root_key(path)
    old = FileKeyRing(path)
    sealed = old.seal(PLACE, b"x")
    assert add_root_key(path) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    new = FileKeyRing(path)
    assert new.open(PLACE, sealed) == b"x"
    assert {new.tag(purpose, b"x") == old.tag(purpose, b"x") for purpose in Purpose} == {True}
    resealed = new.seal(PLACE, b"x")
    assert (sealed[1:3], resealed[1:3]) == (b"\x00\x01", b"\x00\x02")
    with pytest.raises(SealBroken):
        old.open(PLACE, resealed)


def test_of_two_rotations_at_once_one_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise both would make key 2, and what the first one's had sealed would be lost."""
    create_root_key(path)
    read, refused = file_keys._read_private, []

    def meanwhile(asked: Path) -> str:
        if len(list(path.parent.iterdir())) == 1:
            return read(asked)
        monkeypatch.setattr(file_keys, "_read_private", read)
        with pytest.raises(KeyFileRefused) as told:
            add_root_key(path)
        refused.append(str(told.value))
        return read(asked)

    monkeypatch.setattr(file_keys, "_read_private", meanwhile)
    assert add_root_key(path) == 2
    assert "a rotation goes on" in refused[0]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_rotation_that_fails_leaves_nothing_behind(path: Path) -> None:
    _write(path, "report-remove-keys 2\n")
    with pytest.raises(KeyFileRefused, match="line 1"):
        add_root_key(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_value_relabelled_as_another_keys_does_not_open(path: Path) -> None:
    create_root_key(path)
    add_root_key(path)
    ring = FileKeyRing(path)
    sealed = ring.seal(PLACE, b"x")
    with pytest.raises(SealBroken):
        ring.open(PLACE, sealed[:1] + b"\x00\x01" + sealed[3:])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644, 0o601, 0o777])
def test_a_file_that_others_may_touch_is_refused(path: Path, mode: int) -> None:
    create_root_key(path)
    path.chmod(mode)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        FileKeyRing(path)
    with pytest.raises(KeyFileRefused):
        add_root_key(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    create_root_key(path)
    os.chown(path, 65534, 65534)
    with pytest.raises(KeyFileRefused, match="another user"):
        FileKeyRing(path)


def test_a_missing_file_or_a_folder_is_refused(path: Path) -> None:
    with pytest.raises(KeyFileRefused, match="No such file"):
        FileKeyRing(path)
    path.mkdir(0o700)
    with pytest.raises(KeyFileRefused):
        FileKeyRing(path)


def test_a_pipe_is_refused_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(KeyFileRefused, match="regular"):
        FileKeyRing(path)


def test_comments_and_empty_lines_mean_nothing(path: Path) -> None:
    _write(path, f"{HEAD}\n\n# made on a Sunday\ntag {ROOT}\n  key 7 {ROOT}  \n\n")
    assert FileKeyRing(path).seal(PLACE, b"x")[1:3] == b"\x00\x07"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1 "),
        ("report-remove-keys 2\n", "line 1 "),
        (f"tag {ROOT}\nkey 1 {ROOT}\n", "line 1 "),
        (f"{HEAD}\ntag {ROOT}\n", "lacks"),
        (f"{HEAD}\nkey 1 {ROOT}\n", "lacks"),
        (f"{HEAD}\ntag {ROOT}\ntag {ROOT}\nkey 1 {ROOT}\n", "line 3 "),
        (f"{HEAD}\ntag {ROOT}\nkey 1 {ROOT}\nkey 1 {ROOT}\n", "line 4 "),
        (f"{HEAD}\ntag {ROOT}\nkey 0 {ROOT}\n", "line 3 "),
        (f"{HEAD}\ntag {ROOT}\nkey 65536 {ROOT}\n", "line 3 "),
        (f"{HEAD}\ntag {ROOT}\nkey -1 {ROOT}\n", "line 3 "),
        (f"{HEAD}\ntag {ROOT}\nkey ١ {ROOT}\n", "line 3 "),
        (f"{HEAD}\ntag {ROOT}\nkey {ROOT}\n", "line 3 "),
        (f"{HEAD}\ntag {ROOT}\nkey 1 {ROOT[:-4]}\n", "line 3 "),
        (f"{HEAD}\ntag {ROOT[:-4]}=\nkey 1 {ROOT}\n", "line 2 "),
        (f"{HEAD}\ntag {'!' * 44}\nkey 1 {ROOT}\n", "line 2 "),
        (f"{HEAD}\ntag é\nkey 1 {ROOT}\n", "line 2 "),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(path: Path, text: str, where: str) -> None:
    _write(path, text)
    with pytest.raises(KeyFileRefused, match=where) as refused:
        FileKeyRing(path)
    assert ROOT[:8] not in str(refused.value)


def test_bytes_that_are_no_text_are_refused(path: Path) -> None:
    path.write_bytes(os.urandom(5000))
    path.chmod(0o600)
    with pytest.raises(KeyFileRefused):
        FileKeyRing(path)


def test_keys_do_not_print() -> None:
    assert "secret" not in repr(RootKeys(b"secret", {1: b"secret"}))
