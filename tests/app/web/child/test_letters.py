"""What the box may say: the real letters pass unchanged, and nothing else passes at all."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.settings import Settings
from tests.app.web.running import ROOT

PDQ = {"quality": 90, "value": "0f" * 32}
SHA, MD5 = "ab" * 32, "cd" * 16
PHOTO = {"pdq": {"original": PDQ}, "sha256": SHA, "md5": MD5}
FRAME = f"30,90,{'0f' * 32},1.001"
VIDEO = {"vpdq": [FRAME], "sha256": SHA, "md5": MD5}
HASHED = {"is": "hashed", "file": 0, "kind": "photo", "hashes": PHOTO}
GOOD: list[Any] = [
    {"is": "ready"},
    {"is": "ended"},
    {"is": "leave"},
    {"is": "too_many"},
    {"is": "begun", "files": 50},
    {"is": "progress", "file": 49, "percent": 100},
    {"is": "refused", "file": 0, "code": "empty_file"},
    HASHED,
    {**HASHED, "hashes": {**PHOTO, "pdq": {"original": PDQ, "flipy": PDQ, "constructor": PDQ}}},
    {**HASHED, "hashes": {**PHOTO, "pdq-512": {"original": PDQ}}},
    {"is": "hashed", "file": 3, "kind": "video", "hashes": {"sha256": SHA, "md5": MD5}},
    {"is": "hashed", "file": 3, "kind": "video", "hashes": {**VIDEO, "vpdq": [FRAME] * 129}},
]


def read(letters: list[Any]) -> dict[str, Any]:
    done = subprocess.run(
        ["node", str(ROOT / "tests/js/letters.mjs")],
        input=json.dumps(letters),
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def photo(**hashes: Any) -> dict[str, Any]:
    return {**HASHED, "hashes": {**PHOTO, **hashes}}


def copy(name: str = "original", **parts: Any) -> dict[str, Any]:
    return photo(pdq={name: {**PDQ, **parts}})


def video(**hashes: Any) -> dict[str, Any]:
    return {**HASHED, "kind": "video", "hashes": {**VIDEO, **hashes}}


def without(letter: dict[str, Any], name: str) -> dict[str, Any]:
    return {**letter, "hashes": {k: v for k, v in letter["hashes"].items() if k != name}}


BAD: list[Any] = [
    None, 1, "ready", [], {}, [GOOD[0]],
    {"is": "unknown"},
    {"is": "constructor"},
    {"is": ["ready"]},
    {"is": "ready", "note": "x"},
    {"is": "begun", "files": 0},
    {"is": "begun", "files": 51},
    {"is": "begun", "files": 1.5},
    {"is": "begun", "files": "1"},
    {"is": "progress", "file": 0, "percent": 101},
    {"is": "progress", "file": 0, "percent": 33.333},
    {"is": "progress", "file": 0},
    {"is": "refused", "file": 0, "code": "my photo shows"},
    {"is": "refused", "file": 0, "code": "empty_file", "name": "beach.jpg"},
    {**HASHED, "file": 50},
    {**HASHED, "kind": "picture"},
    {**HASHED, "name": "beach.jpg"},
    {**HASHED, "hashes": []},
    {**HASHED, "hashes": {}},
    {**HASHED, "hashes": None},
    without(HASHED, "pdq"), without(HASHED, "sha256"), without(HASHED, "md5"),
    without(video(), "sha256"), without(video(), "md5"),
    video(pdq={"original": PDQ}),
    video(vpdq=[]), video(vpdq=FRAME), video(vpdq=[FRAME + "\n"]), video(vpdq=[1]),
    video(vpdq=[[FRAME]]), video(vpdq=[FRAME.upper()]), video(vpdq=[FRAME.replace("90", "49")]),
    video(vpdq=[FRAME + ",/9j/4AAQ"]), video(vpdq=[FRAME] * 130), video(vpdq={"0": FRAME}),
    photo(vpdq=[FRAME]), photo(thumbnail="/9j/4AAQ"), photo(toString=SHA),
    photo(pdq={}), photo(pdq=[PDQ]), photo(pdq={"flipy": PDQ}), photo(pdq={"original": None}),
    photo(sha256=[SHA]), photo(sha256=SHA[:-1]), photo(md5=SHA), photo(md5=MD5.upper()),
    photo(**{"pdq-512": {}}), photo(**{"pdq-512": SHA}),
    copy(value="0f" * 31), copy(value="0f" * 33), copy(value="0F" * 32),
    copy(value="/9j/" * 16), copy(value=["0f" * 32]),
    copy(quality=49), copy(quality=101), copy(quality="90"), copy(file="/9j/4AAQ"),
    photo(pdq={"original": PDQ, "A photo of me": PDQ}),
    photo(pdq={"original": PDQ, "a" * 41: PDQ}),
    photo(pdq={"original": PDQ} | {f"v{n}": PDQ for n in range(129)}),
]  # fmt: skip


def test_the_letters_that_the_box_writes_pass_unchanged() -> None:
    assert read(GOOD)["read"] == GOOD


def test_nothing_else_passes() -> None:
    passed = read(BAD)["read"]
    assert [letter for letter, seen in zip(BAD, passed, strict=True) if seen is not None] == []


def test_a_report_of_any_size_keeps_to_120_bytes_a_hash_and_to_one_body() -> None:
    """Its headers are counted in tests/journeys/browser/test_proof.py: fewer than 1,200 bytes."""
    done = subprocess.run(
        ["node", str(ROOT / "tests/js/report_sizes.mjs")],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    rows = json.loads(done.stdout)
    assert {row["files"] for row in rows} >= {1, 50}
    assert max(row["hashes"] for row in rows) == 50 * 128
    assert [row for row in rows if row["bytes"] + 1200 > 2000 + 120 * row["hashes"]] == []
    assert max(row["bytes"] for row in rows) <= Settings.from_env({}).max_body_bytes


def test_the_codes_are_those_of_the_library() -> None:
    source = (ROOT / "hashing/device/refusals.js").read_text().split("SENTENCES")[1]
    codes = re.findall(r"^  ([a-z_]+):", source.split("});")[0], re.MULTILINE)
    assert sorted(read([])["codes"]) == sorted(codes)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(GOOD), st.text(), JSON), min_size=20, max_size=60))
def test_a_letter_with_anything_more_does_not_pass(made: list[tuple[Any, str, Any]]) -> None:
    letters = [{**good, name: value} for good, name, value in made if name not in good]
    assert read(letters)["read"] == [None] * len(letters)
