"""The document is a valid one, says what is so, and the page shows all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest
import schemathesis.openapi
from flask import Flask
from schemathesis.core.errors import InvalidSchema

from app.web.application import create_app
from app.web.openapi import PAGE_POLICY
from app.web.problems import KINDS
from partners.events import EventType
from tests.app.web.running import in_process

PUBLIC = "https://remove.example"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("app")
    chosen = {"PUBLIC_URL": PUBLIC, "MAX_HASHES_PER_ITEM": "64", "MAX_ITEMS_PER_CASE": "20"}
    with in_process(folder, **chosen) as (runtime, _):
        yield create_app(runtime.context)


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return found


@pytest.fixture(scope="module")
def page(app: Flask) -> str:
    return app.test_client().get("/docs").get_data(as_text=True)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


# ---- the document --------------------------------------------------------------------------------


def test_whoever_is_to_ask_again_is_told_when(document: dict[str, Any]) -> None:
    answers = [
        answer
        for _, _, operation in operations(document)
        for status, answer in operation["responses"].items()
        if status in ("429", "503")
    ]
    assert len(answers) > 10
    for answer in answers:
        assert answer["headers"]["Retry-After"]["required"] is True


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()
    for shape in document["components"]["schemas"].values():
        jsonschema_rs.Draft202012Validator(shape | {"components": document["components"]})


def test_the_validator_would_notice(document: dict[str, Any]) -> None:
    operation = {**document["paths"]["/healthz"]["get"], "responses": {"200": {"content": 5}}}
    broken = {**document, "paths": {"/healthz": {"get": operation}}}
    with pytest.raises((InvalidSchema, jsonschema_rs.ValidationError)):
        schemathesis.openapi.from_dict(broken).validate()


def test_its_routes_are_the_routes(app: Flask, document: dict[str, Any]) -> None:
    served = {
        (re.sub(r"<(\w+)>", r"{\1}", str(rule)), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static" and not rule.endpoint.startswith("child.")
    }
    assert {(path, method) for path, method, _ in operations(document)} == served


def test_every_operation_has_a_name_and_says_who_may_call_it(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for *_, operation in operations(document)]
    assert len(set(names)) == len(names)
    for path, _, operation in operations(document):
        partner = path.startswith("/v1/partner/")
        assert (operation["x-access"] == "partner") == partner
        assert (operation["security"] == [{"partner_key": []}]) == partner


def test_an_age_token_is_one_of_two_ways_to_report(document: dict[str, Any]) -> None:
    ways = document["paths"]["/v1/reports"]["post"]["security"]
    assert ways == [{"age_token": [], "age_proof": []}, {}]
    schemes = document["components"]["securitySchemes"]
    assert {name for way in ways for name in way} <= schemes.keys()
    assert schemes["age_proof"] == schemes["age_proof"] | {"in": "header", "name": "DPoP"}


def test_every_refusal_is_a_problem_with_its_own_codes(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for status, answer in operation["responses"].items():
            if not status.startswith("2"):
                (media,) = answer["content"]
                assert media == "application/problem+json"
                narrowed = answer["content"][media]["schema"]["allOf"][1]["properties"]
                assert {KINDS[code].status for code in narrowed["code"]["enum"]} == {int(status)}


def test_every_code_is_some_routes_or_nobody_can_meet_it(document: dict[str, Any]) -> None:
    named = set(re.findall(r"[a-z-]+", repr([o["responses"] for *_, o in operations(document)])))
    # These two are answered where there is no route to document.
    assert set(KINDS) - named == {"not-found", "method-not-allowed"}


def test_it_names_the_operators_own_limits(document: dict[str, Any]) -> None:
    shapes = document["components"]["schemas"]
    hashes = shapes["HashesShape"]["properties"]
    assert {hashes[name]["maxProperties"] for name in ("pdq", "pdq-512")} == {64}
    assert (hashes["vpdq"]["minItems"], hashes["vpdq"]["maxItems"]) == (1, 64)
    assert shapes["HashesShape"]["minProperties"] == 1
    assert shapes["ReportShape"]["properties"]["items"]["maxItems"] == 20
    assert document["servers"] == [{"url": PUBLIC}]


def test_the_webhooks_are_in_it(document: dict[str, Any]) -> None:
    assert set(document["webhooks"]) == {str(kind) for kind in EventType}


def test_no_shape_is_left_over(document: dict[str, Any]) -> None:
    text = repr(document)
    for name in document["components"]["schemas"]:
        assert f"'#/components/schemas/{name}'" in text, name


# ---- the page ------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would load, and where it could go."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.handlers: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.ids |= {given["id"]} if "id" in given else set()
        self.handlers |= {name for name in given if name.startswith("on") or name == "style"}
        if tag == "a":
            self.links.add(given["href"])
        else:
            self.loads |= {given[name] for name in ("src", "href") if name in given}


def test_the_page_loads_nothing_from_anywhere_else(app: Flask, page: str) -> None:
    found = Page(page)
    assert found.loads == {"/static/docs.css"}
    with app.test_client().get("/static/docs.css") as style:
        assert style.status_code == 200
        assert b"url(" not in style.get_data()
        assert b"@import" not in style.get_data()
    assert not found.tags & {"script", "iframe", "img", "form", "object", "embed", "base"}
    assert not found.handlers


def test_the_page_may_load_nothing_from_anywhere_else(app: Flask) -> None:
    answer = app.test_client().get("/docs")
    assert answer.headers.getlist("Content-Security-Policy") == [PAGE_POLICY]
    allowed = dict(rule.strip().split(" ", 1) for rule in PAGE_POLICY.split(";"))
    assert allowed["default-src"] == "'none'"
    assert set(allowed.values()) == {"'none'", "'self'"}
    assert "script-src" not in allowed


def test_every_link_of_the_page_leads_somewhere(app: Flask, page: str) -> None:
    found = Page(page)
    for link in found.links:
        if link.startswith("#"):
            assert link[1:] in found.ids, link
        else:
            assert app.test_client().get(link).status_code == 200, link


def test_the_page_shows_every_route_shape_event_and_code(
    document: dict[str, Any], page: str
) -> None:
    ids = Page(page).ids
    for path, method, operation in operations(document):
        if path.startswith("/v1/"):
            assert f"{method.upper()} {path}" in page
            assert operation["operationId"] in ids
    assert {f"shape-{name}" for name in document["components"]["schemas"]} <= ids
    assert {f"problem-{code}" for code in KINDS} <= ids
    for event in EventType:
        assert f"<code>{event}</code>" in page


def test_the_address_in_a_problem_is_its_row_on_the_page(app: Flask, page: str) -> None:
    problem = app.test_client().get("/nowhere").get_json()
    address, _, anchor = problem["type"].partition("#")
    assert address == f"{PUBLIC}/docs"
    assert anchor in Page(page).ids
