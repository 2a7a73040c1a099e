"""How a device's command asks the service, and ends kindly if it refuses or does not answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from app.cli.showing import FAILED, UNREACHABLE, stop

if TYPE_CHECKING:
    from app.client.service import Refused, Service

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
        stop(FAILED, _said(fault), as_json, code=fault.code)
    except Unreachable as fault:
        stop(UNREACHABLE, str(fault), as_json)
    except BadCode as fault:
        stop(FAILED, str(fault), as_json)


_NO_CASE = (
    "No case opens with this code. Check its digits; a case that was erased answers the same."
)
_OTHER_BAND = (
    "It is for another age group than --band says: a counsellor vouches for was_under_18 by"
    " `age attest --was`, and for the others without --was."
)


def _said(fault: Refused) -> str:
    """The refusal in the words of the command line: people type codes and options, not keys."""
    if fault.code == "case-not-found":
        return _NO_CASE
    if fault.problem.get("reason") == "band":
        return f"{fault} {_OTHER_BAND}"
    parts = [_part(row) for row in fault.problem.get("errors", [])]
    return " ".join([str(fault), *parts])


def _part(row: Mapping[str, Any]) -> str:
    """What is wrong with which part of the body, which is an option where one made it."""
    pointer, detail = row.get("pointer", ""), row.get("detail", "")
    named = "--platform" if "/platforms" in pointer else pointer
    return f"{named}: {detail}"
