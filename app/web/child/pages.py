"""The young person's pages: a shell in each language, the box that hashes, the way out.

They hold nothing and decide nothing: what a page knows it learns from /v1/… like any other client.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    redirect,
    render_template,
    request,
)
from werkzeug.wrappers import Response as AnyResponse

from app.observability import LogEvent
from app.web.access import Access, access
from app.web.child import bundle, languages, operator, policies
from app.web.child.languages import Language
from app.web.child.operator import Pages
from app.web.context import Context, settings
from app.web.problems import Problem

EXTENSION = "report_remove_pages"
DEVICE = Path(__file__).resolve().parents[3] / "hashing" / "device"
STATIC = Path(__file__).with_name("static")
LEFT = "left"
LEFT_FOR = timedelta(minutes=5)
TOP = "#top"  # of any page, even of one that names no such part (HTML, 7.4.6.4)
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

blueprint = Blueprint("child", __name__, template_folder="templates")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Read once, when the application is made."""

    pages: Pages
    languages: dict[str, Language]
    files: dict[Path, bytes]
    kept_box: str  # its script
    page_headers: dict[str, str]


def install(app: Flask, given: Context) -> None:
    """Put the pages on the application."""
    pages = operator.read(given.settings.data_dir)
    stale = pages.stale(given.services.house.clock.now().date())
    if stale and given.settings.environment != "development":
        given.journal.note(LogEvent.NUMBERS_STALE, entries=len(stale))
    files = {
        path: path.read_bytes()
        for path in (*STATIC.iterdir(), *DEVICE.iterdir())
        if path.suffix in _TYPES
    }
    script = _kept_box(files)
    app.extensions[EXTENSION] = Shelf(
        pages=pages,
        languages=languages.load(),
        files=files,
        kept_box=script,
        page_headers=policies.page_headers(bundle.digest(script), pages.broker_answers),
    )
    app.register_blueprint(blueprint)


def _kept_box(files: dict[Path, bytes]) -> str:
    modules = {_address(p): c.decode() for p, c in files.items() if p.suffix == ".js"}
    script = bundle.bundled("/pages/box.js", modules)
    style = files[STATIC / "style.css"].decode()
    return bundle.inline(modules["/pages/alone.js"], style, script)


def _address(path: Path) -> str:
    return f"/{'pages' if path.parent == STATIC else 'device'}/{path.name}"


def shelf() -> Shelf:
    """What was read."""
    found: Shelf = current_app.extensions[EXTENSION]
    return found


# ---- pages ---------------------------------------------------------------------------------------


@blueprint.route("/")
@access(Access.PUBLIC)
def start() -> AnyResponse:
    """The pages in the language that the browser asks for, or English."""
    wanted = request.accept_languages.best_match(languages.CODES, default=languages.CODES[0])
    response = _shell(wanted)
    response.headers["Vary"] = "Accept-Language"
    return response


@blueprint.route("/<any(en, cy, ar):code>")
@access(Access.PUBLIC)
def in_language(code: str) -> AnyResponse:
    """The pages in one language."""
    return _shell(code)


def _shell(code: str) -> AnyResponse:
    if LEFT in request.cookies:
        return _away(TOP)
    held = shelf()
    page = render_template(
        "child/shell.html",
        language=held.languages[code],
        languages=held.languages.values(),
        pages=held.pages,
        say=held.languages[code].say,
    )
    return _answer(page, held.page_headers)


@blueprint.route("/box/<any(en, cy, ar):code>")
@access(Access.PUBLIC)
def box(code: str) -> AnyResponse:
    """The frame in which photos are opened and hashed."""
    if LEFT in request.cookies:
        return _away(TOP)
    return _answer(render_template("child/box.html", **_box_words(code)), policies.BOX_HEADERS)


