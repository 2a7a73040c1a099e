"""What platforms are told: look at it, and send it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import click

from app.cli.operating import deciding, open_runtime
from app.cli.showing import Moment, give, json_option, pairs

MOMENT = Moment()


@click.group()
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
    with open_runtime() as runtime:
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

    with open_runtime() as runtime:
        show = runtime.services.replay_messages.show
        found = deciding(lambda: show(MessageId(message_id)), as_json)
    facts = {name: value for name, value in found.items() if name != "posts"}
    give(as_json, found, *pairs(facts), *(_post_line(post) for post in found["posts"]))


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
    with open_runtime() as runtime:
        replay = runtime.services.replay_messages
        if ids:
            count = sum(deciding(partial(replay.one, MessageId(i)), as_json) for i in ids)
        else:
            owner = PartnerId(partner_id) if partner_id else None
            count = replay.range(owner, since=since, until=until, states=states)
    give(as_json, {"replayed": count}, f"{count} message(s) are due now.")
