"""The golden vectors say what the Python reference says, and the on-device library agrees."""

import json
from typing import Any

import pytest

from tests.js.device_engines import run_node
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
