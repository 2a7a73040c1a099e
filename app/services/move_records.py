"""Everything a store keeps, as one file, and back: how a service moves from one store to another.

The file is JSON lines: a head, a line for each record, and an end with the number and the digest
of each kind. What is sealed in the store stays sealed in the file, under the same root keys. Either
way can be broken off and goes on where it was; the service must not run meanwhile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from cattrs.preconf.json import make_converter

from app.domain.audit import AuditEntry
from app.domain.case import Case, Item
from app.domain.errors import SealBroken
from app.ports import Archive, Record, Remembered, SpendToken
from app.services.house import hashes_place
from partners.events import Event
from partners.model import Attempt, Message, Notice, Partner
from partners.ports import KeyRing

FORMAT = 1
PAGE = 500
KINDS: dict[str, type[Any]] = {
    "partner": Partner,
    "case": Case,
    "item": Item,
    "audit": AuditEntry,
    "event": Event,
    "notice": Notice,
    "message": Message,
    "attempt": Attempt,
    "spent_token": SpendToken,
    "answer": Remembered,
}
_NAMES = {kind: name for name, kind in KINDS.items()}
_MICROSECOND = timedelta(microseconds=1)

_converter = make_converter(detailed_validation=False)
_converter.register_unstructure_hook(timedelta, lambda length: length // _MICROSECOND)
_converter.register_structure_hook(timedelta, lambda count, _: count * _MICROSECOND)

Told = Callable[[str, int], None]
"""Told of progress: the kind, and how many records of it so far."""


class NotAnExport(Exception):
    """The file is none of ours, cut short or altered; the message says which."""


class OtherKeys(Exception):
    """The root keys here did not seal what the file holds."""


@dataclass(slots=True)
class Sum:
    """How many records, and a digest that does not depend on their order."""

    count: int = 0
    digest: str = f"{0:064x}"

    def add(self, line: bytes) -> None:
        """One more record: the sum of all SHA-256, modulo 2**256."""
        more = int.from_bytes(sha256(line).digest(), "big")
        self.count += 1
        self.digest = f"{(int(self.digest, 16) + more) % 2**256:064x}"


@dataclass(slots=True)
class Progress:
    """How far a move has come: bytes of the file that are done, and in an export what is next."""

    offset: int = 0
    kind: str = next(iter(KINDS))
    after: str = ""
    sums: dict[str, Sum] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> Progress:
        """What a move that was broken off left behind, or the beginning."""
        try:
            stored = json.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        sums = {kind: Sum(**found) for kind, found in stored.pop("sums").items()}
        return cls(**stored, sums=sums)

    def keep(self, path: Path) -> None:
        """Write it down, whole or not at all."""
        new = path.with_name(path.name + ".new")
        private = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(private, "w") as notes:
            json.dump(asdict(self), notes)
        new.replace(path)


def export(archive: Archive, path: Path, told: Told) -> dict[str, Sum]:
    """Write every record to `path` (mode 0600); the sums of what was written.

    Raises NotAnExport if the file is not what an export that was broken off left there.
    """
    notes = _notes(path, "export")
    progress = Progress.of(notes)
    progress.keep(notes)  # by this an export that was broken off is known
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        _check_begun(file, progress.offset, f"delete {path.name}, or {notes.name}, or both")
        file.truncate(progress.offset)
        file.seek(progress.offset)
        if not progress.offset:
            file.write(_HEAD)
        names = list(KINDS)
        for name in names[names.index(progress.kind) :]:
            progress.kind = name
            for lines, after in _pages(archive, name, progress.after):
                _write(file, lines, progress.sums.setdefault(name, Sum()))
                progress.after, progress.offset = after, file.tell()
                if after:
                    progress.keep(notes)
                told(name, progress.sums[name].count)
        file.write(_line({"end": {name: asdict(found) for name, found in progress.sums.items()}}))
        _sync(file)
    notes.unlink(missing_ok=True)
    return progress.sums


def restore(archive: Archive, keys: KeyRing, path: Path, told: Told) -> dict[str, Sum]:
    """Put every record of the file into an archive; the sums of the file.

    The whole file is checked first. Raises NotAnExport or OtherKeys before anything is changed.
    """
    with path.open("rb") as file:
        sums = _checked(file, keys)
        notes = _notes(path, "import")
        progress = Progress.of(notes)
        file.seek(progress.offset)
        for records, offset in _batches(file):
            archive.restore(records)
            for record in records:
                found = progress.sums.setdefault(_NAMES[type(record)], Sum())
                found.count += 1
            progress.offset = offset
            progress.keep(notes)
            name = _NAMES[type(records[-1])]
            told(name, progress.sums[name].count)
    notes.unlink(missing_ok=True)
    return sums


def sums_of(archive: Archive) -> dict[str, Sum]:
    """The sums of what is stored, to be compared with those of a file."""
    sums = {name: Sum() for name in KINDS}
    for name, found in sums.items():
        for lines, _ in _pages(archive, name, ""):
            for line in lines:
                found.add(line)
    return sums


def is_begun(path: Path) -> bool:
    """Whether an export to that file was broken off."""
    return _notes(path, "export").exists()


def _check_begun(file: BinaryIO, offset: int, way_out: str) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size < offset or (size and not _HEAD.startswith(file.readline(len(_HEAD)))):
        raise NotAnExport(f"the file is not what an export that was broken off left: {way_out}")


def _notes(path: Path, way: str) -> Path:
    """Where a move keeps its place: an export must not go on where an import was broken off."""
    return path.with_name(f"{path.name}.{way}-progress")


def _pages(archive: Archive, name: str, after: str) -> Iterator[tuple[list[bytes], str]]:
    """The lines of one kind, page by page, each with the cursor of the next ('' at the end)."""
    more = True
    while more:
        records, cursor = archive.records(KINDS[name], after, PAGE)
        after = cursor or ""
        yield [_record_line(name, record) for record in records], after
        more = bool(after)


def _record_line(name: str, record: Record) -> bytes:
    return _line({"kind": name, "record": _converter.unstructure(record)})


def _line(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


_HEAD = _line({"format": FORMAT, "what": "report-remove export"})


def _write(file: BinaryIO, lines: list[bytes], found: Sum) -> None:
    for line in lines:
        file.write(line)
        found.add(line)
    _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _checked(file: BinaryIO, keys: KeyRing) -> dict[str, Sum]:
    """The sums of a whole file that its end agrees with."""
    sums = {name: Sum() for name in KINDS}
    _check_head(file.readline())
    must_open = True
    for line in file:
        value = _parsed(line)
        if "end" in value:
            _compare(sums, value["end"])
            return sums
        name, record = _read(value)
        sums[name].add(line)
        if must_open and isinstance(record, Item) and record.sealed_hashes is not None:
            _check_opens(keys, record, record.sealed_hashes)
            must_open = False
    raise NotAnExport("the file has no end: the export was broken off; run it again first")


def _check_head(line: bytes) -> None:
    head = _parsed(line)
    if head.get("what") != "report-remove export":
        raise NotAnExport("this is no export of report-remove")
    if head.get("format") != FORMAT:
        raise NotAnExport("the export has a format of another version of this program")


def _compare(sums: dict[str, Sum], end: Any) -> None:
    if {name: asdict(found) for name, found in sums.items()} != end:
        raise NotAnExport("the records do not agree with the end of the file: it was altered")


def _check_opens(keys: KeyRing, item: Item, sealed: bytes) -> None:
    try:
        keys.open(hashes_place(item.case_id, item.number), sealed)
    except SealBroken:
        raise OtherKeys(
            "the root keys here are not those of the export: bring them first"
        ) from None


def _batches(file: BinaryIO) -> Iterator[tuple[list[Record], int]]:
    """Records of one kind, at most PAGE, and where in the file they end."""
    batch: list[Record] = []
    offset = file.tell()
    while line := file.readline():
        value = _parsed(line)
        if "kind" not in value:  # the head or the end
            continue
        _, record = _read(value)
        if batch and (type(record) is not type(batch[0]) or len(batch) == PAGE):
            yield batch, offset
            batch = []
        batch.append(record)
        offset = file.tell()
    if batch:
        yield batch, offset


def _read(value: Any) -> tuple[str, Record]:
    try:
        name = value["kind"]
        return name, _converter.structure(value["record"], KINDS[name])
    except Exception:  # noqa: BLE001 - cattrs raises whatever a constructor raises
        raise NotAnExport("a line is no record that this version knows") from None


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotAnExport("a line of the file is cut short or no JSON")
    return value
