"""The device's side: hash, submit, add, open, withdraw."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.showing import FAILED, UNREACHABLE, UNUSABLE, give, json_option, stop

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
        for entry in item["hashes"]:
            quality = f" quality {entry['quality']}" if "quality" in entry else ""
            click.echo(f"  {entry['type']:8} {entry['variant']:14} {entry['value']}{quality}")


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
@click.option("--issuer", help="Address of an age issuer (jwt-age-v1). Declared only without.")
@json_option
def submit(
    files: tuple[Path, ...],
    url: str,
    band: str,
    platforms: tuple[str, ...],
    issuer: str | None,
    as_json: bool,
) -> None:
    """Report photos or videos: hashes and an age proof are sent, nothing else.

    Prints the case code, once. It is the only way back to the case.
    """
    from app.client.case_code import case_key, new_code
    from app.client.service import report_body

    service = _service(url)
    items = [{**_item(path, as_json), "platforms": list(platforms)} for path in files]

    def send() -> tuple[str, dict[str, Any]]:
        challenge = service.challenge()
        code = new_code()
        profile = "jwt-age-v1" if issuer else "declared-v1"
        body = report_body(case_key(code, challenge["case_key"]), profile, band, items)
        headers = _age_headers(issuer, challenge, url, band, body) if issuer else {}
        return code, service.send("/v1/reports", body, headers)

    code, answer = _asking(send, as_json)
    give(
        as_json,
        {"case_code": code, **answer},
        f"Your case code: {code}",
        "Keep it safe. We can't get it back for you.",
        f"Received: {answer['items']} photo(s) or video(s). Look with: report-remove open",
    )


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@url_option
@code_option
@click.option("--platform", "platforms", multiple=True, help="Platform id; all if not given.")
@json_option
def add(
    files: tuple[Path, ...], url: str, code_file: Any, platforms: tuple[str, ...], as_json: bool
) -> None:
    """Add photos or videos to a case."""
    from app.client.service import encode

    service = _service(url)
    items = [{**_item(path, as_json), "platforms": list(platforms)} for path in files]
    key = _key(service, code_file, as_json)
    body = encode({"case_key": key, "items": items})
    answer = _asking(lambda: service.send("/v1/case/items", body, {}), as_json)
    give(as_json, answer, f"Received: {answer['items']} more.")


@click.command("open")
@url_option
@code_option
@json_option
def open_case(url: str, code_file: Any, as_json: bool) -> None:
    """Look at a case: every photo, every platform, and what it answered."""
    service = _service(url)
    key = _key(service, code_file, as_json)
    case = _asking(lambda: service.open(key), as_json)
    give(as_json, case, *case_lines(case))


@click.command()
@url_option
@code_option
@click.option("--yes", is_flag=True, help="Do not ask again.")
@json_option
def withdraw(url: str, code_file: Any, yes: bool, as_json: bool) -> None:
    """Take a case back. Every platform that was told is told to forget it."""
    service = _service(url)
    key = _key(service, code_file, as_json)
    if not yes:
        click.confirm("Take this case back? Platforms stop looking for it.", abort=True, err=True)
    case = _asking(lambda: service.withdraw(key), as_json)
    give(as_json, case, *case_lines(case))


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


def _service(url: str) -> Service:
    from app.client.service import Service

    return Service(url.rstrip("/"))


def _asking(ask: Callable[[], Any], as_json: bool) -> Any:
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


def _key(service: Service, code_file: Any, as_json: bool) -> str:
    from app.client.case_code import case_key

    code = code_file.read() if code_file else click.prompt("Case code", hide_input=True, err=True)
    return str(_asking(lambda: case_key(code, service.challenge()["case_key"]), as_json))


def _age_headers(
    issuer: str, challenge: Mapping[str, Any], url: str, band: str, body: bytes
) -> dict[str, str]:
    from app.client.age import NoToken, headers

    asked = next((p for p in challenge["profiles"] if p["profile"] == "jwt-age-v1"), None)
    if asked is None or not asked["issuers"]:
        stop(FAILED, "the service takes no age tokens")
    claim = "was_under_18_at" if band == "was_under_18" else "age_under_18"
    wish = {"nonce": asked["nonce"], "audience": asked["issuers"][0]["audience"], "claim": claim}
    try:
        return headers(issuer, wish, "POST", f"{url.rstrip('/')}/v1/reports", body)
    except NoToken as fault:
        stop(FAILED, f"no age token: {fault}")


def _item(path: Path, as_json: bool) -> dict[str, Any]:
    """The item of one file, hashed here with progress on standard error."""
    from hashing.errors import HashError
    from hashing.reference import hash_file

    try:
        with _progress(path, as_json) as report:
            hashed = hash_file(path, report)
    except (HashError, OSError) as fault:
        said = str(fault) if isinstance(fault, HashError) else "cannot be read"
        stop(UNUSABLE, f"{path.name}: {said}", as_json)
    entries = [
        {"type": str(e.type), "value": str(e.value), "variant": e.variant}
        | ({} if e.quality is None else {"quality": e.quality})
        for e in hashed.entries
    ]
    return {"kind": hashed.kind, "hashes": entries}


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
