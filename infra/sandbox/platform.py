"""A platform in one file, to copy from: takes removal requests, looks among its own pictures,
takes down what it finds, and says what it did.

It stands alone: Flask to be called, `standardwebhooks` or `cryptography` to verify, `joserfc` to
open sealed parts, PDQ to compare. Its pictures are files in a folder; what it took down it stops
listing. A real platform puts its own database and its own reviewers in their place.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import queue
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import Flask, Response, jsonify, request
from joserfc import jwe, jwk, jws
from joserfc.errors import JoseError
from standardwebhooks import Webhook, WebhookVerificationError

from hashing.distance import MATCH_SHARE, distance, share_found
from hashing.errors import HashError
from hashing.frames import all_frames, can_read_frames
from hashing.reference import hash_photo, hash_video
from hashing.values import AnyHash, HashType, Pdq, Vpdq, parse_hash

TOLERANCE = 300  # seconds that a webhook may be old or early
WEBHOOK = "/webhooks/report-remove"
CHALLENGE = "endpoint.verification"
RATE = "6000"  # webhooks that we take in a minute
TRIES = 5  # at acting on one message


class Forged(Exception):
    """The request is not from the service, or was altered, or is stale."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the service's operator handed over when this platform joined (a JSON file, 0600)."""

    service_url: str
    partner_id: str
    api_key: str
    keys: tuple[str, ...]  # whpk_… (v1a) or whsec_… (v1), the newest first
    sealing_key: Mapping[str, str] | None = None  # the service's public JWK, for sealed parts

    @classmethod
    def read(cls, path: Path) -> Enrolment:
        """From the file: what `report-remove partner add --json` printed.

        `keys`, if there is one, lists webhook keys besides `webhook_key`, as during a change.
        """
        members = json.loads(path.read_text())
        newest = [members["webhook_key"]] if "webhook_key" in members else []
        return cls(
            members["service_url"],
            members["partner_id"],
            members["api_key"],
            (*newest, *members.get("keys", ())),
            members.get("sealing_key"),
        )


def verify(keys: tuple[str, ...], headers: Mapping[str, str], body: bytes) -> None:
    """Check a Standard Webhooks signature with a public library. Raises Forged."""
    for key in keys:
        try:
            if key.startswith("whsec_"):
                Webhook(key).verify(body, dict(headers))
            else:
                _verify_v1a(key, headers, body)
        except (WebhookVerificationError, InvalidSignature, ValueError, KeyError):
            continue
        return
    raise Forged


def _verify_v1a(key: str, headers: Mapping[str, str], body: bytes) -> None:
    """Ed25519 over `id.timestamp.body` (Standard Webhooks 1.0.0, v1a)."""
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        raise ValueError("stale")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
    signed = f"{message_id}.{timestamp}.".encode() + body
    for signature in headers["webhook-signature"].split(" "):
        version, _, text = signature.partition(",")
        if version == "v1a":
            try:
                public.verify(base64.b64decode(text, validate=True), signed)
            except (InvalidSignature, binascii.Error):
                continue
            return
    raise InvalidSignature


def unseal(sealed: str, own_keys: jwk.KeySet, enrolment: Enrolment, message_id: str) -> Any:
    """Open the part that only this platform can read. Raises Forged."""
    try:
        opened = jwe.decrypt_compact(
            sealed, own_keys, algorithms=["ECDH-ES+A256KW", "A256GCM", "DEF"]
        )
        signer = jwk.OKPKey.import_key(dict(enrolment.sealing_key or {}))
        token = jws.deserialize_compact(opened.plaintext or b"", signer, algorithms=["EdDSA"])
        payload = json.loads(token.payload)
    except (JoseError, ValueError) as fault:
        raise Forged from fault
    if payload.get("aud") != enrolment.partner_id or payload.get("jti") != message_id:
        raise Forged
    return payload


