"""The on-device MD5 and SHA-256 equal the C library's, however the bytes arrive."""

import hashlib
import json
import random
from pathlib import Path

import pytest

from tests.js.device_engines import ROOT, run_node


def digests_of(data: bytes) -> dict[str, str]:
    weak = hashlib.md5(data, usedforsecurity=False)
    return {"md5": weak.hexdigest(), "sha256": hashlib.sha256(data).hexdigest()}


def test_every_short_length_every_cut_and_a_blob(tmp_path: Path) -> None:
    data = random.Random(4).randbytes((2 << 20) + 12_345)
    file = tmp_path / "data"
    file.write_bytes(data)
    report = run_node("digest_file.mjs", file)
    assert report["short"] == [digests_of(data[:length]) for length in range(201)]
    assert report["pieces"] == report["whole"] == digests_of(data)
    assert report["progress"] == sorted(report["progress"])
    assert report["progress"][-1] == 1


def test_python_and_node_say_what_the_vectors_say() -> None:
    path = ROOT / "tests" / "vectors" / "digests.json"
    vectors = json.loads(path.read_text())["vectors"]
    for vector in vectors:
        want = digests_of(vector["text"].encode() * vector["times"])
        assert want == {name: vector[name] for name in want}
    report = run_node("check_digest_vectors.mjs")
    assert report == {"checked": len(vectors), "wrong": []}


@pytest.mark.slow
def test_half_a_gibibyte_and_a_stop_on_the_way() -> None:
    report = run_node("digest_long.mjs")
    assert report["digests"] == digests_of(bytes([7]) * (513 << 20))
    assert report["stopped"] == "enough"
    assert report["heard"] < 0.02
