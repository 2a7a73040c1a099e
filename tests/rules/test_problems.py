"""Every code is written down once for people, and every error is answered with one of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from io import StringIO
from types import ModuleType
from typing import Any

import pytest
from flask import Flask, Response

import app.domain.errors
import hashing.errors
import partners.errors
from app.domain.errors import AgeRefused
from app.web.application import create_app
from app.web.problems import KINDS
from tests.app.web.running import ROOT, in_process

# Nobody outside meets these: an operator does at the command line, the worker does, or, if they
# should come up in a request after all, the answer is `internal` and the log says where.
INTERNAL = {
    # a whole tree
    "refused", "case-refused", "partner-error", "partner-refused", "hash-error",
    # at rest
    "seal-broken", "hash-packing-invalid",
    # between our own processes
    "queue-unavailable",
    # hashes are read by their shape, which says `body-invalid`; files only on the device
    "hash-invalid", "hash-entry-invalid", "file-unreadable", "image-unreadable",
    "image-too-large", "denylist-invalid",
    # taking platforms on, and telling them
    "message-transition", "endpoint-refused", "endpoint-address-unsafe", "signature-refused",
    "partner-keys-refused", "seal-refused", "enrolment-refused", "registration-refused",
    "library-unsuitable",
}  # fmt: skip
TREES = (app.domain.errors, partners.errors, hashing.errors)


def errors(module: ModuleType) -> list[type[Exception]]:
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Exception)
        and value.__module__ == module.__name__
    ]


def made(kind: type[Exception]) -> Exception:
    return kind("reason") if kind is AgeRefused else kind()


ALL: list[type[Any]] = [kind for module in TREES for kind in errors(module)]


def test_the_page_lists_exactly_the_codes() -> None:
    text = (ROOT / "docs/PROBLEMS.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    told = {code: (int(status), title, advice) for code, status, title, advice in rows}
    assert told == {code: (k.status, k.title, k.advice) for code, k in KINDS.items()}


def test_every_error_has_a_code_for_everybody_or_is_internal() -> None:
    codes = {kind.code for kind in ALL}
    assert codes <= KINDS.keys() | INTERNAL
    assert not INTERNAL & KINDS.keys()
    assert codes >= INTERNAL, "an error that is no more"


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in ALL]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("module", TREES, ids=lambda module: module.__name__)
def test_the_tree_in_the_docstring_is_the_tree(module: ModuleType) -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", module.__doc__ or ""))
    kinds = {kind.__name__ for kind in errors(module)}
    roots = {kind.__name__ for kind in errors(module) if kind.__base__ is Exception}
    assert drawn == kinds - roots


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, StringIO]]:
    with in_process(tmp_path_factory.mktemp("service")) as (runtime, log):
        yield create_app(runtime.context), log


def answered(service: tuple[Flask, StringIO], fault: Exception) -> tuple[Response, str]:
    """The answer to a request that ended in this, and what was logged of it."""
    app, log = service
    log.seek(0)
    log.truncate()
    with app.test_request_context("/v1/platforms"):
        return app.make_response(app.handle_user_exception(fault)), log.getvalue()


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_is_answered(service: tuple[Flask, StringIO], kind: type[Any]) -> None:
    answer, logged = answered(service, made(kind))
    code = kind.code if kind.code in KINDS else "internal"
    assert answer.get_json()["code"] == code
    assert answer.status_code == KINDS[code].status
    # Ours to repair, and so logged: that it happened.
    assert (kind.__name__ in logged) == (answer.status_code >= 500)


def test_nothing_of_an_unforeseen_error_is_told_or_logged(
    service: tuple[Flask, StringIO],
) -> None:
    answer, logged = answered(service, ValueError("a-value-that-nobody-may-read"))
    assert answer.get_json()["code"] == "internal"
    assert "ValueError" in logged
    assert "a-value-that" not in logged + answer.get_data(as_text=True)
