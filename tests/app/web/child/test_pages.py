"""What the pages answer: their policies, their languages, the way out, and no file but ours."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.web.application import create_app
from app.web.child.operator import SHIPPED
from app.web.child.pages import DEVICE, STATIC
from tests.app.web.running import in_process

SHELLS = ("/", "/en", "/cy", "/ar")
BOXES = ("/box/en", "/box/cy", "/box/ar")
WEATHER = "https://www.bbc.co.uk/weather"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("pages")
    with in_process(folder, PUBLIC_URL="https://remove.example") as (runtime, _):
        yield create_app(runtime.context)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def policy(client: FlaskClient, path: str) -> dict[str, str]:
    """The directives of a page's Content-Security-Policy."""
    parts = client.get(path).headers["Content-Security-Policy"].split("; ")
    return {name: value for name, _, value in (part.partition(" ") for part in parts)}


# ---- policies ------------------------------------------------------------------------------------


def test_the_kept_box_is_one_script_that_the_page_knows_by_its_digest(client: FlaskClient) -> None:
    for code in ("en", "cy", "ar"):
        page = client.get(f"/kept/{code}").get_data(as_text=True)
        scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        assert page.count("<script") == len(scripts) == 1
        digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy(client, "/en")["script-src"]
        inner = html.unescape(re.findall(r'Policy" content="(.*?)"', page)[0])
        assert f"script-src 'sha256-{digest}';" in inner
        assert "connect-src 'none'" in inner
        assert "src=" not in page.split("<script>")[0]


def test_what_a_phone_keeps_is_there(client: FlaskClient) -> None:
    kept = client.get("/kept.json").get_json()
    assert {"/", "/en", "/cy", "/ar", "/kept/ar", "/pages/main.js"} <= set(kept)
    assert {client.get(address).status_code for address in kept} == {200}
    worker = client.get("/keep.js")
    assert worker.headers["Content-Security-Policy"] == "default-src 'none'; connect-src 'self'"


@pytest.mark.parametrize("path", SHELLS)
def test_a_page_reaches_only_us(client: FlaskClient, path: str) -> None:
    said = policy(client, path)
    assert said["default-src"] == said["form-action"] == said["base-uri"] == "'none'"
    assert said["frame-ancestors"] == "'none'"
    assert said["require-trusted-types-for"] == "'script'"
    sources = {value for name, value in said.items() if name.endswith("-src")}
    assert {re.sub(r" 'sha256-[A-Za-z0-9+/]{43}='$", "", s) for s in sources} == {
        "'none'",
        "'self'",
    }
    assert "unsafe" not in str(said)


def test_a_page_reaches_one_address_more_where_the_operator_says_so(tmp_path: Path) -> None:
    asked = "https://broker.example/healthz"
    with in_process(tmp_path) as (runtime, _):
        own = runtime.context.settings.data_dir / "pages.toml"
        own.write_text(f'broker_answers = "{asked}"\n{SHIPPED.read_text()}')
        client = create_app(runtime.context).test_client()
        said = policy(client, "/en")
        assert said["connect-src"] == f"'self' {asked}"
        assert asked not in str({**said, "connect-src": ""})
        assert f'data-asks="{asked}"' in client.get("/en").get_data(as_text=True)
        assert policy(client, "/box/en")["connect-src"] == "'none'"


@pytest.mark.parametrize("path", BOXES)
def test_the_box_reaches_nothing(client: FlaskClient, path: str) -> None:
    said = policy(client, path)
    assert said["default-src"] == said["connect-src"] == said["worker-src"] == "'none'"
    assert said["sandbox"] == "allow-scripts"
    assert said["trusted-types"] == "'none'"
    assert "img-src" not in said
    assert "frame-src" not in said


