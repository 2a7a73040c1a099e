"""An export holds everything, and an import makes the same of it, broken off or not."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from app.adapters.file_keys import FileKeyRing, create_root_key
from app.adapters.sqlite.store import SqliteStore
from app.cli.main import main
from app.ports import PutItem, Record, Store
from app.services import move_records
from app.services.house import hashes_place
from app.services.move_records import (
    KINDS,
    NotAnExport,
    OtherKeys,
    Progress,
    export,
    restore,
    sums_of,
)
from tests.contract.test_archive import everything, fill


def silent(kind: str, count: int) -> None:
    """Told of progress, says nothing."""


@pytest.fixture
def keys(tmp_path: Path) -> FileKeyRing:
    create_root_key(tmp_path / "root.key")
    return FileKeyRing(tmp_path / "root.key")


@pytest.fixture
def old(tmp_path: Path, keys: FileKeyRing) -> Iterator[Store]:
    store = SqliteStore(tmp_path / "old.db")
    for _ in range(40):
        fill(store)
    # The samples are sealed by nobody: the first item by name is sealed by these keys.
    for item in everything(store)["item"]:
        sealed = keys.seal(hashes_place(item.case_id, item.number), b"hashes")
        store.commit(PutItem(_with(item, sealed)))
    yield store
    store.close()


def _with(item: Any, sealed: bytes) -> Any:
    return replace(item, sealed_hashes=sealed)


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Store]:
    store = SqliteStore(tmp_path / "new.db")
    yield store
    store.close()


def test_what_is_imported_is_what_was_exported(
    old: Store, new: Store, keys: FileKeyRing, tmp_path: Path
) -> None:
    file = tmp_path / "all.jsonl"
    sums = export(old, file, silent)
    assert {name: found.count for name, found in sums.items()} == {
        name: len(records) for name, records in everything(old).items()
    }
    assert restore(new, keys, file, silent) == sums == sums_of(new) == sums_of(old)
    assert not list(tmp_path.glob("*-progress"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_sums_notice_one_changed_record(old: Store, new: Store) -> None:
    records = [record for page in everything(old).values() for record in page]
    new.restore(records[:-1])
    assert sums_of(new) != sums_of(old)


class Breaking:
    """An archive that gives out after a number of pages."""

    def __init__(self, store: Store, pages: int) -> None:
        self._store, self._pages = store, pages

    def records(self, kind: type[Any], after: str, limit: int) -> tuple[list[Any], str | None]:
        """One page more, or the end."""
        self._tick()
        return self._store.records(kind, after, limit)

    def restore(self, records: Sequence[Record]) -> None:
        """One page more, or the end."""
        self._tick()
        self._store.restore(records)

    def _tick(self) -> None:
        self._pages -= 1
        if self._pages < 0:
            raise ConnectionError


@pytest.mark.parametrize("pages", range(0, 27, 3))
def test_what_was_broken_off_goes_on(
    old: Store,
    new: Store,
    keys: FileKeyRing,
    tmp_path: Path,
    pages: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(move_records, "PAGE", 30)
    file = tmp_path / "all.jsonl"
    with pytest.raises(ConnectionError):
        export(Breaking(old, pages), file, silent)
    with file.open("ab") as torn:
        torn.write(b'{"kind": "ca')  # what a dying process may leave
    sums = export(old, file, silent)
    assert sums == sums_of(old)
    with pytest.raises(ConnectionError):
        restore(Breaking(new, pages), keys, file, silent)
    restore(new, keys, file, silent)
    assert sums_of(new) == sums


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: "", "no JSON"),
        (lambda text: "hello\n", "no JSON"),
        (lambda text: "[1]\n", "no JSON"),
        (lambda text: "{}\n", "no export"),
        (lambda text: text.replace('"format":1', '"format":2'), "another version"),
        (lambda text: text[: text.rindex('{"end"')], "no end"),
        (lambda text: text[:-40], "no JSON"),
        (lambda text: text.replace("verified_estimate", "declared", 1), "altered"),
        (lambda text: text.replace("verified_estimate", "nonsense", 1), "no record"),
        (lambda text: text.replace('{"kind":"case"', '{"kind":"cake"', 1), "no record"),
        (lambda text: "".join([*text.splitlines(keepends=True)[:3], text.splitlines()[-1]]), "alt"),
    ],
)
def test_a_spoilt_file_changes_nothing(
    old: Store, new: Store, keys: FileKeyRing, tmp_path: Path, spoil: Any, said: str
) -> None:
    file = tmp_path / "all.jsonl"
    export(old, file, silent)
    file.write_text(spoil(file.read_text()))
    with pytest.raises(NotAnExport, match=said):
        restore(new, keys, file, silent)
    assert not any(everything(new).values())


def test_other_root_keys_change_nothing(old: Store, new: Store, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    export(old, file, silent)
    create_root_key(tmp_path / "other.key")
    with pytest.raises(OtherKeys):
        restore(new, FileKeyRing(tmp_path / "other.key"), file, silent)
    assert not any(everything(new).values())


def test_an_export_broken_off_at_its_first_record_goes_on_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = _begun(tmp_path / "data")
    file = tmp_path / "all.jsonl"
    with monkeypatch.context() as broken:
        broken.setattr(move_records, "_write", _break)
        assert CliRunner().invoke(main, ["export", str(file)], env=env).exit_code != 0
    assert stat.S_IMODE((tmp_path / "all.jsonl.export-progress").stat().st_mode) == 0o600
    assert CliRunner().invoke(main, ["export", str(file)], env=env).exit_code == 0


@pytest.mark.parametrize(
    ("offset", "text"), [(0, "shopping list\n"), (500, ""), (500, '{"format":1}\n')]
)
def test_what_no_broken_export_left_is_neither_believed_nor_overwritten(
    tmp_path: Path, offset: int, text: str
) -> None:
    env = _begun(tmp_path / "data")
    file = tmp_path / "all.jsonl"
    file.write_text(text)
    Progress(offset).keep(tmp_path / "all.jsonl.export-progress")
    done = CliRunner().invoke(main, ["export", str(file)], env=env)
    assert done.exit_code == 4
    assert "delete all.jsonl" in done.stderr
    assert file.read_text() == text


def _begun(folder: Path) -> dict[str, str]:
    """The environment of a new service: an export would not begin one."""
    env = {"REPORT_REMOVE_DATA_DIR": str(folder)}
    assert CliRunner().invoke(main, ["partner", "add", "Picnic"], env=env).exit_code == 0
    return env


def _break(*_: Any) -> None:
    raise ConnectionError


def test_every_kind_has_a_name() -> None:
    assert set(get_args(Record)) == set(KINDS.values())


def test_the_command_line_moves_a_service(tmp_path: Path) -> None:
    def run(folder: str, *words: str) -> Any:
        env = {"REPORT_REMOVE_DATA_DIR": str(tmp_path / folder)}
        return CliRunner().invoke(main, words, env=env)

    run("old", "partner", "add", "Picnic", "--json")
    file = str(tmp_path / "all.jsonl")
    written = run("old", "export", file, "--json")
    assert json.loads(written.stdout)["partner"]["count"] == 1
    assert run("old", "export", file).exit_code == 1  # it is there already
    (tmp_path / "new").mkdir(mode=0o700)
    (tmp_path / "new" / "root.key").write_bytes((tmp_path / "old" / "root.key").read_bytes())
    (tmp_path / "new" / "root.key").chmod(0o600)
    assert run("new", "import", file).exit_code == 0
    listed = [run(folder, "partner", "list", "--json").stdout for folder in ("old", "new")]
    assert listed[0] == listed[1] != "[]\n"
    run("new", "partner", "add", "Postcard")
    merged = run("new", "import", file, "--json")
    assert (merged.exit_code, "partner" in merged.stderr) == (1, True)
