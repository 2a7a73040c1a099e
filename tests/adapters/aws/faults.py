"""What may go wrong on the way to AWS: botocore handlers that answer in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse, HeadersDict


class Answers:
    """Answers an operation of a client with an error, while it is `on`; counts the calls."""

    def __init__(
        self, client: Any, operation: str, status: int, code: str, *, after: bool = False
    ) -> None:
        """With `after` the call takes effect first, and only its answer is lost."""
        self.on = True
        self.at_most = -1  # how often it answers; below nought, always
        self.asked = 0
        self._status, self._code, self._after = status, code, after
        self._send: Callable[[Any], Any] = client._endpoint.http_session.send
        name = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register(f"before-send.{name}.{operation}", self)

    def __call__(self, request: Any, **_: Any) -> AWSResponse | None:
        self.asked += 1
        if not self.on or self.at_most == 0:
            return None
        self.at_most -= 1
        if self._after:
            self._send(request)
        return answer(request.url, self._status, self._code)


class _Answer(AWSResponse):
    def __init__(self, url: str, status: int, headers: HeadersDict, body: bytes) -> None:
        super().__init__(url, status, headers, None)  # type: ignore[arg-type]
        self._content = body


def answer(url: str, status: int, code: str) -> AWSResponse:
    """An error as the JSON protocols of AWS give it."""
    body = f'{{"__type": "{code}", "message": "arn:secret-name"}}'.encode()
    headers = {"x-amzn-errortype": code, "content-type": "application/x-amz-json-1.0"}
    return _Answer(url, status, HeadersDict(headers), body)
