"""Making sure that an endpoint wants our messages, and reads them, before it gets any.

First the handshake of CloudEvents' webhook specification (OPTIONS, with the rate it grants), then
a signed `endpoint.verification` whose challenge it echoes.
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from partners.composing import body_of, open_key
from partners.errors import EnrolmentRefused
from partners.events import EventType
from partners.model import Endpoint, EndpointId, EndpointStatus, Partner
from partners.ports import Caller, Ids, KeyRing, Reply
from partners.signing import sign

ASKED_RATE: Final = 6_000
"""Posts a minute that we ask for; the endpoint may grant less, or no limit with `*`."""

_RATE: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Grant:
    """What an endpoint allows. None is no limit."""

    rate_per_minute: int | None


def enrol(
    partner: Partner,
    endpoint_id: EndpointId,
    caller: Caller,
    *,
    origin: str,
    ids: Ids,
    keys: KeyRing,
    now: datetime,
) -> Partner:
    """The partner with that endpoint active at the rate it granted, after both steps.

    `origin` is the service's public address. Raises EnrolmentRefused, naming the step and what was
    wrong, and UnknownPartner if the endpoint is not this partner's.
    """
    endpoint = partner.own_endpoint(endpoint_id)
    if endpoint.url is None:
        raise EnrolmentRefused("an endpoint without a URL is pulled from, not enrolled")
    grant = shake_hands(endpoint.url, caller, origin)
    challenge(endpoint, endpoint.url, caller, ids=ids, keys=keys, now=now)
    rate = grant.rate_per_minute
    return partner.with_changed(
        replace(endpoint, status=EndpointStatus.ACTIVE, rate_per_minute=rate)
    )


def shake_hands(url: str, caller: Caller, origin: str) -> Grant:
    """Ask whether we may post there (CloudEvents HTTP 1.1 Web Hooks, section 4).

    Raises EnrolmentRefused.
    """
    name = urlsplit(origin).hostname or ""
    asked = {"WebHook-Request-Origin": name, "WebHook-Request-Rate": str(ASKED_RATE)}
    return read_grant(caller.ask("OPTIONS", url, asked, b""), name)


def read_grant(reply: Reply, origin_name: str) -> Grant:
    """What the reply to our handshake allows. Raises EnrolmentRefused."""
    _need_success(reply, "handshake")
    allowed = reply.headers.get("webhook-allowed-origin", "")
    if allowed.lower() not in ("*", origin_name.lower()):
        raise EnrolmentRefused("handshake: WebHook-Allowed-Origin is neither our name nor *")
    rate = reply.headers.get("webhook-allowed-rate", "*")
    if rate == "*":
        return Grant(None)
    if not _RATE.fullmatch(rate):
        raise EnrolmentRefused("handshake: WebHook-Allowed-Rate is neither a whole number nor *")
    return Grant(int(rate))


def challenge(
    endpoint: Endpoint, url: str, caller: Caller, *, ids: Ids, keys: KeyRing, now: datetime
) -> None:
    """Send a signed challenge; the endpoint answers with JSON that repeats it.

    Raises EnrolmentRefused.
    """
    word = ids.new("challenge")
    body = body_of(EventType.ENDPOINT_VERIFICATION, now, {"challenge": word})
    live = [open_key(endpoint, key, keys) for key in endpoint.keys if key.live(now)]
    headers = sign(live, ids.new("msg"), now, body) | {"content-type": "application/json"}
    reply = caller.ask("POST", url, headers, body)
    _need_success(reply, "challenge")
    if not hmac.compare_digest(_echo(reply).encode(), word.encode()):
        raise EnrolmentRefused('challenge: the answer is not {"challenge": "…"} with our word')


def _need_success(reply: Reply, step: str) -> None:
    if reply.error is not None:
        raise EnrolmentRefused(f"{step}: no answer ({reply.error})", reply.error)
    if not 200 <= reply.status < 300:
        raise EnrolmentRefused(f"{step}: answered {reply.status}")


def _echo(reply: Reply) -> str:
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ""
    echoed = answer.get("challenge") if isinstance(answer, dict) else None
    return echoed if isinstance(echoed, str) and echoed.isascii() else ""
