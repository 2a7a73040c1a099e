"""The golden vectors say what the Python reference says, and the on-device library agrees."""

import json
import re
from typing import Any

import pytest

from tests.js.device_engines import ROOT, run_node
from tests.vectors import make_pdq


def _vectors() -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads(make_pdq.PATH.read_text())["vectors"]
    return vectors


@pytest.mark.parametrize("vector", _vectors(), ids=lambda vector: vector["name"])
def test_the_reference_says_what_the_vector_says(vector: dict[str, Any]) -> None:
    answer = make_pdq.reference_of(make_pdq.pixels_of(vector))
    assert answer == {key: vector[key] for key in answer}
    assert ("dihedral" in vector) == ("dihedral" in answer)


def test_node_says_what_every_vector_says() -> None:
    assert run_node("check_pdq_vectors.mjs") == {"checked": len(_vectors()), "wrong": []}


def test_the_page_names_every_module_and_every_refusal() -> None:
    page = (ROOT / "docs" / "DEVICE.md").read_text()
    modules = {path.name for path in (ROOT / "hashing" / "device").glob("*.js")}
    codes = set(run_node("refusal_sentences.mjs"))
    named = set(re.findall(r"^\| `([a-z0-9_]+(?:\.js)?)` \|", page, re.MULTILINE))
    assert named == modules | codes
