"""Platforms that take part: enrol them, suspend them, change their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from app.cli.check import partner_check
from app.cli.endpoint import endpoint
from app.cli.enrolling import hand_over, unverified_option, verified, verified_line
from app.cli.operating import changed, deciding, open_runtime
from app.cli.showing import give, json_option, pairs


@click.group()
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
    with open_runtime(may_begin=True) as runtime:
        made = deciding(
            lambda: runtime.services.manage_partners.add(
                name, webhook, scheme, policy, jwks.read() if jwks else None, takes_location
            ),
            as_json,
        )
        facts, said = verified(runtime, made, bool(webhook) and not unverified)
    hand_over({**made, **facts}, said if webhook else [], as_json)


@partner.command("list")
@json_option
def partner_list(as_json: bool) -> None:
    """List the platforms."""
    with open_runtime() as runtime:
        rows = runtime.services.manage_partners.rows()
    lines = [_line(row) for row in rows]
    give(as_json, rows, *(lines or ["No platforms yet: report-remove partner add NAME"]))


def _line(row: Mapping[str, Any]) -> str:
    told_at = ", ".join(endpoint["status"] for endpoint in row["endpoints"])
    return (
        f"{row['id']}  {row['status']:10} {row['name']}"
        f"  policy {row['policy']}, endpoints: {told_at or 'none'}"
    )


@partner.command("suspend")
@click.argument("partner_id")
@json_option
def partner_suspend(partner_id: str, as_json: bool) -> None:
    """Stop telling a platform anything, and refuse its API key."""
    changed(
        lambda to: to.manage_partners.suspend(partner_id),
        partner_id,
        "suspended",
        "is suspended.",
        as_json,
    )


@partner.command("resume")
@click.argument("partner_id")
@json_option
def partner_resume(partner_id: str, as_json: bool) -> None:
    """Tell a suspended platform things again."""
    changed(
        lambda to: to.manage_partners.resume(partner_id),
        partner_id,
        "active",
        "takes part again.",
        as_json,
    )


@partner.command("verify")
@click.argument("id", metavar="PARTNER_OR_ENDPOINT_ID")
@json_option
def partner_verify(id: str, as_json: bool) -> None:
    """Ask a platform's endpoints whether they take our messages; those that do are told.

    An OPTIONS handshake, then a signed challenge to echo (docs/PARTNERS.md). What waited for them
    is sent.
    """
    with open_runtime() as runtime:
        rows = deciding(lambda: runtime.services.manage_endpoints.verify(id), as_json)
    give(as_json, rows, *(verified_line(row) for row in rows))


@partner.command("jwks")
@click.argument("partner_id")
@click.argument("file", type=click.File("r"), required=False)
@json_option
def partner_jwks(partner_id: str, file: Any, as_json: bool) -> None:
    """Seal to other keys of a platform: FILE holds its JWK Set. Without one nothing is sealed.

    Its first key is used from now on; our own public key is printed for the platform.
    """
    with open_runtime() as runtime:
        manage = runtime.services.manage_partners
        made = deciding(lambda: manage.seal_to(partner_id, file.read() if file else None), as_json)
    give(as_json, made, *pairs(made))


@partner.command("rotate")
@click.argument("partner_id")
@click.option("--secret", "which", type=click.Choice(["api_key", "signing_key"]), required=True)
@click.option("--overlap-hours", type=click.IntRange(0, 168), default=24, show_default=True)
@json_option
def partner_rotate(partner_id: str, which: str, overlap_hours: int, as_json: bool) -> None:
    """Replace a platform's API key, or the keys its webhooks are signed with."""
    from datetime import timedelta

    overlap = timedelta(hours=overlap_hours)
    with open_runtime() as runtime:
        manage = runtime.services.manage_partners
        turn = manage.rotate_api_key if which == "api_key" else manage.rotate_signing_keys
        made = deciding(lambda: turn(partner_id, overlap), as_json)
    give(as_json, made, *(line for row in made for line in pairs(row)))


partner.add_command(partner_check)
partner.add_command(endpoint)
