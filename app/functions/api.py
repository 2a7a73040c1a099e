"""Answers devices and partners: the web application behind a function URL or an HTTP API."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from apig_wsgi import make_lambda_handler

from app.bootstrap import foundation, web_context
from app.settings import Settings
from app.web.application import create_app

if TYPE_CHECKING:
    from collections.abc import Callable


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One request (payload format 2.0) and its answer."""
    return _application()(event, context)


@cache  # a start that is refused is tried anew with the next request
def _application() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    base = foundation(Settings.from_env(os.environ))
    made: Callable[[dict[str, Any], Any], dict[str, Any]] = make_lambda_handler(
        create_app(web_context(base)), binary_support=True
    )
    return made