@blueprint.route("/kept/<any(en, cy, ar):code>")
@access(Access.PUBLIC)
def kept_box(code: str) -> AnyResponse:
    """The box in one piece, for a page that is used without internet to put into its frame."""
    script = shelf().kept_box
    policy = policies.KEPT_BOX.format(kept=bundle.digest(script))
    page = render_template("child/kept.html", code=script, policy=policy, **_box_words(code))
    return _answer(page, policies.BOX_HEADERS)


def _box_words(code: str) -> dict[str, Any]:
    language = shelf().languages[code]
    return {
        "language": language,
        "say": language.say,
        "budget": min(shelf().pages.hashes_per_photo, settings().max_hashes_per_item - 3),
        "most": settings().max_items_per_case,
    }


def _answer(page: str, headers: dict[str, str]) -> Response:
    response = Response(page, mimetype="text/html")
    response.headers.update(headers)
    return response


@blueprint.route("/manifest.webmanifest")
@access(Access.PUBLIC)
def manifest() -> Response:
    """What the page is called where somebody keeps it on a phone: nothing that gives it away."""
    name = shelf().pages.name
    icon = {"src": "/pages/icon.svg", "sizes": "any", "type": "image/svg+xml"}
    facts = {
        "name": name,
        "short_name": name,
        "start_url": "/",
        "display": "standalone",
        "background_color": "#f8f4ee",
        "theme_color": "#f8f4ee",
        "icons": [icon],
    }
    return Response(json.dumps(facts), mimetype="application/manifest+json")


@blueprint.route("/keep.js")
@access(Access.PUBLIC)
def keeper() -> Response:
    """The worker that serves kept pages, at the address from which it may serve them all."""
    response = _file(STATIC, "keep.js")
    response.headers["Content-Security-Policy"] = policies.OFFLINE
    return response


@blueprint.route("/kept.json")
@access(Access.PUBLIC)
def kept() -> Response:
    """The addresses that a phone keeps when it is asked to."""
    pages = ["/", *(f"/{code}" for code in languages.CODES)]
    boxes = [f"/kept/{code}" for code in languages.CODES]
    files = [_address(path) for path in sorted(shelf().files) if path.parent == STATIC]
    return Response(json.dumps([*pages, *boxes, *files]), mimetype="application/json")


# ---- leaving -------------------------------------------------------------------------------------


@blueprint.route("/leave")
@access(Access.PUBLIC)
def leave() -> AnyResponse:
    """First hop: the browser forgets what it kept of us."""
    response = redirect("/left", 303)
    response.headers["Clear-Site-Data"] = '"cache", "cookies", "storage"'
    return response


@blueprint.route("/left")
@access(Access.PUBLIC)
def left() -> AnyResponse:
    """Second hop: for a while our pages lead away, so that Back shows none of them.

    It cannot be the first one, which wipes cookies, its own too.
    """
    response = _away()
    response.set_cookie(
        LEFT,
        "1",
        max_age=LEFT_FOR,
        secure=settings().public_url.startswith("https:"),
        httponly=True,
        samesite="Lax",
    )
    return response


def _away(fragment: str = "") -> AnyResponse:
    """To the neutral site. A browser takes along what stands behind the `#` of our address, unless
    the new address has a fragment of its own."""
    return redirect(urldefrag(shelf().pages.leave_to).url + fragment, 303)


# ---- files ---------------------------------------------------------------------------------------


@blueprint.route("/pages/<name>")
@access(Access.PUBLIC)
def page_file(name: str) -> Response:
    """A script, the style or the icon."""
    return _file(STATIC, name)


@blueprint.route("/device/<name>")
@access(Access.PUBLIC)
def device_file(name: str) -> Response:
    """A module of the library that hashes on the device."""
    return _file(DEVICE, name)


def _file(folder: Path, name: str) -> Response:
    content = shelf().files.get(folder / name)
    if content is None:
        raise Problem("not-found")
    response = Response(content, mimetype=_TYPES[Path(name).suffix])
    response.headers.update(policies.FILE_HEADERS)
    return response