class Gallery:
    """The platform's photos, each with its own PDQ hash, and videos, with vPDQ and digests."""

    def __init__(self, folder: Path) -> None:
        self._hashes: dict[str, list[AnyHash]] = {}
        self._taken_down: dict[str, str] = {}  # picture -> item
        for path in sorted(folder.glob("*.jpg")):
            entries = hash_photo(path).entries
            self._hashes[path.name] = [next(e.value for e in entries if e.type is HashType.PDQ)]
        for path in sorted(folder.glob("*.mp4")):
            self._hashes[path.name] = _of_video(path)

    def take_down(self, item_id: str, hashes: list[Mapping[str, Any]], within: int) -> bool:
        """Hide every picture within that many bits of any of the hashes. True if there was one."""
        wanted = [value for value in map(_value, hashes) if value is not None]
        found = False
        for name, own in self._hashes.items():
            if any(_same(value, mine, within) for value in wanted for mine in own):
                self._taken_down[name] = item_id
                found = True
        return found

    def forget(self, item_id: str) -> None:
        """The item was withdrawn: nothing is kept of it, and what it hid is listed again."""
        self._taken_down = {n: i for n, i in self._taken_down.items() if i != item_id}

    def listed(self) -> list[str]:
        """What visitors see."""
        return [name for name in self._hashes if name not in self._taken_down]


def _of_video(path: Path) -> list[AnyHash]:
    """Digests, and if PyPI's `av` is here every frame: a copy may begin a little later."""
    digests = [e.value for e in hash_video(path).entries if e.type is not HashType.VPDQ]
    frames = all_frames(path) if can_read_frames() else None
    return digests if frames is None else [frames, *digests]


def _value(entry: Mapping[str, Any]) -> AnyHash | None:
    try:
        return parse_hash(HashType(entry["type"]), entry["value"])
    except (HashError, ValueError, KeyError):
        return None


def _same(wanted: AnyHash, own: AnyHash, within: int) -> bool:
    """PDQ by distance, a video by the share of its frames that are near, digests exactly."""
    if isinstance(wanted, Pdq) and isinstance(own, Pdq):
        return distance(own, wanted) <= within
    if isinstance(wanted, Vpdq) and isinstance(own, Vpdq):
        return share_found(wanted, own, within) >= MATCH_SHARE
    return wanted == own


