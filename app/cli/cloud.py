"""The service in AWS: bring its stacks up, look at them, take them down."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.showing import FAILED, give, json_option, stop

if TYPE_CHECKING:
    from infra.cloud.deploy import Cloud
    from infra.cloud.package import Package

Command = Callable[..., None]


def _where(command: Command) -> Command:
    """The options that say which stacks, and where."""
    for option in (
        click.option("--region", help="Such as eu-central-1. [default: as the AWS CLI's]"),
        click.option("--endpoint-url", help="An emulator's, such as http://127.0.0.1:4566."),
        click.option("--stack", default="report-remove", show_default=True, help="Their name."),
    ):
        command = option(command)
    return command


@click.group()
def cloud() -> None:
    """Run the service in AWS, or in an emulator of it, from the templates of infra/cloud.

    Credentials are found as the AWS CLI finds them: environment, profile, role. Works from a
    checkout. infra/cloud/README.md says what it makes and what was never tried on real AWS.
    """


@cloud.command()
@_where
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PARAMETER=VALUE",
    help="A template's parameter, such as PublicUrl=https://remove.example. Stays until changed.",
)
@click.option(
    "--issuers-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The trusted age issuers, put into the code (docs/AGE.md). Give it at every `up`.",
)
@click.option(
    "--architecture",
    type=click.Choice(["arm64", "x86_64"]),
    help="Of the functions. [default: arm64; this machine's in an emulator]",
)
@json_option
def up(
    stack: str,
    endpoint_url: str | None,
    region: str | None,
    settings: tuple[str, ...],
    issuers_file: Path | None,
    architecture: str | None,
    as_json: bool,
) -> None:
    """Create the stacks, or update them to what the templates say, and upload the code.

    \b
    report-remove cloud up --set PublicUrl=https://remove.example --set AlarmEmail=d@remove.example
    """
    chosen = _chosen(settings)
    stacks = _cloud(stack, endpoint_url, region, as_json)
    with _refusals(as_json), tempfile.TemporaryDirectory(prefix="report-remove-") as folder:
        stacks.check(chosen)  # first: the zip takes a while
        if issuers_file is None and chosen.get("AgeIssuersFile", stacks.issuers()) == _ISSUERS:
            stop(FAILED, _LACKING, as_json)
        package = _package(Path(folder), chosen, endpoint_url, architecture, issuers_file)
        outputs = stacks.up(package, chosen)
    give(as_json, outputs, *(f"{name:20} {outputs[name]}" for name in _SHOWN if name in outputs))


_ISSUERS = "issuers.toml"  # functions start where their code is
_LACKING = (
    "the functions are to read their trusted issuers from a file in their code, and this code would"
    " lack it; nothing was changed. Give --issuers-file, or --set AgeIssuersFile= to trust nobody."
)
_SHOWN = ("PublicUrl", "FunctionUrl", "TableName", "OperatorRoleArn", "AlarmTopic")


@cloud.command()
@_where
@json_option
def status(stack: str, endpoint_url: str | None, region: str | None, as_json: bool) -> None:
    """Show the stacks and their outputs. Exit code 1 if there are none."""
    from infra.cloud.deploy import lines

    with _refusals(as_json):
        found = _cloud(stack, endpoint_url, region, as_json).status()
    if not found:
        stop(FAILED, f"there are no stacks called {stack}", as_json)
    rows = [{"name": s.name, "status": s.status, "outputs": dict(s.outputs)} for s in found]
    give(as_json, rows, *lines(found))


@cloud.command()
@_where
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def down(
    stack: str, endpoint_url: str | None, region: str | None, yes: bool, as_json: bool
) -> None:
    """Delete the functions, queues and alarms; keep the data and the keys to read it."""
    if not yes:
        click.confirm(f"Stop the service called {stack}? Its data is kept.", abort=True, err=True)
    with _refusals(as_json):
        kept = _cloud(stack, endpoint_url, region, as_json).down()
    told = [f"  {each}" for each in kept]
    words = f"Kept, in the stack {stack}-data (`cloud up` finds them again):"
    give(as_json, {"kept": kept}, *([words, *told] if kept else ["Nothing was kept."]))


def _chosen(settings: tuple[str, ...]) -> dict[str, str]:
    chosen = dict(each.partition("=")[::2] for each in settings)
    if not all("=" in each for each in settings) or "" in chosen:
        raise click.BadParameter("must be PARAMETER=VALUE", param_hint="--set")
    return chosen


def _cloud(name: str, endpoint: str | None, region: str | None, as_json: bool) -> Cloud:
    from infra.cloud.deploy import Cloud, Place

    def tell(line: str) -> None:
        click.echo(line, err=as_json)

    return Cloud(name, Place(region, _endpoint(endpoint)), tell)


def _endpoint(chosen: str | None) -> str | None:
    """An emulator's address, by option or by botocore's variable; None is AWS."""
    return chosen or os.environ.get("AWS_ENDPOINT_URL") or None


def _package(
    folder: Path,
    chosen: dict[str, str],
    endpoint: str | None,
    architecture: str | None,
    issuers: Path | None,
) -> Package:
    """Make the zip for the runtime that is asked for, and note in `chosen` what it was."""
    from infra.cloud.package import Target, build, here

    default = here() if _endpoint(endpoint) else Target("3.12", "arm64")
    python = chosen.get("Runtime", f"python{default.python}").removeprefix("python")
    target = Target(python, architecture or chosen.get("Architecture", default.machine))
    chosen |= {"Runtime": f"python{target.python}", "Architecture": target.machine}
    extra: Mapping[str, Path] = {}
    if issuers:
        extra = {_ISSUERS: issuers}
        chosen["AgeIssuersFile"] = _ISSUERS
    return build(folder / "functions.zip", target, extra)


@contextmanager
def _refusals(as_json: bool) -> Iterator[None]:
    """What went wrong, as one sentence and exit code 1."""
    from infra.cloud.deploy import DeployFailed
    from infra.cloud.package import PackageFailed

    try:
        yield
    except (DeployFailed, PackageFailed) as fault:
        stop(FAILED, str(fault), as_json)


@cloud.command()
@click.option("--once", is_flag=True, help="Stop after the walk: 0 if every step happened.")
@click.option("--photo", type=click.Path(path_type=Path, exists=True), help="Another photo.")
def demo(once: bool, photo: Path | None) -> None:
    """Walk one real report through an emulated AWS, on this machine: what `./run --cloud` does."""
    from app.demo.cloud import PATIENCE, start
    from app.demo.walk import run

    sys.exit(run(start, once=once, photo=photo, patience=PATIENCE))
