"""`report-remove partner check`: a platform tries its endpoint against the contract."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from app.cli.operating import deciding
from app.cli.showing import FAILED, UNREACHABLE, give, json_option, stop


@click.command("check")
@click.argument("url")
@click.option(
    "--enrolment",
    type=click.Path(path_type=Path),
    required=True,
    help="Where to write what your platform needs for this check: addresses and keys, mode 0600.",
)
@click.option("--overwrite", is_flag=True, help="Replace that file.")
@click.option("--wait", is_flag=True, help="Begin when Enter is pressed, not at once.")
@click.option("--jwks", type=click.File("r"), help="Your public keys: sealed messages are played.")
@click.option("--scheme", type=click.Choice(["v1a", "v1"]), default="v1a", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the stand-in; 0: any.")
@click.option("--reach", help="Address by which you reach the stand-in, if not on this machine.")
@click.option("--answer-within", type=click.FloatRange(0.1, 60), default=15.0, show_default=True)
@click.option("--patience", type=click.FloatRange(0.1, 600), default=10.0, show_default=True)
@json_option
def partner_check(
    url: str, enrolment: Path, overwrite: bool, wait: bool, jwks: Any, as_json: bool, **more: Any
) -> None:
    """Play good and bad messages at your endpoint, and say which lines of the contract it keeps.

    Needs no service: a small stand-in of it runs here, with keys of its own, which your platform
    reads from the enrolment file. Exits 1 if a line is broken, 3 if nobody answers.
    """
    from app.conformance.play import NoAnswer, check
    from app.conformance.service import Check, service_for
    from partners.model import SigningScheme

    scheme = SigningScheme(more.pop("scheme"))
    asked = Check(url, scheme, jwks.read() if jwks else None, **more)

    def play() -> list[Any]:
        with service_for(asked) as service:
            write_enrolment(enrolment, service.enrolment(), overwrite=overwrite)
            if wait:
                click.pause(f"Give {enrolment} to your platform, then press a key.", err=True)
            return [_told(verdict, as_json) for verdict in check(service)]

    try:
        verdicts = deciding(play, as_json)
    except NoAnswer as fault:
        stop(UNREACHABLE, str(fault), as_json)
    except OSError as fault:
        stop(FAILED, f"cannot check: {fault.strerror}", as_json)
    broken = [verdict for verdict in verdicts if verdict.kept is False]
    kept = sum(verdict.kept is True for verdict in verdicts)
    facts = {"kept": not broken, "lines": [verdict.row() for verdict in verdicts]}
    idle = len(verdicts) - kept - len(broken)
    give(as_json, facts, f"{kept} kept, {len(broken)} broken, {idle} not played")
    sys.exit(FAILED if broken else 0)


def write_enrolment(path: Path, members: Mapping[str, object], *, overwrite: bool) -> None:
    """Write the hand-over for this user's eyes only. Raises FileExistsError unless told to."""
    if overwrite:
        path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(members, file)


def _told(verdict: Any, as_json: bool) -> Any:
    """The verdict, shown to a person as soon as there is one."""
    if not as_json:
        click.echo(str(verdict))
    return verdict
