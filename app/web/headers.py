"""What every answer carries: nothing is cached, framed, sniffed or told to anybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LINES = list(HEADERS.items())


def install(app: Flask) -> None:
    """Put the headers on every answer that has not set its own."""
    app.wsgi_app = _with_headers(app.wsgi_app)  # type: ignore[assignment, method-assign]


def _with_headers(inner: WSGIApplication) -> WSGIApplication:
    """Around the application, because Flask's own header list is walked for each name."""

    def outer(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            own = {name for name, _ in headers}
            added = [line for line in _LINES if line[0] not in own]
            return start_response(status, headers + added, *more)

        return inner(environ, start)

    return outer
