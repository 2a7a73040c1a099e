"""`report-remove`: the device's side, the operator's side and the service, on a command line.

Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 the service gave no answer ·
4 nothing usable in a file · 5 bad settings or store.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from app.bootstrap import Runtime
    from app.client.service import Service

FAILED, UNREACHABLE, UNUSABLE, MISCONFIGURED = 1, 3, 4, 5

DEFAULT_URL = "http://127.0.0.1:8080"


def give(as_json: bool, value: Any, *lines: str) -> None:
    """Print the value as one JSON line, or the lines for a person."""
    if as_json:
        click.echo(json.dumps(value, default=str))
    else:
        for line in lines:
            click.echo(line)


def stop(exit_code: int, message: str, as_json: bool = False, **more: Any) -> NoReturn:
    """End with that exit code and a sentence on standard error."""
    if as_json:
        click.echo(json.dumps({"error": message, **more}), err=True)
    else:
        click.echo(f"report-remove: {message}", err=True)
    sys.exit(exit_code)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
url_option = click.option(
    "--url",
    envvar="REPORT_REMOVE_URL",
    default=DEFAULT_URL,
    show_default=True,
    help="Address of the service.",
)
unverified_option = click.option(
    "--unverified", is_flag=True, help="Do not ask the endpoint now; it is told nothing meanwhile."
)
event_types_option = click.option(
    "--event",
    "event_types",
    multiple=True,
    type=click.Choice(
        ["removal.requested", "removal.updated", "removal.withdrawn", "removal.reminder"]
    ),
    help="Only these; all if not given.",
)


class _Moment(click.ParamType[datetime]):
    """An ISO 8601 time; without a zone it is UTC."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail("not a time such as 2026-05-17T12:30:00+00:00", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


