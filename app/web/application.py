"""The application: every guard, every route, in the order a request meets them."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from app.web import access, bodies, headers, health, limits, openapi, problems
from app.web.api import case, reports
from app.web.child import pages
from app.web.context import EXTENSION, Context, context
from app.web.partner import views as partner


def create_app(given: Context) -> Flask:
    """The WSGI application over these use cases. Nothing happens until it is called."""
    app = _Application("app.web", static_folder="static", template_folder="templates")
    app.url_map.merge_slashes = False  # an address that is not ours is not found, not redirected
    app.extensions[EXTENSION] = given
    app.config["MAX_CONTENT_LENGTH"] = given.settings.max_body_bytes
    app.before_request(_start_clock)
    bodies.install(app)
    access.install(app)
    problems.install(app)
    headers.install(app)
    app.after_request(_measure)
    api = openapi.install(app)
    problems.install(app)  # again: the API registers a handler of its own
    for blueprint in (reports.blueprint, case.blueprint, partner.blueprint, health.blueprint):
        api.register_blueprint(blueprint)
    openapi.complete(app, api, given.settings)
    pages.install(app, given)
    access.access(access.Access.PUBLIC)(app.view_functions["static"])
    access.require(app)
    limits.install(app, given.settings, given.counters)
    if given.settings.trusted_proxies:
        hops = given.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops)  # type: ignore[method-assign]
    return app


class _Application(Flask):
    def make_default_options_response(self) -> Response:
        """`Allow`, and no body. Whoever may not call a route is refused here as well."""
        response = super().make_default_options_response()
        response.status_code = 204
        del response.headers["Content-Type"]
        return response


def _start_clock() -> None:
    g.began = time.perf_counter()


def _measure(response: Response) -> Response:
    route = request.url_rule.rule if request.url_rule else "none"
    seconds = time.perf_counter() - g.began if "began" in g else 0.0
    context().metrics.answered(route, problems.method(), response.status_code, seconds)
    return response
