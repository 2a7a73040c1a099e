"""Requests over kept connections, and reports as a device makes them."""

from __future__ import annotations

import http.client
import json
import random
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.client.service import report_body


@dataclass(frozen=True)
class Said:
    """An answer as it stood on the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The problem's stable code, or None."""
        return self.json.get("code") if self.status >= 400 else None


class Caller:
    """One kept connection to a service. Not for two threads at once."""

    def __init__(self, port: int, timeout: float = 30.0) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Said:
        """One request. OSError or HTTPException where there was no whole answer."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if raw is not None else {}
        try:
            self._connection.request(method, path, raw, {**sent, **(headers or {})})
            answer = self._connection.getresponse()
            return Said(answer.status, answer.getheaders(), answer.read())
        except BaseException:
            self._connection.close()
            raise

    def report(self, case_key: str, *items: Mapping[str, Any], key: str | None = None) -> Said:
        """A report with a declared age."""
        body = report_body(case_key, "declared-v1", "13_15", items or (a_photo(),))
        return self.call("POST", "/v1/reports", body, {"Idempotency-Key": key or a_key()})

    def open(self, case_key: str) -> Said:
        return self.call("POST", "/v1/case/open", {"case_key": case_key})

    def withdraw(self, case_key: str) -> Said:
        return self.call("POST", "/v1/case/withdraw", {"case_key": case_key})

    def close(self) -> None:
        self._connection.close()


@contextmanager
def calling(port: int) -> Iterator[Caller]:
    """A connection that is closed again."""
    caller = Caller(port)
    try:
        yield caller
    finally:
        caller.close()


def a_case_key() -> str:
    return secrets.token_hex(32)


def a_key() -> str:
    """An Idempotency-Key."""
    return secrets.token_urlsafe(24)


def a_pdq() -> str:
    """A hash as a photo has it: half of its bits are set."""
    bits = sum(1 << place for place in random.sample(range(256), 128))
    return f"{bits:064x}"


def a_photo(value: str | None = None, **more: Any) -> dict[str, Any]:
    """A photo as a device sends it."""
    copies = {"original": {"quality": 90, "value": value or a_pdq()}}
    return {"kind": "photo", "hashes": {"pdq": copies}, **more}
