"""What stands on the wire: a message's body, sealed where it must be, and its signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from partners.model import Endpoint, Message, Partner, SealedKey
from partners.ports import KeyRing, Payload, Payloads, Place, Post
from partners.sealing import Addressed, Signer, fits, seal
from partners.signing import SigningKey, parse_signing_key, sign

_KEYS_KEPT = 4_096


def key_place(endpoint: Endpoint, key_id: str) -> Place:
    """Where an endpoint's signing key is sealed."""
    return Place("endpoints", "key", f"{endpoint.id}|{key_id}")


def open_key(endpoint: Endpoint, key: SealedKey, keys: KeyRing) -> SigningKey:
    """One of an endpoint's signing keys. Raises what the key ring raises, or SignatureRefused."""
    return parse_signing_key(keys.open(key_place(endpoint, key.id), key.sealed).decode())


class Composer:
    """Makes the request for a message from what the case says now.

    `origin` is the service's public address: the issuer of what is sealed.
    """

    def __init__(self, payloads: Payloads, keys: KeyRing, signer: Signer, origin: str) -> None:
        self._payloads = payloads
        self._together = payloads.together()
        self._keys = keys
        self._signer = signer
        self._origin = origin
        self._opened: dict[tuple[str, str, bytes], SigningKey] = {}

    def read_anew(self) -> None:
        """Forget what was read of cases: a new moment begins."""
        self._together = self._payloads.together()

    def compose(
        self, message: Message, partner: Partner, endpoint: Endpoint, url: str, now: datetime
    ) -> Post | None:
        """The signed request, or None if there is nothing left to tell.

        Raises what the payloads and the key ring raise.
        """
        payload = self._together.build(message, partner, now)
        if payload is None:
            return None
        body = self._body(message, partner, payload, now)
        headers = sign(self._signing_keys(endpoint, now), message.id, now, body)
        headers["content-type"] = "application/json"
        return Post(f"{message.id}.{message.claim}", endpoint.id, url, headers, body)

    def _body(self, message: Message, partner: Partner, payload: Payload, now: datetime) -> bytes:
        """The whole body if it can be sealed and is not too long, or the thin one."""
        if payload.inner is not None and partner.jwks is not None:
            address = Addressed(self._origin, partner.id, message.id, int(now.timestamp()))
            sealed = seal(payload.inner, address, self._signer, partner.jwks)
            data = {**payload.outer, "sealed": sealed}
            whole = body_of(message.event_type, message.event_at, data)
            if fits(whole):
                return whole
        return body_of(message.event_type, message.event_at, payload.outer)

    def _signing_keys(self, endpoint: Endpoint, now: datetime) -> list[SigningKey]:
        return [self._signing_key(endpoint, key) for key in endpoint.keys if key.live(now)]

    def _signing_key(self, endpoint: Endpoint, key: SealedKey) -> SigningKey:
        name = (endpoint.id, key.id, key.sealed)
        opened = self._opened.get(name)
        if opened is None:
            if len(self._opened) >= _KEYS_KEPT:
                self._opened.clear()
            opened = self._opened[name] = open_key(endpoint, key, self._keys)
        return opened


def body_of(event_type: str, happened_at: datetime, data: Mapping[str, object]) -> bytes:
    """The body of a Standard Webhook; the same values always give the same bytes."""
    happened = happened_at.astimezone(UTC).isoformat(timespec="milliseconds")
    body = {"type": event_type, "timestamp": happened.replace("+00:00", "Z"), "data": data}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
