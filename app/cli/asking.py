"""How a device's command asks the service, and ends kindly if it refuses or does not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from app.cli.showing import FAILED, UNREACHABLE, stop

if TYPE_CHECKING:
    from app.client.service import Service

DEFAULT_URL = "http://127.0.0.1:8080"

url_option = click.option(
    "--url",
    envvar="REPORT_REMOVE_URL",
    default=DEFAULT_URL,
    show_default=True,
    help="Address of the service.",
)


def service_at(url: str) -> Service:
    """The service at that address."""
    from app.client.service import Service

    return Service(url.rstrip("/"))


def asking(ask: Callable[[], Any], as_json: bool) -> Any:
    """Call the service and end kindly if it refuses or does not answer."""
    from app.client.case_code import BadCode
    from app.client.service import Refused, Unreachable

    try:
        return ask()
    except Refused as fault:
        details = [row.get("detail", "") for row in fault.problem.get("errors", [])]
        said = " ".join([str(fault), *details]).strip()
        stop(FAILED, said, as_json, code=fault.code)
    except Unreachable as fault:
        stop(UNREACHABLE, str(fault), as_json)
    except BadCode as fault:
        stop(FAILED, str(fault), as_json)
