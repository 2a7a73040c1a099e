"""What may go wrong on the way to DynamoDB: botocore handlers that answer in its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import ReadTimeoutError

Act = Callable[[Any], "AWSResponse | None"]


class Fault:
    """Does `act` to the next `times` calls of an operation (`*` for any); counts them."""

    def __init__(self, client: Any, operation: str, act: Act, times: int = 1) -> None:
        self.left, self.met, self._act = times, 0, act
        client.meta.events.register(f"before-send.dynamodb.{operation}", self)

    def __call__(self, request: Any, **_: Any) -> AWSResponse | None:
        if self.left < 1:
            return None
        self.left -= 1
        self.met += 1
        return self._act(request)


class Recorder:
    """The operations that a client was asked for, in their order, with what they asked."""

    def __init__(self, client: Any) -> None:
        self.names: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        client.meta.events.register("before-send.dynamodb.*", self)

    def __call__(self, request: Any, **_: Any) -> None:
        self.names.append(request.headers["X-Amz-Target"].decode().rpartition(".")[2])
        self.bodies.append(json.loads(request.body))

    def forget(self) -> None:
        self.names.clear()
        self.bodies.clear()


def refuse(code: str, status: int = 400, **more: Any) -> Act:
    """An error in DynamoDB's words; nothing happens."""

    def act(request: Any) -> AWSResponse:
        return _Answer(request.url, status, {"__type": f"x#{code}", "message": "no", **more})

    return act


def cancel(*reasons: str) -> Act:
    """A transaction cancelled for these reasons."""
    listed = [{"Code": reason} for reason in reasons]
    return refuse("TransactionCanceledException", CancellationReasons=listed)


def lose_answer(client: Any) -> Act:
    """The call takes effect, and its answer never comes."""

    def act(request: Any) -> AWSResponse | None:
        client._endpoint.http_session.send(request)
        raise ReadTimeoutError(endpoint_url="")

    return act


def give(answer: dict[str, Any]) -> Act:
    """This answer, whatever was asked."""
    return lambda request: _Answer(request.url, 200, answer)


class _Answer(AWSResponse):
    def __init__(self, url: str, status: int, body: dict[str, Any]) -> None:
        headers = {"content-type": "application/x-amz-json-1.0"}
        super().__init__(url, status, HeadersDict(headers), None)  # type: ignore[arg-type]
        self._content = json.dumps(body).encode()