@dataclass(slots=True)
class Platform:
    """Takes webhooks at once, acts on them afterwards: a sender does not wait for a search."""

    name: str
    gallery: Gallery
    enrolment_file: Path
    own_keys: jwk.KeySet | None = None
    longest_body: int = 64_000  # bytes; a webhook has at most 20,000
    seen: set[str] = field(default_factory=set)  # webhook-ids
    items: dict[str, str] = field(default_factory=dict)  # item -> what we said
    due: dict[str, float] = field(default_factory=dict)  # item -> unix time: decide by then
    inbox: queue.Queue[tuple[Mapping[str, Any], str, int]] = field(default_factory=queue.Queue)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enrolment(self) -> Enrolment:
        """Read each time: keys are rotated by writing the file anew. Raises Forged without one."""
        try:
            return Enrolment.read(self.enrolment_file)
        except (FileNotFoundError, json.JSONDecodeError):
            raise Forged from None  # nobody has introduced the service to us yet, or is about to

    def grant(self) -> dict[str, str]:
        """Who may post here, and how often a minute (CloudEvents web hooks). Raises Forged."""
        service = urlsplit(self.enrolment().service_url).hostname or ""
        return {"WebHook-Allowed-Origin": service, "WebHook-Allowed-Rate": RATE}

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises Forged unless the service sent this, unaltered, just now."""
        verify(self.enrolment().keys, headers, body)

    def receive(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Verify and queue one webhook. A repeat is received again and acted on once.

        Gives back the word to echo where the service only asks whether we read what it sends.
        """
        self.verify(headers, body)
        message, message_id = json.loads(body), headers["webhook-id"]
        if message["type"] == CHALLENGE:
            return str(message["data"]["challenge"])
        with self.lock:
            if message_id not in self.seen:
                self.seen.add(message_id)
                self._start_clock(message)
                self.inbox.put((message, message_id, TRIES))
        return None

    def _start_clock(self, message: Mapping[str, Any]) -> None:
        """The hours run from our own first receipt of the request: the service counts so too."""
        hours = message["data"].get("deadline_hours")
        if message["type"] == "removal.requested" and hours is not None:
            self.due.setdefault(message["data"]["item_id"], time.time() + 3600 * hours)

    def work(self) -> None:
        """Act on what was received, for ever. We said 2xx, so trying again is up to us."""
        while True:
            message, message_id, tries = self.inbox.get()
            try:
                self.act(message, message_id)
            except (Forged, OSError, KeyError, ValueError) as fault:
                sys.stderr.write(f"{self.name}: {type(fault).__name__}, {tries - 1} tries left\n")
                if tries > 1:
                    time.sleep(0.2)
                    self.inbox.put((message, message_id, tries - 1))

    def act(self, message: Mapping[str, Any], message_id: str) -> None:
        """Do what one message asks for, and say so. Raises whatever came in between."""
        data, item_id = message["data"], message["data"]["item_id"]
        if message["type"] == "removal.withdrawn":
            self.gallery.forget(item_id)
            self._say(item_id, "withdrawn_done")
        elif self.items.get(item_id) == "withdrawn_done":
            return  # it came after its withdrawal: the withdrawal stands
        elif message["type"] in ("removal.requested", "removal.updated"):
            item = self.read(data, message_id)
            if self.items.get(item_id) is None:
                self._say(item_id, "acknowledged")
            found = self.gallery.take_down(item_id, item["hashes"], item["recommended_distance"])
            self._say(item_id, "removed" if found else "not_found")

    def read(self, data: Mapping[str, Any], message_id: str) -> Any:
        """The item: out of the sealed part, or fetched with our API key where there is none."""
        if "sealed" in data and self.own_keys is not None:
            return unseal(data["sealed"], self.own_keys, self.enrolment(), message_id)
        return self._call("GET", f"/v1/partner/items/{data['item_id']}")

    def _say(self, item_id: str, feedback: str) -> None:
        body = {"feedback": feedback, "automated": True}
        self._call("POST", f"/v1/partner/items/{item_id}/feedback", body)
        self.items[item_id] = feedback

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        enrolment = self.enrolment()
        made = urllib.request.Request(  # noqa: S310 - the service's own address, from our file
            enrolment.service_url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {enrolment.api_key}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(made, timeout=10) as answer:  # noqa: S310
            return json.load(answer)


def create_app(platform: Platform) -> Flask:
    """The platform's web application."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = platform.longest_body

    @app.route(WEBHOOK, methods=["OPTIONS"])
    def handshake() -> Response:
        """The service asks before it posts."""
        try:
            return Response(status=204, headers=platform.grant())
        except Forged:
            return Response(status=403)

    @app.post(WEBHOOK, provide_automatic_options=False)
    def webhook() -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            word = platform.receive(headers, request.get_data())
        except Forged:
            return Response(status=401)
        return Response(status=204) if word is None else jsonify(challenge=word)

    @app.get("/")
    def state() -> Response:
        return jsonify(
            platform=platform.name,
            listed=platform.gallery.listed(),
            items=platform.items,
            due=platform.due,
        )

    return app


def main(arguments: list[str] | None = None, kind: Callable[..., Platform] = Platform) -> int:
    """Serve until stopped; the first line printed is JSON with the address and the public keys."""
    parser = argparse.ArgumentParser(prog="platform.py", description=__doc__)
    parser.add_argument("--name", default="Sandbox", help="what it is called (%(default)s)")
    parser.add_argument("--pictures", type=Path, required=True, help="folder of its JPEG files")
    parser.add_argument("--enrolment", type=Path, required=True, help="JSON file, may come later")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--sealed", action="store_true", help="make a key for sealed messages")
    options = parser.parse_args(arguments)
    own = jwk.KeySet([jwk.OKPKey.generate_key("X25519", auto_kid=True)]) if options.sealed else None
    platform = kind(options.name, Gallery(options.pictures), options.enrolment, own)
    threading.Thread(target=platform.work, daemon=True).start()
    _serve(create_app(platform), options.port, own)
    return 0


def _serve(app: Flask, port: int, own: jwk.KeySet | None) -> None:
    from waitress.server import create_server

    server: Any = create_server(app, host="127.0.0.1", port=port, threads=4)
    url = f"http://127.0.0.1:{server.effective_port}"
    jwks = own.as_dict(private=False) if own else None
    sys.stdout.write(json.dumps({"url": url, "webhook": url + WEBHOOK, "jwks": jwks}) + "\n")
    sys.stdout.flush()
    server.run()


if __name__ == "__main__":
    sys.exit(main())
