"""What stands on the wire: a message's body, sealed where it must be, and its signature."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from partners.model import Endpoint, EndpointId, Message, Partner, SealedKey
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


class Letter(NamedTuple):
    """A message as it is to be sealed and signed: all that was read, nothing that takes long."""

    post_key: str
    endpoint_id: EndpointId
    url: str
    event_type: str
    event_at: datetime
    payload: Payload
    address: Addressed
    key_set: str | None
    written_at: datetime
    keys: tuple[SigningKey, ...]

    def __repr__(self) -> str:
        """Its name alone: neither keys nor hashes."""
        return f"Letter({self.post_key!r})"


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

    def read_anew(self, messages: Sequence[Message] = ()) -> None:
        """Forget what was read of cases: a new moment begins, with these messages."""
        try:
            self._together = self._payloads.together(messages)
        except Exception:  # noqa: BLE001 - each is then read by itself: one must not stop the others
            self._together = self._payloads.together()

    def compose(
        self, message: Message, partner: Partner, endpoint: Endpoint, url: str, now: datetime
    ) -> Post | None:
        """The signed request, or None if there is nothing left to tell.

        Raises what the payloads and the key ring raise.
        """
        letter = self.letter(message, partner, endpoint, url, now)
        return None if letter is None else write(letter, self._signer)

    def letter(
        self, message: Message, partner: Partner, endpoint: Endpoint, url: str, now: datetime
    ) -> Letter | None:
        """What `write` makes the request of. Raises what the payloads and the key ring raise."""
        payload = self._together.build(message, partner, now)
        if payload is None:
            return None
        return Letter(
            f"{message.id}.{message.claim}",
            endpoint.id,
            url,
            message.event_type,
            message.event_at,
            payload,
            Addressed(self._origin, partner.id, message.id, int(now.timestamp())),
            partner.jwks,
            now,
            tuple(self._signing_keys(endpoint, now)),
        )

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


def write(letter: Letter, signer: Signer) -> Post:
    """The signed request. Raises KeySetRefused or SignatureRefused."""
    body = _body(letter, signer)
    headers = sign(letter.keys, letter.address.message_id, letter.written_at, body)
    headers["content-type"] = "application/json"
    return Post(letter.post_key, letter.endpoint_id, letter.url, headers, body)


def written(letter: Letter, signer: Signer) -> Post | str:
    """As `write`, or the name of what was wrong: one bad letter must not stop the others."""
    try:
        return write(letter, signer)
    except Exception as problem:  # noqa: BLE001 - as it says
        return type(problem).__name__


def _body(letter: Letter, signer: Signer) -> bytes:
    """The whole body if it can be sealed and is not too long, or the thin one."""
    payload = letter.payload
    if payload.inner is not None and letter.key_set is not None:
        sealed = seal(payload.inner, letter.address, signer, letter.key_set)
        data = {**payload.outer, "sealed": sealed}
        whole = body_of(letter.event_type, letter.event_at, data)
        if fits(whole):
            return whole
    return body_of(letter.event_type, letter.event_at, payload.outer)


def body_of(event_type: str, happened_at: datetime, data: Mapping[str, object]) -> bytes:
    """The body of a Standard Webhook; the same values always give the same bytes."""
    happened = happened_at.astimezone(UTC).isoformat(timespec="milliseconds")
    body = {"type": event_type, "timestamp": happened.replace("+00:00", "Z"), "data": data}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
