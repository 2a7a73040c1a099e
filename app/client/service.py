"""Calls to a Report Remove service, as a young person's device makes them."""

from __future__ import annotations

import http.client
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 30.0  # seconds


class Refused(Exception):
    """The service answered with a problem (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", "unknown"))
        self.problem = problem
        super().__init__(str(problem.get("title") or f"The service answered {status}."))


class Unreachable(Exception):
    """No answer from the service: nothing is known to have been stored."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service, by its address."""

    url: str

    def platforms(self) -> list[dict[str, Any]]:
        """The platforms that take part."""
        found: list[dict[str, Any]] = self.call("GET", "/v1/platforms")["platforms"]
        return found

    def challenge(self) -> dict[str, Any]:
        """What a device must know before it reports."""
        return self.call("GET", "/v1/age/challenge")

    def open(self, case_key: str) -> dict[str, Any]:
        """The case of that key."""
        return self.call("POST", "/v1/case/open", {"case_key": case_key})

    def withdraw(self, case_key: str) -> dict[str, Any]:
        """Take the case back."""
        return self.call("POST", "/v1/case/withdraw", {"case_key": case_key})

    def withdraw_item(self, case_key: str, item: int) -> dict[str, Any]:
        """Take one photo or video of the case back."""
        return self.call("POST", "/v1/case/items/withdraw", {"case_key": case_key, "item": item})

    def send(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        tries: int = 3,
    ) -> dict[str, Any]:
        """Send a report or an addition; a broken connection is retried under the same key."""
        headers = {"Idempotency-Key": secrets.token_urlsafe(24), **headers}
        for left in range(tries - 1, -1, -1):
            try:
                return self.call("POST", path, body, headers)
            except Unreachable:
                if not left:
                    raise
        raise Unreachable

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request. Raises Refused or Unreachable."""
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise Unreachable("the address must start with http:// or https://")
        raw = body if isinstance(body, bytes) or body is None else encode(body)
        request = urllib.request.Request(  # noqa: S310
            self.url + path, raw, {"Content-Type": "application/json", **(headers or {})}
        )
        request.method = method
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
                return _json(answer.read())
        except urllib.error.HTTPError as fault:
            with fault:
                raise Refused(fault.code, _json(fault.read())) from None
        except (OSError, http.client.HTTPException):
            raise Unreachable(f"no answer from {self.url}") from None


def report_body(
    case_key: str, profile: str, band: str, items: Sequence[Mapping[str, Any]]
) -> bytes:
    """The body of `POST /v1/reports`: everything that leaves the device."""
    return encode(
        {"case_key": case_key, "age": {"profile": profile, "band": band}, "items": list(items)}
    )


def encode(body: Mapping[str, Any]) -> bytes:
    """Compact JSON."""
    return json.dumps(body, separators=(",", ":")).encode()


def _json(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
