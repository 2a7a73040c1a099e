"""The device's side: hash, submit, add, open, withdraw."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.asking import asking, service_at, url_option
from app.cli.proving import Proof, proof_options
from app.cli.showing import FAILED, UNUSABLE, give, json_option, stop

if TYPE_CHECKING:
    from app.client.service import Service

code_option = click.option(
    "--code-file",
    type=click.File("r"),
    help="File with the case code (- for standard input). Asked for otherwise.",
)


@click.command("hash")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def hash_files(files: tuple[Path, ...], as_json: bool) -> None:
    """Hash photos and videos. The files are read here and go nowhere."""
    found = [(path, _item(path, as_json)) for path in files]
    if as_json:
        click.echo(json.dumps([{"file": str(path), **item} for path, item in found]))
        return
    for path, item in found:
        click.echo(f"{path} ({item['kind']})")
        for line in hash_lines(item["hashes"]):
            click.echo(f"  {line}")
        if item["kind"] == "video" and "vpdq" not in item["hashes"]:
            click.echo("  No frames were read (that needs PyPI's av): exact copies only are found.")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@url_option
@click.option(
    "--band",
    type=click.Choice(["under_13", "13_15", "16_17", "was_under_18"]),
    required=True,
    help="Age group of the young person.",
)
@click.option("--platform", "platforms", multiple=True, help="Platform id; all if not given.")
@proof_options
@json_option
def submit(
    files: tuple[Path, ...],
    url: str,
    band: str,
    platforms: tuple[str, ...],
    as_json: bool,
    **proof: Any,
) -> None:
    """Report photos or videos: hashes and an age proof are sent, nothing else.

    Without a proof the age is only declared, and the platforms are told so. Prints the case code,
    once: it is the only way back to the case.
    """
    from app.client.case_code import case_key, new_code
    from app.client.service import report_body

    service, proving = service_at(url), Proof(**proof)
    items = [{**_item(path, as_json), "platforms": list(platforms)} for path in files]

    def send() -> tuple[str, dict[str, Any]]:
        challenge = service.challenge()
        code = new_code()
        body = report_body(case_key(code, challenge["case_key"]), proving.profile, band, items)
        with proving.headers(challenge, url, band, body, as_json) as headers:
            return code, service.send("/v1/reports", body, headers)

    code, answer = asking(send, as_json)
    give(
        as_json,
        {"case_code": code, **answer},
        f"Your case code: {code}",
        "Keep it safe. We can't get it back for you.",
        f"Received: {answer['items']} photo(s) or video(s). Look with:",
        f"report-remove open --url {shlex.quote(url)}",
    )


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@url_option
@code_option
@click.option(
    "--platform", "platforms", multiple=True, help="Platform id; those of the case if not given."
)
@json_option
def add(
    files: tuple[Path, ...], url: str, code_file: Any, platforms: tuple[str, ...], as_json: bool
) -> None:
    """Add photos or videos to a case.

    Without --platform the platforms are told that are told of the case, and no others.
    """
    from app.client.service import encode

    service = service_at(url)
    hashed = [_item(path, as_json) for path in files]
    key = _key(service, code_file, as_json)
    told = list(platforms) or _told(service, key, as_json)
    items = [{**item, "platforms": told} for item in hashed]
    body = encode({"case_key": key, "items": items})
    answer = asking(lambda: service.send("/v1/case/items", body, {}), as_json)
    give(as_json, answer, f"Received: {answer['items']} more.")


@click.command("open")
@url_option
@code_option
@json_option
def open_case(url: str, code_file: Any, as_json: bool) -> None:
    """Look at a case: every photo, every platform, and what it answered."""
    service = service_at(url)
    key = _key(service, code_file, as_json)
    case = asking(lambda: service.open(key), as_json)
    give(as_json, case, *case_lines(case))


@click.command()
@url_option
@code_option
@click.option("--item", type=click.IntRange(1, 50), help="Only this photo or video.")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@json_option
def withdraw(url: str, code_file: Any, item: int | None, yes: bool, as_json: bool) -> None:
    """Take a case back, or one photo of it. Every platform that was told is told to forget it."""
    service = service_at(url)
    key = _key(service, code_file, as_json)
    if not yes:
        what = "this case" if item is None else f"photo or video {item}"
        click.confirm(f"Take {what} back? Platforms stop looking for it.", abort=True, err=True)
    case = asking(
        lambda: service.withdraw(key) if item is None else service.withdraw_item(key, item),
        as_json,
    )
    give(as_json, case, *case_lines(case))


def hash_lines(hashes: Mapping[str, Any]) -> list[str]:
    """The hashes of a report as text."""
    lines = []
    for name, of in hashes.items():
        if isinstance(of, dict):
            lines += [
                f"{name:8} {copy:14} {h['value']} quality {h['quality']}" for copy, h in of.items()
            ]
        else:
            lines += [f"{name:8} {one}" for one in ([of] if isinstance(of, str) else of)]
    return lines


def case_lines(case: Mapping[str, Any]) -> list[str]:
    """The case as text."""
    lines = [f"Reported on {case['reported_on']}. The case is {case['state']}."]
    for item in case["items"]:
        lines.append(f"{item['number']}. {item['kind']}, added on {item['added_on']}")
        lines += [
            f"   {row['name']:24} {row['words']} (since {row['since']})"
            for row in item["platforms"]
        ]
        if not item["platforms"]:
            lines.append("   No platform has been told.")
    return lines


def _key(service: Service, code_file: Any, as_json: bool) -> str:
    from app.client.case_code import case_key

    code = code_file.read() if code_file else click.prompt("Case code", hide_input=True, err=True)
    return str(asking(lambda: case_key(code, service.challenge()["case_key"]), as_json))


def _told(service: Service, key: str, as_json: bool) -> list[str]:
    """The platforms of the case that take part now; none while nobody takes part."""
    case, here = asking(lambda: (service.open(key), service.platforms()), as_json)
    rows = [row for item in case["items"] if not item["withdrawn"] for row in item["platforms"]]
    told = {row["platform"] for row in rows}
    found = [row["id"] for row in here if row["id"] in told]
    if here and not found:
        stop(FAILED, "no platform of this case takes part now: choose with --platform", as_json)
    return found


def _item(path: Path, as_json: bool) -> dict[str, Any]:
    """The item of one file, hashed here with progress on standard error."""
    from app.client.items import item_body
    from hashing.errors import HashError
    from hashing.reference import hash_file

    try:
        with _progress(path, as_json) as report:
            hashed = hash_file(path, report)
    except (HashError, OSError) as fault:
        said = str(fault) if isinstance(fault, HashError) else "cannot be read"
        stop(UNUSABLE, f"{path.name}: {said}", as_json)
    return item_body(hashed.kind, hashed.entries)


class _progress:  # noqa: N801 - used as a function
    """A progress bar on standard error, for a person at a terminal only."""

    def __init__(self, path: Path, as_json: bool) -> None:
        self._show = sys.stderr.isatty() and not as_json
        self._name = path.name

    def __enter__(self) -> Callable[[int, int], None]:
        return self._report

    def _report(self, done: int, total: int) -> None:
        if self._show:
            click.echo(f"\r{self._name}: {done * 100 // max(total, 1):3} %", err=True, nl=False)

    def __exit__(self, *_: object) -> None:
        if self._show:
            click.echo("\r\033[K", err=True, nl=False)
