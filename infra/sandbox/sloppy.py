"""A platform with one fault of your choice, to see that `report-remove partner check` finds it.

Never copy from here: copy from platform.py.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jwe

from infra.sandbox.platform import CHALLENGE, Forged, Platform, main


class Sin(StrEnum):
    """What this platform does wrong."""

    NO_HANDSHAKE = "no-handshake"
    NO_ECHO = "no-echo"
    ECHOES_ANYBODY = "echoes-anybody"
    REFUSES_ALL = "refuses-all"
    BELIEVES_ANYBODY = "believes-anybody"
    IGNORES_TIME = "ignores-time"
    READS_ONE_SIGNATURE = "reads-one-signature"
    ACTS_TWICE = "acts-twice"
    REFUSES_REPEATS = "refuses-repeats"
    TAKES_ANY_SIZE = "takes-any-size"
    TAKES_LITTLE = "takes-little"
    CHOKES_ON_VIDEOS = "chokes-on-videos"
    REFUSES_NEW_TYPES = "refuses-new-types"
    CANNOT_OPEN = "cannot-open"
    TRUSTS_THE_SEAL = "trusts-the-seal"
    NEVER_FETCHES = "never-fetches"
    KEEPS_WITHDRAWN = "keeps-withdrawn"
    FORGETS_WITHDRAWALS = "forgets-withdrawals"
    SPEAKS_OUT_OF_ORDER = "speaks-out-of-order"
    SLOW = "slow"


KNOWN_TYPES = ("removal.requested", "removal.updated", "removal.withdrawn", "removal.reminder")
SLOW_BY = 3.0  # seconds
SIZES = {Sin.TAKES_ANY_SIZE: 10_000_000, Sin.TAKES_LITTLE: 10_000}


@dataclass
class Sloppy(Platform):
    """The sandbox platform, but for its sin."""

    sin: Sin = Sin.ACTS_TWICE

    def __post_init__(self) -> None:
        self.longest_body = SIZES.get(self.sin, self.longest_body)

    def grant(self) -> dict[str, str]:
        return {} if self.sin is Sin.NO_HANDSHAKE else Platform.grant(self)

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        if self.sin is Sin.BELIEVES_ANYBODY:
            return
        if self.sin is Sin.IGNORES_TIME:
            _verify_but_for_time(self.enrolment().keys[0], headers, body)
            return
        if self.sin is Sin.READS_ONE_SIGNATURE:
            headers = {**headers, "webhook-signature": headers["webhook-signature"].split(" ")[0]}
        Platform.verify(self, headers, body)

    def receive(self, headers: Mapping[str, str], body: bytes) -> str | None:
        message = json.loads(body)
        if message["type"] == CHALLENGE and self.sin is Sin.ECHOES_ANYBODY:
            return str(message["data"]["challenge"])
        self._fail(message["type"], headers.get("webhook-id", ""))
        word = Platform.receive(self, {"webhook-id": body.hex()[-64:], **headers}, body)
        return None if self.sin is Sin.NO_ECHO else word

    def _fail(self, kind: str, message_id: str) -> None:
        """The sins that are one refusal or one delay too many."""
        if self.sin is Sin.REFUSES_ALL and kind != CHALLENGE:
            raise Forged
        if self.sin is Sin.REFUSES_REPEATS and message_id in self.seen:
            raise Forged
        if self.sin is Sin.REFUSES_NEW_TYPES and kind not in (*KNOWN_TYPES, CHALLENGE):
            raise Forged
        if self.sin is Sin.SLOW and kind == "removal.reminder":
            time.sleep(SLOW_BY)
        if self.sin is Sin.ACTS_TWICE:
            self.seen.clear()

    def act(self, message: Mapping[str, Any], message_id: str) -> None:
        kind, item_id = message["type"], message["data"]["item_id"]
        if kind == "removal.withdrawn" and self.sin is Sin.KEEPS_WITHDRAWN:
            return
        is_thin = kind != "removal.withdrawn" and "sealed" not in message["data"]
        if is_thin and self.sin is Sin.NEVER_FETCHES:
            return
        if self.sin is Sin.FORGETS_WITHDRAWALS and self.items.get(item_id) == "withdrawn_done":
            del self.items[item_id]
        if is_thin and self.sin is Sin.SPEAKS_OUT_OF_ORDER:
            with suppress(OSError):
                self._say(item_id, "withdrawn_done")
        Platform.act(self, message, message_id)

    def read(self, data: Mapping[str, Any], message_id: str) -> Any:
        if "sealed" in data and self.sin is Sin.CANNOT_OPEN:
            raise Forged
        if "sealed" in data and self.sin is Sin.TRUSTS_THE_SEAL and self.own_keys is not None:
            algorithms = ["ECDH-ES+A256KW", "A256GCM", "DEF"]
            opened = jwe.decrypt_compact(data["sealed"], self.own_keys, algorithms=algorithms)
            payload = (opened.plaintext or b"").split(b".")[1]
            return json.loads(base64.urlsafe_b64decode(payload + b"=="))
        item = Platform.read(self, data, message_id)
        if item["media_kind"] == "video" and self.sin is Sin.CHOKES_ON_VIDEOS:
            raise ValueError("a hash of a kind that nobody thought of")
        return item


def _verify_but_for_time(key: str, headers: Mapping[str, str], body: bytes) -> None:
    """Ed25519 over `id.timestamp.body`, however old."""
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key.removeprefix("whpk_")))
    try:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        for signature in headers["webhook-signature"].split(" "):
            try:
                public.verify(base64.b64decode(signature.removeprefix("v1a,")), signed)
            except InvalidSignature:
                continue
            return
    except (KeyError, ValueError):
        raise Forged from None
    raise Forged


def run(arguments: list[str] | None = None) -> int:
    """Serve as platform.py does, with the options of platform.py."""
    parser = argparse.ArgumentParser(prog="sloppy.py", description=__doc__, add_help=False)
    parser.add_argument("--sin", type=Sin, choices=list(Sin), required=True)
    options, rest = parser.parse_known_args(arguments)
    return main(rest, kind=partial(Sloppy, sin=options.sin))


if __name__ == "__main__":
    sys.exit(run())
