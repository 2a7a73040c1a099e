"""No route without its access rule, and none that takes a picture, a form or a foreign type."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from app.bootstrap import Runtime
from app.web import access, health, problems
from app.web.access import Access
from app.web.application import create_app
from app.web.shapes import StrictBlueprint
from tests.app.web.running import ROOT, in_process


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with in_process(tmp_path_factory.mktemp("service")) as (made, _):
        yield made


@pytest.fixture(scope="module")
def app(runtime: Runtime) -> Flask:
    return create_app(runtime.context)


@pytest.fixture(scope="module")
def key(runtime: Runtime) -> dict[str, str]:
    add = runtime.services.manage_partners.add
    made = add("Alpha", None, "v1a", "none", None, takes_location=False)
    return {"Authorization": f"Bearer {made['api_key']}"}


def address(rule: Rule) -> str:
    """The rule with something in each of its places."""
    _, built = rule.build({name: _something(rule, name) for name in rule.arguments}) or ("", "")
    return built


def _something(rule: Rule, name: str) -> str:
    """A value that the place takes: one of its choices, if it has some."""
    choices: set[str] = getattr(rule._converters[name], "items", {"docs.css"})
    return min(choices)


# ---- who may call --------------------------------------------------------------------------------


def test_every_view_names_its_rule_where_it_is_enforced(app: Flask) -> None:
    for endpoint, view in app.view_functions.items():
        rule = access.rule_of(view)
        assert isinstance(rule, Access), endpoint
        assert view.__dict__["access"] is rule, f"{endpoint} hides its rule from the guard"


def test_a_view_without_a_rule_is_not_served(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = StrictBlueprint("bare", __name__)
    bare.route("/bare")(bare.response(204)(_bare))
    monkeypatch.setattr(health, "blueprint", bare)
    with pytest.raises(RuntimeError, match=r"rule: bare\._bare$"):
        create_app(runtime.context)


def _bare() -> dict[str, str]:
    return {"secret": "everybody may read this"}


def test_every_partner_route_refuses_without_a_key_whatever_the_method(app: Flask) -> None:
    client, seen = app.test_client(), 0
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("partner."):
            assert access.rule_of(app.view_functions[rule.endpoint]) is Access.PARTNER
            for method in rule.methods or set():
                body = b"{}" if method == "POST" else None
                answer = client.open(
                    address(rule),
                    method=method,
                    data=body,
                    content_type="application/json" if body else None,
                )
                assert answer.status_code == 401, (rule, method)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                seen += 1
    assert seen >= 10


# ---- what is taken -------------------------------------------------------------------------------

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"a-mark-nobody-else-writes" * 4
FORM = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f.bin"\r\n\r\nx\r\n--b--\r\n'
SENT: list[tuple[str, bytes]] = [
    ("multipart/form-data; boundary=b", FORM),
    ("multipart/mixed; boundary=b", FORM),
    ("multipart/related; boundary=b", FORM),
    ("application/x-www-form-urlencoded", b"case_key=ab&item=1"),
    ("image/jpeg", JPEG),
    ("image/png", b"\x89PNG\r\n\x1a\n" + JPEG),
    ("video/mp4", b"\0\0\0\x20ftypisom" + JPEG),
    ("application/octet-stream", JPEG),
    ("application/json", JPEG),
    ("application/zip", b"PK\x03\x04" + JPEG),
    ("application/x-tar", b"x" * 257 + b"ustar"),
    ("text/plain", b"hello"),
    ("text/html", b"<p>hello"),
    ("application/xml", b"<a/>"),
    ("application/cbor", b"\xa1\x61\x61\x01"),
    ("application/jsonlines", b"{}\n{}\n"),
    ("application/vnd.unknown+json", b"{}"),
    ("application/json-seq", b"\x1e{}\n"),
    ("", b"{}"),
    ("not a type", b"{}"),
]
WRITING = ("POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize(("content_type", "body"), SENT)
def test_no_route_takes_a_file_a_form_or_an_unknown_type(
    app: Flask, key: dict[str, str], content_type: str, body: bytes
) -> None:
    for answer, rule, method in _answers(app.test_client(), app, key, content_type, body):
        expected = (415,) if method == "POST" and "POST" in (rule.methods or ()) else (400, 405)
        assert answer.status_code in expected, (rule, method, answer.get_data())
        assert answer.content_type == "application/problem+json"
        assert b"a-mark" not in answer.get_data()


def test_the_walk_would_find_a_route_that_takes_one(app: Flask, key: dict[str, str]) -> None:
    """The same walk over a view that reads whatever comes: it must not look refused."""
    careless = Flask("careless")
    careless.add_url_rule("/upload", view_func=lambda: "thanks", methods=["POST"])
    walked = list(_answers(careless.test_client(), careless, key, *SENT[0]))
    assert [a.status_code for a, rule, m in walked if str(rule) == "/upload" and m == "POST"] == [
        200
    ]


def _answers(
    client: FlaskClient, app: Flask, key: dict[str, str], content_type: str, body: bytes
) -> Iterator[tuple[Any, Rule, str]]:
    for rule in app.url_map.iter_rules():
        for method in (*WRITING, "GET"):
            answer = client.open(
                address(rule), method=method, data=body, content_type=content_type, headers=key
            )
            yield answer, rule, method


# Whatever parses a form or a file, or reads a body past the guard in app/web/bodies.py.
READERS = {"files", "form", "values", "stream", "input_stream", "get_data", "data"}
READS_BODIES = {"app/web/bodies.py", "app/web/shapes.py"}


def body_reads(source: str) -> set[str]:
    """The attributes of `request` (by whatever name of Flask's) that read a body."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr in READERS
        and isinstance(node.value, ast.Name)
        and node.value.id in {"request", "req"}
    }


@pytest.mark.parametrize("path", sorted((ROOT / "app").rglob("*.py")), ids=str)
def test_bodies_are_read_in_one_place(path: Path) -> None:
    found = body_reads(path.read_text())
    allowed = {"get_data"} if str(path.relative_to(ROOT)) in READS_BODIES else set()
    assert found <= allowed
    assert "wsgi.input" not in path.read_text()


def test_the_rule_on_reading_would_notice() -> None:
    assert body_reads("def view(): return request.files['photo'].read()") == {"files"}
    assert body_reads("x = request.form.get('a') or request.stream.read()") == {"form", "stream"}


def test_every_code_that_a_view_names_exists(app: Flask) -> None:
    for endpoint, view in app.view_functions.items():
        assert set(view.__dict__.get("refuses", ())) <= problems.KINDS.keys(), endpoint