MOMENT = _Moment()
code_option = click.option(
    "--code-file",
    type=click.File("r"),
    help="File with the case code (- for standard input). Asked for otherwise.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name=None, version="0.1.0", prog_name="report-remove")
def main() -> None:
    """Get an intimate photo or video of a young person taken down, by hash alone.

    \b
    On a device:     hash, submit, add, open, withdraw
    For operators:   serve, partner, messages, settings
    To see it work:  demo

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no answer from the service,
    4 nothing usable in a file, 5 bad settings or store.
    """


# ---- the device's side ---------------------------------------------------------------------------


@main.command("hash")
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


@main.command()
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


@main.command()
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


@main.command("open")
@url_option
@code_option
@json_option
def open_case(url: str, code_file: Any, as_json: bool) -> None:
    """Look at a case: every photo, every platform, and what it answered."""
    service = _service(url)
    key = _key(service, code_file, as_json)
    case = _asking(lambda: service.open(key), as_json)
    give(as_json, case, *case_lines(case))


@main.command()
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


# ---- the operator's side -------------------------------------------------------------------------


def _runtime() -> Runtime:
    from app.bootstrap import StartRefused, build
    from app.settings import BadSettings, Settings

    try:
        return build(Settings.from_env(os.environ))
    except (BadSettings, StartRefused) as fault:
        _cannot_start(fault.problems)


def _cannot_start(problems: list[str]) -> NoReturn:
    stop(MISCONFIGURED, "cannot start:\n  " + "\n  ".join(problems))


@main.command()
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once it answers.")
@json_option
def serve(ready_file: Path | None, as_json: bool) -> None:
    """Start the service: the API, the worker and the metrics, in one process.

    Settings come from the environment: see `report-remove settings`. Stop it with SIGTERM; what is
    in flight is finished or given back.
    """
    from app.bootstrap import StartRefused
    from app.settings import BadSettings
    from app.wsgi import serve as run

    def ready(facts: dict[str, Any]) -> None:
        give(
            as_json,
            facts,
            f"API            {facts['url']}",
            f"Documentation  {facts['url']}/docs",
            f"Metrics        {facts['metrics']}",
        )
        if ready_file:
            ready_file.write_text(json.dumps(facts))

    try:
        run(_runtime(), ready)
    except (BadSettings, StartRefused) as fault:
        _cannot_start(fault.problems)


@main.command()
@json_option
def settings(as_json: bool) -> None:
    """List every setting with its default."""
    from dataclasses import fields

    from app.settings import PREFIX, Settings

    rows = [
        {
            "name": PREFIX + spec.name.upper(),
            "default": spec.metadata["default"],
            "meaning": spec.metadata["meaning"],
        }
        for spec in fields(Settings)
    ]
    lines = [f"{row['name']}={row['default']}\n    {row['meaning']}" for row in rows]
    give(as_json, rows, *lines)


@main.group()
def partner() -> None:
    """Platforms that take part."""


@partner.command("add")
@click.argument("name")
@click.option("--webhook", help="Address that takes our webhooks; without one it must pull.")
@click.option("--scheme", type=click.Choice(["v1a", "v1"]), default="v1a", show_default=True)
@click.option("--policy", default="none", show_default=True, help="Deadline policy.")
@click.option("--jwks", type=click.File("r"), help="Its public keys: messages are sealed to it.")
@click.option("--takes-location", is_flag=True, help="Its law needs a link or username to act.")
@unverified_option
@json_option
def partner_add(
    name: str,
    webhook: str | None,
    scheme: str,
    policy: str,
    jwks: Any,
    takes_location: bool,
    unverified: bool,
    as_json: bool,
) -> None:
    """Add a platform and print what to hand over to it, once.

    Its webhook is asked at once whether it takes our messages, and gets none before it does.
    """
    with _open_runtime() as runtime:
        made = _deciding(
            lambda: runtime.services.manage_partners.add(
                name, webhook, scheme, policy, jwks.read() if jwks else None, takes_location
            ),
            as_json,
        )
        facts, said = _verified(runtime, made, bool(webhook) and not unverified)
    _hand_over({**made, **facts}, said if webhook else [], as_json)


@partner.command("list")
@json_option
def partner_list(as_json: bool) -> None:
    """List the platforms."""
    with _open_runtime() as runtime:
        rows = runtime.services.manage_partners.rows()
    lines = [f"{r['id']}  {r['status']:10} {r['name']} ({r['policy']})" for r in rows]
    give(as_json, rows, *(lines or ["No platforms yet: report-remove partner add NAME"]))


@partner.command("suspend")
@click.argument("partner_id")
@json_option
def partner_suspend(partner_id: str, as_json: bool) -> None:
    """Stop telling a platform anything, and refuse its API key."""
    with _open_runtime() as runtime:
        _deciding(lambda: runtime.services.manage_partners.suspend(partner_id), as_json)
    give(as_json, {"id": partner_id, "status": "suspended"}, f"{partner_id} is suspended.")


@partner.command("resume")
@click.argument("partner_id")
@json_option
def partner_resume(partner_id: str, as_json: bool) -> None:
    """Tell a suspended platform things again."""
    with _open_runtime() as runtime:
        _deciding(lambda: runtime.services.manage_partners.resume(partner_id), as_json)
    give(as_json, {"id": partner_id, "status": "active"}, f"{partner_id} takes part again.")


@partner.command("verify")
@click.argument("id", metavar="PARTNER_OR_ENDPOINT_ID")
@json_option
def partner_verify(id: str, as_json: bool) -> None:
    """Ask a platform's endpoints whether they take our messages; those that do are told.

    An OPTIONS handshake, then a signed challenge to echo (docs/PARTNERS.md). What waited for them
    is sent.
    """
    with _open_runtime() as runtime:
        rows = _deciding(lambda: runtime.services.manage_endpoints.verify(id), as_json)
    give(as_json, rows, *(_verified_line(row) for row in rows))


@partner.command("check")
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
    from app.conformance.play import NoAnswer, Wish, check, service_for, write_enrolment
    from partners.model import SigningScheme

    scheme = SigningScheme(more.pop("scheme"))
    wish = Wish(url, scheme, jwks.read() if jwks else None, **more)

    def play() -> list[Any]:
        with service_for(wish) as service:
            write_enrolment(enrolment, service.enrolment(), overwrite=overwrite)
            if wait:
                click.pause(f"Give {enrolment} to your platform, then press a key.", err=True)
            return [_told(verdict, as_json) for verdict in check(service)]

    try:
        verdicts = _deciding(play, as_json)
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


def _told(verdict: Any, as_json: bool) -> Any:
    """The verdict, shown to a person as soon as there is one."""
    if not as_json:
        click.echo(str(verdict))
    return verdict


@partner.group()
def endpoint() -> None:
    """Where a platform's messages go. One platform may have several."""


@endpoint.command("list")
@click.argument("partner_id")
@json_option
def endpoint_list(partner_id: str, as_json: bool) -> None:
    """List a platform's endpoints."""
    with _open_runtime() as runtime:
        rows = _deciding(lambda: runtime.services.manage_endpoints.rows(partner_id), as_json)
    lines = [
        f"{r['id']}  {r['status']:10} {r['scheme']:4} {r['url'] or 'to be pulled'}"
        f"  {', '.join(r['event_types']) or 'every event'}"
        for r in rows
    ]
    give(as_json, rows, *lines)


@endpoint.command("add")
@click.argument("partner_id")
@click.argument("url", required=False)
@click.option("--scheme", type=click.Choice(["v1a", "v1"]), default="v1a", show_default=True)
@event_types_option
@unverified_option
@json_option
def endpoint_add(
    partner_id: str,
    url: str | None,
    scheme: str,
    event_types: tuple[str, ...],
    unverified: bool,
    as_json: bool,
) -> None:
    """Add an endpoint; without a URL its messages wait to be pulled. Prints its key, once."""
    with _open_runtime() as runtime:
        manage = runtime.services.manage_endpoints
        made = _deciding(lambda: manage.add(partner_id, url, scheme, event_types), as_json)
        facts, said = _verified(runtime, made, bool(url) and not unverified)
    _hand_over({**made, **facts}, said if url else [], as_json)


@endpoint.command("pause")
@click.argument("endpoint_id")
@json_option
def endpoint_pause(endpoint_id: str, as_json: bool) -> None:
    """Post nothing there for now. Its messages wait."""
    with _open_runtime() as runtime:
        _deciding(lambda: runtime.services.manage_endpoints.pause(endpoint_id), as_json)
    give(as_json, {"id": endpoint_id, "status": "paused"}, f"{endpoint_id} is paused.")


@endpoint.command("resume")
@click.argument("endpoint_id")
@json_option
def endpoint_resume(endpoint_id: str, as_json: bool) -> None:
    """Post there again after a pause, first what waited."""
    with _open_runtime() as runtime:
        due = _deciding(lambda: runtime.services.manage_endpoints.resume(endpoint_id), as_json)
    facts = {"id": endpoint_id, "status": "active", "resumed": due}
    give(as_json, facts, f"{endpoint_id} is posted to again; {due} message(s) are due now.")


@endpoint.command("disable")
@click.argument("endpoint_id")
@json_option
def endpoint_disable(endpoint_id: str, as_json: bool) -> None:
    """Post nothing there any more. It comes back by `partner verify`."""
    with _open_runtime() as runtime:
        _deciding(lambda: runtime.services.manage_endpoints.disable(endpoint_id), as_json)
    give(as_json, {"id": endpoint_id, "status": "disabled"}, f"{endpoint_id} is disabled.")


@endpoint.command("filter")
@click.argument("endpoint_id")
@event_types_option
@json_option
def endpoint_filter(endpoint_id: str, event_types: tuple[str, ...], as_json: bool) -> None:
    """Tell it of some event types only; of every one if none is given."""
    with _open_runtime() as runtime:
        manage = runtime.services.manage_endpoints
        _deciding(lambda: manage.filter(endpoint_id, event_types), as_json)
    facts = {"id": endpoint_id, "event_types": list(event_types)}
    give(as_json, facts, f"{endpoint_id} gets {', '.join(event_types) or 'every event'}.")


@partner.command("jwks")
@click.argument("partner_id")
@click.argument("file", type=click.File("r"), required=False)
@json_option
def partner_jwks(partner_id: str, file: Any, as_json: bool) -> None:
    """Seal to other keys of a platform: FILE holds its JWK Set. Without one nothing is sealed.

    Its first key is used from now on; our own public key is printed for the platform.
    """
    with _open_runtime() as runtime:
        manage = runtime.services.manage_partners
        made = _deciding(lambda: manage.seal_to(partner_id, file.read() if file else None), as_json)
    give(as_json, made, *_pairs(made))


@partner.command("rotate")
@click.argument("partner_id")
@click.option("--secret", "which", type=click.Choice(["api_key", "signing_key"]), required=True)
@click.option("--overlap-hours", type=click.IntRange(0, 168), default=24, show_default=True)
@json_option
def partner_rotate(partner_id: str, which: str, overlap_hours: int, as_json: bool) -> None:
    """Replace a platform's API key, or the keys its webhooks are signed with."""
    from datetime import timedelta

    overlap = timedelta(hours=overlap_hours)
    with _open_runtime() as runtime:
        manage = runtime.services.manage_partners
        turn = manage.rotate_api_key if which == "api_key" else manage.rotate_signing_keys
        made = _deciding(lambda: turn(partner_id, overlap), as_json)
    give(as_json, made, *(line for row in made for line in _pairs(row)))


@main.group()
def messages() -> None:
    """What platforms are told."""


@messages.command("list")
@click.option("--partner", "partner_id", help="Of one platform only.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["pending", "delivered", "failed", "cancelled"]),
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def messages_list(
    partner_id: str | None, states: tuple[str, ...], limit: int, as_json: bool
) -> None:
    """List messages, oldest first."""
    with _open_runtime() as runtime:
        rows = runtime.services.replay_messages.rows(partner_id, states, limit)
    lines = [
        f"{r['id']}  {r['state']:9} {r['type']:18} {r['partner']}  attempts {r['attempts']}"
        for r in rows
    ]
    give(as_json, rows, *(lines or ["No messages."]))


@messages.command("show")
@click.argument("message_id")
@json_option
def messages_show(message_id: str, as_json: bool) -> None:
    """Show one message and every post of it: status, size, time taken, breaker."""
    from partners.model import MessageId

    with _open_runtime() as runtime:
        show = runtime.services.replay_messages.show
        found = _deciding(lambda: show(MessageId(message_id)), as_json)
    facts = {name: value for name, value in found.items() if name != "posts"}
    give(as_json, found, *_pairs(facts), *(_post_line(post) for post in found["posts"]))


def _post_line(post: Mapping[str, Any]) -> str:
    result = post["error"] or post["status"]
    return (
        f"  {post['number']:3}  {post['started_at']}  {result!s:22} {post['duration_ms']:6} ms"
        f"  {post['response_bytes']:6} bytes  breaker {post['breaker'] or 'unknown'}"
    )


@messages.command("replay")
@click.argument("ids", nargs=-1)
@click.option("--all-failed", is_flag=True, help="Every message that was given up.")
@click.option(
    "--since", type=MOMENT, help="Those made from then on: 2026-05-17T12:30, UTC if bare."
)
@click.option("--until", type=MOMENT, help="Those made before then.")
@click.option("--delivered", is_flag=True, help="With a time: also what was delivered.")
@click.option("--partner", "partner_id", help="Not with ids: of one platform only.")
@json_option
def messages_replay(
    ids: tuple[str, ...],
    all_failed: bool,
    since: datetime | None,
    until: datetime | None,
    delivered: bool,
    partner_id: str | None,
    as_json: bool,
) -> None:
    """Send messages again, under the same webhook-id: some, those of a time, or all that failed."""
    from partners.model import MessageId, MessageState, PartnerId

    in_time = since is not None or until is not None
    if bool(ids) + all_failed + in_time != 1:
        raise click.UsageError("give message ids, or --all-failed, or --since and --until")
    if delivered and not in_time:
        raise click.UsageError("--delivered goes with --since or --until")
    states = [MessageState.FAILED] + [MessageState.DELIVERED] * delivered
    with _open_runtime() as runtime:
        replay = runtime.services.replay_messages
        if ids:
            count = sum(_deciding(partial(replay.one, MessageId(i)), as_json) for i in ids)
        else:
            owner = PartnerId(partner_id) if partner_id else None
            count = replay.range(owner, since=since, until=until, states=states)
    give(as_json, {"replayed": count}, f"{count} message(s) are due now.")


def _verified(
    runtime: Runtime, made: Mapping[str, Any], wanted: bool
) -> tuple[dict[str, Any], list[str]]:
    """What came of verifying a new endpoint: as facts, and as lines for a person."""
    from partners.errors import EnrolmentRefused

    again = f"report-remove partner verify {made['endpoint_id']}"
    if not wanted:
        return {"verified": False}, [f"Not verified: it gets no messages before {again}"]
    try:
        (row,) = runtime.services.manage_endpoints.verify(str(made["endpoint_id"]))
    except EnrolmentRefused as fault:
        facts = {"verified": False, "refusal": str(fault)}
        return facts, [f"Not verified ({fault}). Once it holds its key: {again}"]
    return {"verified": True}, [_verified_line(row)]


def _verified_line(row: Mapping[str, Any]) -> str:
    rate = row["rate_per_minute"]
    granted = "no limit of its own" if rate is None else f"{rate} a minute"
    return f"{row['endpoint_id']} is verified ({granted}); {row['resumed']} message(s) are due now."


def _hand_over(facts: Mapping[str, Any], said: list[str], as_json: bool) -> None:
    """Show secrets to an operator, this once."""
    shown = {n: v for n, v in facts.items() if n not in ("verified", "refusal")}
    head = "Hand this over, by a way you trust. It is shown this once."
    give(as_json, facts, head, *_pairs(shown), *said)


class _open_runtime:  # noqa: N801 - used as a function
    """A runtime that is closed again, whatever happens."""

    def __enter__(self) -> Runtime:
        self._runtime = _runtime()
        return self._runtime

    def __exit__(self, *_: object) -> None:
        self._runtime.close()


def _deciding(act: Callable[[], Any], as_json: bool) -> Any:
    from app.domain.errors import ReportRemoveError
    from partners.errors import PartnerError

    try:
        return act()
    except (PartnerError, ReportRemoveError) as fault:
        stop(FAILED, str(fault) or fault.code, as_json, code=fault.code)


def _pairs(facts: Mapping[str, Any]) -> list[str]:
    return [f"{name:12} {value}" for name, value in facts.items() if value is not None]


# ---- to see it work ------------------------------------------------------------------------------


@main.command()
@click.option("--once", is_flag=True, help="Stop after the walk: 0 if every step happened.")
@click.option("--photo", type=click.Path(path_type=Path, exists=True), help="Another photo.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the API; 0: any.")
def demo(once: bool, photo: Path | None, port: int) -> None:
    """Walk one real report from a photo to its removal at two platforms, on this machine."""
    from app.demo import run

    sys.exit(run(once=once, photo=photo, port=port))


if __name__ == "__main__":
    main()