@pytest.mark.parametrize("path", [*SHELLS, *BOXES])
def test_every_page_is_alone_unseen_and_not_kept(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    allowed = re.findall(r"([a-z-]+)=\(self\)", headers["Permissions-Policy"])
    assert allowed == (["clipboard-write"] if path in SHELLS else [])
    assert "Set-Cookie" not in headers


def test_the_api_keeps_its_own_policy(client: FlaskClient) -> None:
    said = client.get("/v1/platforms").headers["Content-Security-Policy"]
    assert said == "default-src 'none'; frame-ancestors 'none'"


class Outside(HTMLParser):
    """Collects what a page loads, and anything inline."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [named[key] or "" for key in ("src", "href") if key in named]
        self.inline += [key for key in named if key.startswith("on") or key == "style"]
        self._in_script = tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


@pytest.mark.parametrize("path", [*SHELLS, *BOXES])
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(client: FlaskClient, path: str) -> None:
    seen = Outside()
    seen.feed(client.get(path).get_data(as_text=True))
    assert seen.inline == []
    foreign = [a for a in seen.addresses if not re.match(r"/[a-z]|tel:[0-9+-]+$", a)]
    assert foreign == []


def test_the_rule_on_inline_would_notice() -> None:
    seen = Outside()
    seen.feed("<p onclick='x'>a</p><script>alert(1)</script><img src='//elsewhere'>")
    assert seen.inline == ["onclick", "alert(1)"]
    assert seen.addresses == ["//elsewhere"]


def test_the_style_is_small() -> None:
    assert (STATIC / "style.css").stat().st_size < 10_000


# ---- languages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "given"),
    [("cy-GB,cy;q=0.9,en;q=0.8", "cy"), ("ar", "ar"), ("de", "en"), ("", "en"), ("*", "en")],
)
def test_the_first_page_speaks_what_the_browser_asks_for(
    client: FlaskClient, asked: str, given: str
) -> None:
    answer = client.get("/", headers={"Accept-Language": asked})
    assert f'<html lang="{given}"' in answer.get_data(as_text=True)
    assert answer.headers["Vary"] == "Accept-Language"


@pytest.mark.parametrize("path", ["/de", "/EN", "/box/de", "/box", "/en/"])
def test_an_address_that_is_none_is_not_found(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_titles_and_names_give_nothing_away(client: FlaskClient) -> None:
    page = client.get("/en").get_data(as_text=True)
    assert "<title>Notes</title>" in page
    manifest = client.get("/manifest.webmanifest").get_json()
    assert (manifest["name"], manifest["short_name"]) == ("Notes", "Notes")
    assert not re.search(r"(?i)remov|photo|report", str(manifest))


# ---- leaving -------------------------------------------------------------------------------------


def test_leaving_takes_two_hops(client: FlaskClient) -> None:
    first = client.get("/leave")
    assert (first.status_code, first.location) == (303, "/left")
    assert first.headers["Clear-Site-Data"] == '"cache", "cookies", "storage"'
    assert "Set-Cookie" not in first.headers
    second = client.get("/left")
    assert (second.status_code, second.location) == (303, WEATHER)
    assert "Clear-Site-Data" not in second.headers
    cookie = second.headers["Set-Cookie"]
    assert re.match(r"left=1; .*Max-Age=300; Secure; HttpOnly; Path=/; SameSite=Lax$", cookie)


@pytest.mark.parametrize("path", [*SHELLS, *BOXES])
def test_who_has_left_is_led_away(client: FlaskClient, path: str) -> None:
    client.set_cookie("left", "1")
    answer = client.get(path)
    # With a fragment of its own, or the browser would take along what a pass came back in.
    assert (answer.status_code, answer.location) == (303, f"{WEATHER}#top")
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_api_does_not_know_of_it(client: FlaskClient) -> None:
    client.set_cookie("left", "1")
    assert client.get("/v1/platforms").status_code == 200


# ---- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [STATIC, DEVICE])
def test_every_file_is_served_for_a_frame_without_an_origin(
    client: FlaskClient, folder: Path
) -> None:
    under = "/pages" if folder is STATIC else "/device"
    names = [path.name for path in folder.iterdir() if path.suffix in (".js", ".css", ".svg")]
    for name in names:
        answer = client.get(f"{under}/{name}", headers={"If-Modified-Since": "x"})
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Last-Modified" not in answer.headers
        assert answer.mimetype in ("text/javascript", "text/css", "image/svg+xml")
    assert len(names) > 5


@pytest.mark.parametrize(
    "name",
    ["package.json", "..%2fpages.py", "%2e%2e/pages.py", "nothing.js", ".js", "main.js%00.css", ""],
)
@pytest.mark.parametrize("under", ["pages", "device"])
def test_no_other_file_is_served(client: FlaskClient, under: str, name: str) -> None:
    assert client.get(f"/{under}/{name}").status_code == 404
