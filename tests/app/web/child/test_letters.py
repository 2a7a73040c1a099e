"""What the box may say: the real letters pass unchanged, and nothing else passes at all."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.app.web.running import ROOT

PDQ = {"type": "pdq", "value": "0f" * 32, "variant": "original", "quality": 90}
SHA = {"type": "sha256", "value": "ab" * 32}
MD5 = {"type": "md5", "value": "cd" * 16}
HASHED = {"is": "hashed", "file": 0, "kind": "photo", "hashes": [PDQ, SHA, MD5]}
GOOD: list[Any] = [
    {"is": "ready"},
    {"is": "ended"},
    {"is": "leave"},
    {"is": "too_many"},
    {"is": "begun", "files": 50},
    {"is": "progress", "file": 49, "percent": 100},
    {"is": "refused", "file": 0, "code": "empty_file"},
    HASHED,
    {"is": "hashed", "file": 3, "kind": "video", "hashes": [SHA, MD5]},
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


def with_hashes(*hashes: Any, kind: str = "photo") -> dict[str, Any]:
    return {**HASHED, "kind": kind, "hashes": list(hashes)}


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
    with_hashes(),
    with_hashes(PDQ),
    with_hashes(SHA, MD5),
    with_hashes(PDQ, SHA, MD5, kind="video"),
    with_hashes(PDQ, SHA, SHA),
    with_hashes(PDQ, SHA, MD5, MD5),
    with_hashes(PDQ, PDQ, SHA, MD5),
    with_hashes({**PDQ, "value": "0f" * 31}, SHA, MD5),
    with_hashes({**PDQ, "value": "0f" * 33}, SHA, MD5),
    with_hashes({**PDQ, "value": "0F" * 32}, SHA, MD5),
    with_hashes({**PDQ, "value": "/9j/" * 16}, SHA, MD5),
    with_hashes({**PDQ, "value": ["0f" * 32]}, SHA, MD5),
    with_hashes({**PDQ, "quality": 49}, SHA, MD5),
    with_hashes({**PDQ, "quality": 101}, SHA, MD5),
    with_hashes({**PDQ, "quality": "90"}, SHA, MD5),
    with_hashes({**PDQ, "variant": "A photo of me"}, SHA, MD5),
    with_hashes({**PDQ, "variant": "a" * 41}, SHA, MD5),
    with_hashes({**PDQ, "file": "/9j/4AAQ"}, SHA, MD5),
    with_hashes({**SHA, "variant": "original"}, PDQ, MD5),
    with_hashes({**SHA, "type": "toString"}, PDQ, MD5),
    with_hashes(PDQ, SHA, MD5, *({**PDQ, "variant": f"v{n}"} for n in range(129))),
]  # fmt: skip


def test_the_letters_that_the_box_writes_pass_unchanged() -> None:
    assert read(GOOD)["read"] == GOOD


def test_nothing_else_passes() -> None:
    passed = read(BAD)["read"]
    assert [letter for letter, seen in zip(BAD, passed, strict=True) if seen is not None] == []


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
